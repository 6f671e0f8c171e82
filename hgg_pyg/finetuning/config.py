"""What a fine-tuning of LGM depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hgg_pyg.backbones.lgm import Preset
from hgg_pyg.backbones.lgm.augment import AugmentConfig
from hgg_pyg.training.run import RunConfig


@dataclass(frozen=True)
class FinetuneConfig(RunConfig):
    """The defaults are a demo at CPU size: preset micro from random weights on synthetic captures."""

    name: str = "lgm"
    """name of the run: its folder under OUT"""
    checkpoint: Path | None = None
    """weights to start from, released ones or those of another run; random weights when not given"""
    preset: Preset = "micro"
    """network size: big, small or tiny as released, or micro, a small one of ours for CPUs"""
    size: int = 64
    """width and height of the network's input images, cropped to the person, in pixels (the paper: 256)"""
    target_size: int = 64
    """width and height of the images that the loss compares, in pixels (the paper: 512)"""
    target_views: int = 4
    """target images per frame, half of them from input cameras"""
    batch: int = 1
    """frames per process and batch"""
    steps: int = 2000
    """number of optimiser steps"""
    accumulation: int = 1
    """batches per process and optimiser step, whose gradients are added up"""
    lr: float = 2e-3
    """highest learning rate of the one-cycle schedule; 4e-4 (the paper) for released weights"""
    surface: float = 0.0
    """weight of the distance between opaque Gaussians and the body (the paper's release: 0.4)"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    checkpoint_every: int = 200
    """optimiser steps between checkpoints"""
    validate_every: int = 100
    """optimiser steps between validations, each on one subject"""
    test_frames: int = 4
    """frames per test subject that are scored"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("target_views", "batch", "test_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.target_size < 11:
            raise ValueError(f"target_size: expected at least 11, found {self.target_size}")
        if self.size < 32 or self.size % 32:
            raise ValueError(f"size: expected a multiple of 32, found {self.size}")
        if self.surface < 0:
            raise ValueError(f"surface: expected 0 or more, found {self.surface}")
