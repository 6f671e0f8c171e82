"""Frozen per-frame networks: the images of one moment in, Gaussians with features out."""

from hgg_pyg.backbones.base import Backbone
from hgg_pyg.backbones.surface import SurfaceBackbone, SurfaceConfig

__all__ = ["Backbone", "SurfaceBackbone", "SurfaceConfig", "make_backbone"]


def make_backbone(config: SurfaceConfig) -> Backbone:
    """The backbone that a configuration describes."""
    return SurfaceBackbone(config)
