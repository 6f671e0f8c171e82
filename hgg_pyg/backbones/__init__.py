"""Frozen per-frame networks: the images of one moment in, Gaussians with features out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import tyro

from hgg_pyg.backbones.base import Backbone, FromImages, Moment
from hgg_pyg.backbones.idol import gaussians_from_idol
from hgg_pyg.backbones.lgm import LGMBackbone, LGMConfig
from hgg_pyg.backbones.ply import PlyBackbone, PlyConfig
from hgg_pyg.backbones.surface import SurfaceBackbone, SurfaceConfig
from hgg_pyg.config import check_choices

__all__ = [
    "Backbone",
    "BackboneConfig",
    "FromImages",
    "LGMBackbone",
    "LGMConfig",
    "Moment",
    "PlyBackbone",
    "PlyConfig",
    "SurfaceBackbone",
    "SurfaceConfig",
    "gaussians_from_idol",
    "make_backbone",
]

Name = Literal["surface", "lgm", "ply"]


@dataclass(frozen=True)
class BackboneConfig:
    """Which per-frame network, and its options."""

    name: Annotated[Name, tyro.conf.arg(name="")] = "surface"
    """per-frame network: surface has no weights, lgm needs a checkpoint, ply reads Gaussians from files"""
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    lgm: Annotated[LGMConfig, tyro.conf.arg(name="")] = field(default_factory=LGMConfig)
    ply: PlyConfig = field(default_factory=PlyConfig)

    def __post_init__(self) -> None:
        check_choices(self)


def make_backbone(config: BackboneConfig, device: torch.device | str = "cpu") -> Backbone:
    """The backbone that a configuration describes; what has weights runs on `device`.

    Raises:
        UserError: its weights are missing or are of another network, or its files are missing.
    """
    if config.name == "lgm":
        return LGMBackbone(config.lgm, device)
    if config.name == "ply":
        return PlyBackbone(config.ply)
    return SurfaceBackbone(config.surface)
