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
    """the run's name"""
    checkpoint: Path | None = None
    """weights to start from, the public ones or those of another run; random ones when none is given"""
    preset: Preset = "micro"
    """big, small and tiny as published; micro is ours, for a CPU"""
    size: int = 64
    """width and height that the person is cut out at for the network (the paper: 256)"""
    target_size: int = 64
    """width and height of the images that are compared (the paper: 512)"""
    target_views: int = 4
    """images that supervise one frame: half from input cameras, half from the others"""
    batch: int = 1
    """frames that one process renders at once"""
    steps: int = 2000
    """optimiser steps"""
    accumulation: int = 1
    """batches whose gradients each process adds up before an optimiser step"""
    lr: float = 2e-3
    """peak of the one-cycle learning rate; 4e-4 for released weights, as the paper has it"""
    surface: float = 0.0
    """weight of the distance of opaque Gaussians to the body (the paper's release: 0.4)"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    checkpoint_every: int = 200
    """optimiser steps between checkpoints"""
    validate_every: int = 100
    """optimiser steps between looks at a validation subject"""
    test_frames: int = 4
    """frames of each test subject that are scored"""

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
