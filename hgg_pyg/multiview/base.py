"""What a front is: one camera's picture of a moment in, four views of it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Protocol

import torch
import tyro
from torch import Tensor

from hgg_pyg.backbones.base import Moment
from hgg_pyg.config import Bounds, Repeats, check_choices
from hgg_pyg.types import Cameras


@dataclass(frozen=True)
class FrontConfig:
    """Which front makes four views of one camera's, and its options."""

    name: Annotated[str, tyro.conf.arg(name="")] = "none"
    """what makes four views of one camera's, before the per-frame network: none, wonder3d (needs a checkpoint), or
    module:NAME of yours"""
    checkpoint: Path | None = None
    """folder of weights: the public wonder3d-v1.0, or one that finetune_multiview wrote"""
    steps: Repeats | None = None
    """steps of DDIM; by default the checkpoint's, of the public weights 20"""
    guidance: Annotated[float, Bounds(0, 100)] = 1.0
    """weight of the input picture, 1 for none beyond what it says; another doubles the time"""
    facing: Annotated[float, Bounds(0, 180)] = 75.0
    """degrees by which a person may look past the camera; frames that show more of their back are left out"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True)
class FrontViews:
    """The same moment from all around: what a network of four views is given in the place of four cameras' images."""

    cameras: Cameras  # V = 4: front, left, back, right
    images: Tensor  # [V, S, S, 3] in [0, 1]: the first is the input's own, cut out, the others are drawn
    masks: Tensor  # [V, S, S] share of the pixel that the person covers


class Front(Protocol):
    """Draws what one camera does not see. Frozen: same input, same output."""

    @property
    def one_core(self) -> bool:
        """Whether it computes on the CPU: several threads then call it side by side, with one of torch's each."""
        ...

    @property
    def digest(self) -> str:
        """Changes with everything besides the moment that its views, or that there are none, depend on."""
        ...

    def unfit(self, moment: Moment) -> str | None:
        """Why no views can be drawn of a moment, as far as its pose tells; None if they can. It reads no image."""
        ...

    def __call__(self, moment: Moment) -> FrontViews:
        """Four views of a moment of one camera.

        Raises:
            UserError: its mask does not show one person, or a file is broken.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class FrontKind:
    """One way of drawing views: a file of `fronts` defines one as `FRONT`."""

    name: str
    summary: str
    """what it is, in a line"""
    make: Callable[[FrontConfig, torch.device], Front]
    """Makes it ready to use; raises UserError where its files are missing or of another model."""
    requires: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """modules that it needs, each with the name that pip knows it by"""
