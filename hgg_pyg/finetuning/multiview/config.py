"""What the training of a front depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

import tyro

from hgg_pyg.config import Bounds, FrameCount, LearningRate, Pixels, Repeats, Share, Steps, Weight
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.losses import LossConfig
from hgg_pyg.training.run import RunConfig

PEOPLE = SynthesizeConfig(out=Path("captures/fronts"), subjects=96, frames=6, views=8, seed=31)
"""What is trained on where no captures are given: many people in few poses, with cameras at right angles."""


@dataclass(frozen=True)
class MultiviewConfig(RunConfig):
    """The defaults are preset micro: a small network from random weights on synthetic people, at CPU size."""

    name: str = "multiview"
    """name of the run: its folder under OUT"""
    data: Path | None = None
    """folder of captures; when not given, synthetic ones are made in captures/fronts"""
    checkpoint: Path | None = None
    """folder of weights to start from, the public wonder3d-v1.0 or a run's model; micro from random weights when not
    given"""
    size: Pixels = 64
    """width and height of micro's pictures; weights that are given have their own"""
    steps: Steps = 800
    """number of optimiser steps of both stages"""
    joint_steps: Annotated[int, Bounds(0, 10**9)] = 20
    """how many of them, the last ones, are the joint stage: normals and colours of a person together, and the attention
    across them is trained alone; before, in the mixed stage, a person's normals or colours, and all but that attention;
    0 for the mixed stage alone, as many as steps for the joint stage alone"""
    batch: Repeats = 4
    """people per process and batch"""
    accumulation: Repeats = 1
    """batches per process and optimiser step, whose gradients are added up"""
    lr: LearningRate = 1.5e-3
    """highest learning rate of the mixed stage (the paper: 5e-5)"""
    joint_lr: LearningRate = 5e-4
    """that of the joint stage (the paper: 2.5e-5)"""
    label_lr: Annotated[float, Bounds(0, 1000, above=True)] = 1.0
    """times as much for the embedding of views and domains (Wonder3D: 10)"""
    schedule: Literal["falling", "constant"] = "falling"
    """learning rate of the mixed stage: falling to zero after a rise, or constant after 100 steps as Wonder3D has it;
    that of the joint stage is constant"""
    weight_decay: Weight = 0.01
    """weight decay of AdamW"""
    normals: Share = 0.05
    """share of people whose normals are trained on in the mixed stage (Wonder3D: 0.5)"""
    noisy: Annotated[float, Bounds(1, 10)] = 3.0
    """how much likelier strong noise is: the step of the noise is drawn as this root of an even draw; Wonder3D: 1"""
    drop: Annotated[Share, Bounds(0, 0.2)] = 0.01
    """probability that a person's token is left out, as much again that the picture is, and that both are; of drawings
    of the body twice as much (Wonder3D: 0.05)"""
    recolor: Share = 0.5
    """probability that a person's colours are exchanged and made stronger or weaker, in all views alike"""
    facing: Annotated[float, Bounds(0, 180)] = 60.0
    """degrees by which a person may look past the camera of the front view"""
    average: Annotated[float, Bounds(0, 1, below=True)] = 0.99
    """how much of the running average of weights, which is what is kept, stays in each step"""
    checkpoint_every: Steps = 100
    """optimiser steps between checkpoints"""
    validate_every: Steps = 200
    """optimiser steps between validations, each on one subject"""
    test_frames: FrameCount = 3
    """frames per test subject that are scored"""
    loss: Annotated[LossConfig, tyro.conf.Fixed, tyro.conf.Suppress] = field(default_factory=LossConfig)
    """not used: the loss is that of the noise"""

    PRESETS: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "micro": "a small network from nothing, about 15 minutes on one core (the default)",
            "paper": "the paper's fine-tune of the public weights, which --checkpoint names; for GPUs",
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint_steps > self.steps:
            raise ValueError(f"joint_steps: expected at most the {self.steps} of steps, found {self.joint_steps}")
        if self.size % 8:
            raise ValueError(f"size: expected a multiple of 8, found {self.size}")

    @classmethod
    def preset(cls, name: str) -> Self:
        """The defaults, but for what the preset of a name changes.

        Raises:
            KeyError: there is none of that name.
        """
        return {
            "micro": cls(),
            "paper": cls(
                name="wonder3d", size=256, image_size=1224, steps=50_000, joint_steps=20_000, lr=5e-5, joint_lr=2.5e-5,
                label_lr=10, schedule="constant", normals=0.5, recolor=0, noisy=1, drop=0.05, average=0.999,
                precision="bf16", checkpoint_every=500, validate_every=1000,
            ),
        }[name]  # fmt: skip

    @property
    def captures(self) -> Path:
        """Where the captures are."""
        return self.data or PEOPLE.out
