"""Which views a model of several views draws, and how: what stands in its folder beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from hgg_pyg.config import Bounds, Pixels, Repeats, Share, check_choices

QUARTERS = (0.0, 90.0, 180.0, 270.0)
"""degrees about the person at which networks of four views look: front, the person's left, back, right"""

NAMES = {0.0: "front", 45.0: "front left", 90.0: "left", 180.0: "back", 270.0: "right", 315.0: "front right"}
"""of the person's own sides that cameras at these azimuths see"""


@dataclass(frozen=True)
class ViewsConfig:
    """The views of a model, in its order. The defaults are the public Wonder3D's."""

    azimuths: tuple[float, ...] = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
    """degrees from the input view about the vertical axis, towards the right of the input picture"""
    label_elevations: tuple[float, ...] = (0.0, -0.2362, -0.1686, 0.5220, 0.6904, 0.3733)
    """what the network was told of each view's elevation from the input's, radians"""
    label_azimuths: tuple[float, ...] = (0.0, 0.8125, 1.6934, 3.1406, 4.8359, 5.5859)
    """and of its azimuth; the public network's are those of a tilted world, and act as names of the views"""
    projection: Literal["orthographic", "pinhole"] = "orthographic"
    """orthographic: along the axes of the input view; pinhole: from as far away as the input camera, about the world's
    vertical axis"""
    size: Pixels = 256
    """width and height of the pictures, pixels"""
    person: Annotated[Share, Bounds(0, 1, above=True)] = 0.75
    """share of the picture that the longer side of the person's box takes"""
    guided: bool = False
    """whether the network is shown drawings of the posed body beside the input picture"""
    steps: Repeats = 20
    """steps of DDIM"""
    eta: Share = 1.0
    """how much of the noise DDIM draws anew in each step"""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("label_elevations", "label_azimuths"):
            if len(getattr(self, name)) != len(self.azimuths):
                raise ValueError(f"{name}: expected {len(self.azimuths)} numbers, found {len(getattr(self, name))}")
        if missing := [f"{azimuth:g}" for azimuth in QUARTERS if azimuth not in self.azimuths]:
            raise ValueError(f"azimuths: expected 0, 90, 180 and 270 among them, found none at {', '.join(missing)}")

    @property
    def quarters(self) -> list[int]:
        """Which of the views are front, left, back and right."""
        return [self.azimuths.index(azimuth) for azimuth in QUARTERS]

    def labels(self, domains: Sequence[int]) -> Tensor:
        """Of all views of some domains (0 normals, 1 colours), domains outermost. [D V, 5] float32"""
        angles = torch.tensor([self.label_elevations, self.label_azimuths]).mT  # [V, 2]
        return torch.cat([label_views(angles, domain) for domain in domains])


def label_views(angles: Tensor, domain: int) -> Tensor:
    """[V, 2] elevations and azimuths from the input view, radians -> [V, 5] labels of a domain."""
    flags = torch.tensor([0.0, 1.0] if domain else [1.0, 0.0]).to(angles)
    return torch.cat([torch.zeros_like(angles[:, :1]), angles, flags.expand(len(angles), 2)], 1)
