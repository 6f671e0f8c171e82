"""What a fine-tuning of LGM depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hgg_pyg.backbones.lgm import Preset
from hgg_pyg.backbones.lgm.augment import AugmentConfig
from hgg_pyg.config import Bounds, FrameCount, LearningRate, Pixels, Repeats, Steps, ViewCount, Weight
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
    size: Pixels = 64
    """width and height of the network's input images, cropped to the person, in pixels (the paper: 256)"""
    target_size: Annotated[int, Bounds(11, 65_535)] = 64
    """width and height of the images that the loss compares, in pixels (the paper: 512)"""
    target_views: ViewCount = 4
    """target images per frame, half of them from input cameras"""
    batch: Repeats = 1
    """frames per process and batch"""
    steps: Steps = 2000
    """number of optimiser steps"""
    accumulation: Repeats = 1
    """batches per process and optimiser step, whose gradients are added up"""
    lr: LearningRate = 2e-3
    """highest learning rate of the one-cycle schedule; 4e-4 (the paper) for released weights"""
    surface: Weight = 0.0
    """weight of the distance between opaque Gaussians and the body (the paper's release: 0.4)"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    checkpoint_every: Steps = 200
    """optimiser steps between checkpoints"""
    validate_every: Steps = 100
    """optimiser steps between validations, each on one subject"""
    test_frames: FrameCount = 4
    """frames per test subject that are scored"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 32:
            raise ValueError(f"size: expected a multiple of 32, found {self.size}")
