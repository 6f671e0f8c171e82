"""CLIP's image encoder and its preprocessing: beside plain references, and what of their files is refused."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hgg_pyg.multiview.clip import ClipVision, ClipVisionConfig
from hgg_pyg.multiview.embedding import ClipEmbedder
from hgg_pyg.multiview.preprocessing import ClipPreprocessing

SMALL = ClipVisionConfig(
    hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=6, patch_size=2,
    layer_norm_eps=1e-3, projection_dim=5,
)  # fmt: skip


def clip_reference(weights: Mapping[str, Tensor], config: ClipVisionConfig, pixels: Tensor) -> Tensor:
    """One picture [3, S, S] to its embedding [E], a patch, a token and a head after the other."""

    def norm(x: Tensor, name: str) -> Tensor:
        spread = ((x - x.mean()) ** 2).mean() + config.layer_norm_eps
        return (x - x.mean()) / spread.sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def act(x: Tensor) -> Tensor:
        if config.hidden_act == "quick_gelu":
            return x / (1 + torch.exp(-1.702 * x))
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2

    inside, side = "vision_model.embeddings", config.patch_size
    tokens = [weights[f"{inside}.class_embedding"]]
    for top in range(0, config.image_size, side):
        for left in range(0, config.image_size, side):
            patch = pixels[:, top : top + side, left : left + side]
            tokens.append((weights[f"{inside}.patch_embedding.weight"] * patch).sum((1, 2, 3)))
    places = weights[f"{inside}.position_embedding.weight"]
    tokens = [norm(x + place, "vision_model.pre_layrnorm") for x, place in zip(tokens, places, strict=True)]
    width = config.hidden_size // config.num_attention_heads
    for layer in range(config.num_hidden_layers):
        block = f"vision_model.encoder.layers.{layer}"
        ready = [norm(x, f"{block}.layer_norm1") for x in tokens]
        q, k, v = ([linear(x, f"{block}.self_attn.{name}_proj") for x in ready] for name in "qkv")
        for i, query in enumerate(q):
            heads = []
            for head in range(config.num_attention_heads):
                own = slice(head * width, (head + 1) * width)
                scores = torch.stack([torch.exp(query[own] @ key[own] / math.sqrt(width)) for key in k])
                heads.append(sum(s * value[own] for s, value in zip(scores / scores.sum(), v, strict=True)))
            tokens[i] = tokens[i] + linear(torch.cat(heads), f"{block}.self_attn.out_proj")
        for i, x in enumerate(tokens):
            hidden = act(linear(norm(x, f"{block}.layer_norm2"), f"{block}.mlp.fc1"))
            tokens[i] = x + linear(hidden, f"{block}.mlp.fc2")
    return weights["visual_projection.weight"] @ norm(tokens[0], "vision_model.post_layernorm")


def random_clip(config: ClipVisionConfig) -> ClipVision:
    """In float64, with no weight that a network starts with by rule: 1 and 0 in LayerNorms, say."""
    torch.manual_seed(0)
    encoder = ClipVision(config).double()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return encoder


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_the_encoder_is_its_reference_in_values_and_gradients(act) -> None:
    encoder = random_clip(replace(SMALL, hidden_act=act))
    pixels = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    weights = dict(encoder.named_parameters())
    fast = encoder(pixels)
    slow = torch.stack([clip_reference(weights, encoder.config, one) for one in pixels])
    assert fast.shape == (2, 5)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    toward = torch.randn_like(fast)
    given = [pixels, *weights.values()]
    for ours, theirs in zip(*(torch.autograd.grad(y, given, toward) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
    with pytest.raises(ValueError, match=r"pixels: expected \[B, 3, 6, 6\], found \[2, 3, 4, 6\]"):
        encoder(pixels[:, :, :4])


@pytest.mark.parametrize(("height", "width"), [(60, 60), (24, 24), (15, 20), (50, 35)])
def test_pictures_are_preprocessed_as_by_pil(height, width) -> None:
    """PIL rounds to 8 bits along rows and along columns: at most a level and a bit of 255 lies between."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = (24, 24 * height // width) if height > width else (24 * width // height, 24)
    preprocessing = ClipPreprocessing(24, 20)
    resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), np.float64)
    top, left = (size[1] - 20) // 2, (size[0] - 20) // 2
    expected = resized[top : top + 20, left : left + 20] / 255
    mean, std = np.asarray(preprocessing.mean), np.asarray(preprocessing.std)
    rgb = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255
    found = preprocessing(rgb)[0].permute(1, 2, 0).numpy() * std + mean
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1.3 / 255


def test_both_files_are_read_as_they_are_written() -> None:
    said = json.loads(SMALL.to_json_string())
    assert ClipVisionConfig.read(said) == SMALL
    old = {"_name_or_path": "x", "dropout": 0.0, "torch_dtype": "float32", "transformers_version": "4.25.1"}
    assert ClipVisionConfig.read({**said, **old}) == SMALL
    pictures = ClipPreprocessing(24, 20, (0.5, 0.4, 0.3), (0.2, 0.3, 1.0))
    said = json.loads(pictures.to_json_string())
    assert ClipPreprocessing.read(said) == pictures
    assert ClipPreprocessing.read({**said, "size": 24, "crop_size": 20}) == pictures  # as older files say it
    with pytest.raises(ValueError, match="crop_size: expected the encoder's image_size 6, found 20"):
        ClipEmbedder(random_clip(SMALL), pictures)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "siglip_vision_model"}, "model_type: expected clip_vision_model, found siglip_vision_model"),
        ({"num_channels": 4}, "num_channels: expected 3, found 4"),
        ({"attention": "local"}, "expected options of CLIP's image encoder, found 'attention'"),
        ({"hidden_size": None}, "hidden_size: expected a number, found none"),
        ({"num_attention_heads": 5}, "num_attention_heads: expected a divisor of hidden_size 12, found 5"),
        ({"patch_size": 4}, "patch_size: expected a divisor of image_size 6, found 4"),
        ({"patch_size": 0}, "patch_size: expected at least 1, found 0"),
        ({"image_size": 65534}, "patch_size: expected at most 100,000 patches, found 1,073,676,289"),
        ({"hidden_act": "relu"}, "hidden_act: expected one of quick_gelu, gelu, found 'relu'"),
        ({"layer_norm_eps": math.nan}, "layer_norm_eps: expected a number from 0 to 1, found nan"),
        ({"num_hidden_layers": "12"}, "num_hidden_layers: expected an integer, found '12'"),
    ],
)
def test_other_encoders_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        ClipVisionConfig.read(changed(json.loads(SMALL.to_json_string()), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_resize": False}, "do_resize: expected True, found False"),
        ({"resample": 2}, "resample: expected 3, found 2"),
        ({"rescale_factor": 1.0}, r"rescale_factor: expected 1/255, found 1\.0"),
        ({"do_pad": True}, "expected options of CLIP's preprocessing, found 'do_pad'"),
        ({"size": {"height": 24, "width": 24}}, "size: expected pixels, or one number of them as shortest_edge, found"),
        (
            {"crop_size": {"height": 20, "width": 24}},
            "crop_size: expected pixels, or one number of them as height and width, found",
        ),
        ({"crop_size": 30}, "crop_size: expected at most size 24, found 30"),
        ({"size": "24"}, "size: expected an integer, found '24'"),
        ({"image_mean": None}, "image_mean: expected three numbers, found none"),
        ({"image_mean": [0.5, 0.5]}, r"mean: expected a tuple of .*, found \(0\.5, 0\.5\)"),
        ({"image_std": [0.5, 0.5, 0]}, "std: expected each more than 0, found"),
    ],
)
def test_other_preprocessing_is_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        ClipPreprocessing.read(changed(json.loads(ClipPreprocessing(24, 20).to_json_string()), change))


def changed(said: dict, change: dict) -> dict:
    """Options with others in the place of some, without those that are None."""
    return {name: value for name, value in {**said, **change}.items() if value is not None}
