"""Configuration that more than one package reads. Frozen, typed, handed whole; every field shows in `--help`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import tyro


@dataclass(frozen=True)
class ModelConfig:
    """The Human Gaussian Graph network. `variant` gives the rows of the paper's Table 2 (a), `layers` those of (b)."""

    variant: Literal["full", "no_intra", "no_inter", "baseline"] = "full"
    """full; without the intra or the inter operation; or direct binding, which has neither queries nor graph"""
    layers: int = 2
    """L, the number of intra + inter pairs (the paper: 6)"""
    dim: int = 64
    """D, width of the vertex queries"""
    heads: int = 4
    """attention heads; they divide dim"""
    tokens: int = 1
    """S, learnable queries a vertex (the paper: 1, its release: 20)"""
    ffn_ratio: int = 2
    """hidden width of a feed-forward network, in units of dim"""
    dropout: float = 0.0
    """dropout on attention weights and feed-forward outputs"""
    norm: Literal["pre", "post"] = "pre"
    """LayerNorm before each operation, or after its residual"""
    attention: str = "auto"
    """how attention is computed, a name that `python -m hgg_pyg` lists; auto: fused where it runs, else scatter"""
    fold: bool = True
    """project the intra attention on the vertices' side where that is cheaper; the results are the same"""
    storage: Literal["float32", "bfloat16"] = "float32"
    """how the Gaussians' features are kept for the intra attention; sums are float32 either way"""
    shift: Literal["rest", "surface"] = "rest"
    """axes of the read-out's shift: those of the rest pose (the paper), or the body's normal and tangents at the vertex
    that a Gaussian is bound to"""
    feedback: int = 0
    """input frames in whose images, two of each, the network is told what direct binding gets wrong (`add_feedback`;
    not without the intra operation, for they are of other frames too)"""
    layer: Literal["ours", "transformer_conv", "gatv2_conv"] = "ours"
    """our attention layers, or one of PyG's in their place"""

    feature_dim: tyro.conf.Suppress[int] = 1
    """C, features of a Gaussian: the backbone gives it"""
    num_vertices: tyro.conf.Suppress[int] = 6890
    """N, vertices of the body: the body gives it"""

    def __post_init__(self) -> None:
        for name in ("feature_dim", "num_vertices", "dim", "heads", "tokens", "ffn_ratio"):
            if getattr(self, name) < 1:
                raise ValueError(f"ModelConfig.{name}: expected at least 1, found {getattr(self, name)}")
        for name in ("layers", "feedback"):
            if getattr(self, name) < 0:
                raise ValueError(f"ModelConfig.{name}: expected 0 or more, found {getattr(self, name)}")
        if self.dim % self.heads:
            raise ValueError(f"ModelConfig.heads: expected a divisor of dim {self.dim}, found {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"ModelConfig.dropout: expected 0 <= dropout < 1, found {self.dropout}")

    @property
    def feedback_frames(self) -> int:
        """`feedback`, or 0 where the variant takes no part in it."""
        return self.feedback if self.variant in ("full", "no_inter") else 0


@dataclass(frozen=True)
class ClipConfig:
    """What one training clip holds."""

    frames: int = 8
    """T, frames whose Gaussians are joined in one graph"""
    input_views: int = 4
    """cameras whose images the per-frame network sees, spread evenly around the person"""
    target_views: int = 8
    """images that supervise one clip: half from input cameras, half from the others"""
    target_poses: int = 2
    """frames over which the supervised images are spread"""

    def __post_init__(self) -> None:
        for name in ("frames", "input_views", "target_views", "target_poses"):
            if getattr(self, name) < 1:
                raise ValueError(f"ClipConfig.{name}: expected at least 1, found {getattr(self, name)}")
        if self.target_views % self.target_poses:
            raise ValueError(
                f"ClipConfig.target_views: expected a multiple of target_poses {self.target_poses}, "
                f"found {self.target_views}"
            )


def config_json(config: Any) -> str:
    """A configuration dataclass as readable JSON."""
    return json.dumps(asdict(config), indent=2, default=str)


def config_digest(*parts: Any) -> str:
    """A short hash of strings and configuration dataclasses, for cache keys."""
    text = "\n".join(part if isinstance(part, str) else config_json(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
