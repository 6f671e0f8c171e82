"""CLIP's image encoder: a vision transformer whose class token is projected to where images and texts meet.

Radford et al. 2021, Learning transferable visual models from natural language supervision; the transformer is of
Dosovitskiy et al. 2021, An image is worth 16x16 words. Written for this package in plain torch. Modules are called what
published weights call them, `CLIPVisionModelWithProjection` of transformers, so that these load strictly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hgg_pyg.config import Bounds, Channels, Layers, Pixels, check_choices
from hgg_pyg.io.shown import shown

_SAID = {"model_type": "clip_vision_model", "num_channels": 3}  # what a config.json may say besides, and no other value
# What says nothing of the network in use: its origin, how weights start, and what is dropped in training.
_NO_MATTER = {"architectures", "attention_dropout", "dropout", "dtype", "initializer_factor", "initializer_range",
              "torch_dtype", "transformers_version"}  # fmt: skip


@dataclass(frozen=True)
class ClipVisionConfig:
    """The options of a config.json that make the network. The defaults are ViT-L/14's, as CLIP has it."""

    hidden_size: Channels = 1024
    """C, channels of a token"""
    intermediate_size: Annotated[int, Bounds(1, 65_536)] = 4096
    """channels inside a block's MLP"""
    num_hidden_layers: Layers = 24
    """blocks"""
    num_attention_heads: Annotated[int, Bounds(1, 1024)] = 16
    """H, a divisor of the channels"""
    image_size: Pixels = 224
    """S, width and height of a picture"""
    patch_size: Pixels = 14
    """P, width and height of a patch, a divisor of the picture's"""
    hidden_act: Literal["quick_gelu", "gelu"] = "quick_gelu"
    """what stands between the two layers of an MLP"""
    layer_norm_eps: Annotated[float, Bounds(0, 1, above=True)] = 1e-5
    """added to the variance in every LayerNorm"""
    projection_dim: Channels = 768
    """E, channels of the embedding"""

    def __post_init__(self) -> None:
        check_choices(self)
        for part, whole in (("num_attention_heads", "hidden_size"), ("patch_size", "image_size")):
            if getattr(self, whole) % (found := getattr(self, part)):
                raise ValueError(f"{part}: expected a divisor of {whole} {getattr(self, whole)}, found {found}")
        if self.tokens > 100_001:
            raise ValueError(f"patch_size: expected at most 100,000 patches, found {self.tokens - 1:,}")

    @property
    def tokens(self) -> int:
        """N: a picture's patches and the class token."""
        return (self.image_size // self.patch_size) ** 2 + 1

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> ClipVisionConfig:
        """Out of a config.json.

        Raises:
            ValueError: an option is missing, unknown, out of bounds, or asks for another network.
        """
        for name, expected in _SAID.items():
            if said.get(name, expected) != expected:
                raise ValueError(f"{name}: expected {expected}, found {shown(said[name])}")
        options = cls.__dataclass_fields__
        for name in said.keys() - options.keys() - _SAID.keys() - _NO_MATTER:
            if not name.startswith("_"):
                raise ValueError(f"expected options of CLIP's image encoder, found {shown(name)!r}")
        for name in options.keys() - said.keys() - {"hidden_act", "layer_norm_eps"}:
            raise ValueError(f"{name}: expected a number, found none")
        return cls(**{name: said[name] for name in options if name in said})

    def to_json_string(self) -> str:
        """A config.json that `read` takes, and transformers as well."""
        return json.dumps({"architectures": ["CLIPVisionModelWithProjection"], **_SAID, **asdict(self)}, indent=2)


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), which is near GELU (Hendrycks and Gimpel 2016) and what CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


class ClipVision(nn.Module):
    """A picture to its embedding, y = W LN(x_L[0]) of

        x_0 = LN([c; patches] + positions),   u_l = x_l + MSA(LN(x_l)),   x_(l+1) = u_l + MLP(LN(u_l)).

    Weights are random, of torch's generator, until they are loaded.
    """

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = _VisionTransformer(config)
        self.visual_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] as `ClipPreprocessing` makes them -> [B, E]

        Raises:
            ValueError: pictures are of another size.
        """
        if pixels.shape[1:] != (expected := (3, self.config.image_size, self.config.image_size)):
            raise ValueError(f"pixels: expected [B, {', '.join(map(str, expected))}], found {list(pixels.shape)}")
        return self.visual_projection(self.vision_model(pixels))


class _VisionTransformer(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.pre_layrnorm = _norm(config)  # so spelt in published weights
        blocks = (_Block(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layers": nn.Sequential(*blocks)})
        self.post_layernorm = _norm(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> the class token, [B, C]"""
        tokens = self.encoder["layers"](self.pre_layrnorm(self.embeddings(pixels)))
        return self.post_layernorm(tokens[:, 0])


class _Embeddings(nn.Module):
    """The class token, then every patch through one linear map, row by row; to each its place's own vector."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        channels, patch = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.randn(channels) / channels**0.5)
        self.patch_embedding = nn.Conv2d(3, channels, patch, patch, bias=False)
        self.position_embedding = nn.Embedding(config.tokens, channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, N, C]"""
        patches = self.patch_embedding(pixels).flatten(2).mT
        first = self.class_embedding.expand(len(pixels), 1, -1)
        return torch.cat([first, patches], 1) + self.position_embedding.weight


class _Block(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layer_norm1, self.self_attn = _norm(config), _SelfAttention(config)
        self.layer_norm2, self.mlp = _norm(config), _Mlp(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]"""
        tokens = tokens + self.self_attn(self.layer_norm1(tokens))
        return tokens + self.mlp(self.layer_norm2(tokens))


class _SelfAttention(nn.Module):
    """softmax(q k^T / sqrt(C / H)) v in each of H heads, all tokens with all; then a linear map of the results."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        channels, self.heads = config.hidden_size, config.num_attention_heads
        self.q_proj, self.k_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.v_proj, self.out_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]"""
        q, k, v = (
            project(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.act = {"quick_gelu": quick_gelu, "gelu": F.gelu}[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]"""
        return self.fc2(self.act(self.fc1(tokens)))


def _norm(config: ClipVisionConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
