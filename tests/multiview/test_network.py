"""Wonder3D's networks: every weight of the public ones has its place, and attention joins what it should."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("diffusers", reason='pip install "hgg_pyg[diffusion]"')

from hgg_pyg.io.extras import import_extra
from hgg_pyg.multiview.attention import Layout, MultiViewBlock, multi_view_reference
from hgg_pyg.multiview.clip import ClipVision, ClipVisionConfig
from hgg_pyg.multiview.micro import VIEWS, micro_model
from hgg_pyg.multiview.model import Picture
from hgg_pyg.multiview.network import PUBLIC, embed_labels, is_joint, multi_view_unet, predict
from hgg_pyg.multiview.views import QUARTERS, ViewsConfig
from hgg_pyg.types import UserError

TABLE = Path(__file__).parent / "wonder3d_state_dict.txt"
PARTS = ("unet", "image_encoder", "vae")


def table() -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes of the published weights by name, of each part."""
    found: dict[str, dict[str, tuple[int, ...]]] = {part: {} for part in PARTS}
    part = PARTS[0]
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            part = next((name for name in PARTS if line.startswith(f"# {name}:")), part)
        elif line:
            name, shape, *_ = line.split("\t")
            found[part][name] = tuple(int(x) for x in re.findall(r"\d+", shape))
    return found


def test_every_weight_of_the_public_network_has_its_place() -> None:
    with torch.device("meta"):
        unet = multi_view_unet(PUBLIC)
    found = {name: tuple(weight.shape) for name, weight in unet.state_dict().items()}
    assert found == table()["unet"]
    assert sum(weight.numel() for weight in unet.parameters()) == 910_785_284
    assert sum(map(is_joint, found)) == 112


def test_every_weight_of_the_public_encoders_has_its_place() -> None:
    sides = (128, 256, 512, 512)
    with torch.device("meta"):
        clip = ClipVision(ClipVisionConfig())
        vae = import_extra("diffusers", "diffusion", "a test").AutoencoderKL(
            block_out_channels=sides, layers_per_block=2, latent_channels=4,
            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        )  # fmt: skip
    for part, network in (("image_encoder", clip), ("vae", vae)):
        assert {n: tuple(w.shape) for n, w in network.state_dict().items()} == table()[part]


@pytest.fixture(scope="module")
def block() -> MultiViewBlock:
    torch.manual_seed(0)
    made = import_extra("diffusers", "diffusion", "a test").models.attention.BasicTransformerBlock(
        8, 2, 4, cross_attention_dim=6
    )
    block = MultiViewBlock(made).double()
    nn.init.normal_(block.attn_joint_mid.to_out[0].weight)
    return block


def test_attention_across_views_is_that_of_one_view_after_the_other(block) -> None:
    tokens = torch.randn(6, 5, 8, dtype=torch.float64, requires_grad=True)
    layout = Layout(views=3)
    fast = layout.part_views(block.attn1(layout.join_views(tokens)))
    slow = multi_view_reference(block.attn1, tokens, 3)
    torch.testing.assert_close(fast, slow)
    weight = torch.randn_like(fast)
    gradients = [torch.autograd.grad((found * weight).sum(), tokens)[0] for found in (fast, slow)]
    torch.testing.assert_close(*gradients)


def test_attention_across_domains_joins_a_view_s_normals_with_its_colours(block) -> None:
    """The reference takes pairs: image i of the first half and image i of the second."""
    tokens, layout = torch.randn(8, 5, 8, dtype=torch.float64), Layout(views=2, domains=2)
    fast = layout.part_domains(block.attn_joint_mid(layout.join_domains(tokens)))
    for image in range(8):
        pair = torch.cat([tokens[image % 4], tokens[image % 4 + 4]])[None]
        slow = block.attn_joint_mid(tokens[image : image + 1], encoder_hidden_states=pair)
        torch.testing.assert_close(fast[image : image + 1], slow)


def test_a_new_network_draws_each_domain_alone() -> None:
    torch.manual_seed(0)
    unet = multi_view_unet(small())
    x, token = torch.randn(8, unet.config.in_channels, 8, 8), torch.randn(8, 1, 48)
    labels, times = ViewsConfig(azimuths=QUARTERS, label_elevations=(0,) * 4, label_azimuths=(0.0, 1.6, 3.1, 4.7)), 400
    labels = labels.labels([0, 1])

    def said(rows: slice, domains: int) -> torch.Tensor:
        count = len(x[rows])
        return predict(
            unet, x[rows], torch.full((count,), times), token[rows], labels[rows], Layout(4, domains)
        ).detach()

    both = said(slice(0, 8), 2)
    torch.testing.assert_close(both, torch.cat([said(slice(0, 4), 1), said(slice(4, 8), 1)]), rtol=1e-4, atol=1e-5)
    for module in unet.modules():
        if isinstance(module, MultiViewBlock):
            nn.init.normal_(module.attn_joint_mid.to_out[0].weight)
    assert (said(slice(0, 8), 2) - both).abs().max() > 1e-3


def small() -> dict:
    """Options of a network like the public one, small enough for a test."""
    return {
        **PUBLIC, "in_channels": 8, "cross_attention_dim": 48, "attention_head_dim": 2, "norm_num_groups": 4,
        "block_out_channels": [8, 16], "layers_per_block": 1, "sample_size": 8,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    }  # fmt: skip


def test_labels_are_sines_then_cosines() -> None:
    label = torch.tensor([[0, 0.5, 3.0, 0, 1]])
    expected = torch.tensor([[0, 0.5, 3.0, 0, 1]]).sin().tolist()[0] + label.cos().tolist()[0]
    assert embed_labels(label).tolist()[0] == pytest.approx(expected)
    public = ViewsConfig().labels([0, 1])
    assert public.shape == (12, 5)
    assert public[0].tolist() == [0, 0, 0, 1, 0]
    assert public[9].tolist() == pytest.approx([0, 0.5220, 3.1406, 0, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparse_mv_attention": True}, "config.json: sparse_mv_attention: expected False, found True"),
        ({"mystery": 3}, "config.json: expected options of Wonder3D's U-Net, found 'mystery'"),
        ({"block_out_channels": [8, 16, 24]}, r"config.json: expected options that make a U-Net \(.*\)"),
    ],
)
def test_options_of_other_networks_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        multi_view_unet({**small(), **options}, "config.json")


def test_options_of_the_public_config_are_understood() -> None:
    extra = {
        "_class_name": "UNetMV2DConditionModel", "num_views": 6, "mvcd_attention": False, "cd_attention_mid": True,
        "camera_embedding_type": "e_de_da_sincos", "zero_init_conv_in": False,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlockMV2D"], "mid_block_type": "UNetMidBlockMV2DCrossAttn",
        "up_block_types": ["CrossAttnUpBlockMV2D", "UpBlock2D"],
    }  # fmt: skip
    with torch.device("meta"):
        found, expected = (multi_view_unet(options).state_dict() for options in ({**small(), **extra}, small()))
    assert {n: w.shape for n, w in found.items()} == {n: w.shape for n, w in expected.items()}


def test_the_small_model_is_small_and_draws_the_same_twice() -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in micro_model().unet.parameters()) < 4e6
    torch.manual_seed(0)
    model = micro_model(replace(VIEWS, size=32), (8, 16), 4)
    picture = Picture(torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32), torch.rand(2, 4, 6, 32, 32))
    first, second = (model.draw(picture, normals=True, steps=2, guidance=2.0) for _ in range(2))
    assert first.rgb.shape == (2, 4, 3, 32, 32)
    assert first.alpha.shape == (2, 4, 1, 32, 32)
    assert first.normals is not None
    torch.testing.assert_close(first.rgb, second.rgb)
    assert (model.draw(picture, steps=2).rgb - first.rgb).abs().max() > 1e-4
