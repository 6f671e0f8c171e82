"""The squares that poses are corrected by, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from hgg_pyg.types import Cameras


@dataclass(frozen=True)
class PoseImages:
    """Squares around the person in T frames by V cameras, all of one size."""

    cameras: Cameras  # [T, V]
    rgb: Tensor  # [T, V, S, S, 3] on white
    alpha: Tensor  # [T, V, S, S, 1]

    def to(self, device: str | torch.device) -> PoseImages:
        """A copy on a device."""
        return PoseImages(self.cameras.to(device), self.rgb.to(device), self.alpha.to(device))

    def some(self, first: int, count: int) -> PoseImages:
        """Of each frame so many views from the first on, counted round and round; all where there are no more."""
        views = self.rgb.shape[1]
        if count >= views:
            return self
        chosen = [(first + i) % views for i in range(count)]
        cameras = replace(self.cameras, viewmats=self.cameras.viewmats[:, chosen], Ks=self.cameras.Ks[:, chosen])
        found = PoseImages(cameras, self.rgb[:, chosen], self.alpha[:, chosen])
        vars(found)["detail"] = self.detail[:, chosen]  # computed once for all of them
        return found

    @cached_property
    def detail(self) -> Tensor:
        r"""How fast images change, :math:`M |\nabla I|^2 + |\nabla M|^2` per squared pixel. [T, V, S, S]"""
        return self.alpha[..., 0] * _slope(self.rgb) + _slope(self.alpha)

    @cached_property
    def mean_color(self) -> Tensor:
        """Of the person in all images. [3]"""
        inside = self.alpha.flatten(0, 3)
        return (inside * self.rgb.flatten(0, 3)).sum(0) / inside.sum().clamp_min(1)


def _slope(images: Tensor) -> Tensor:
    """Squared gradient by central differences, half of which each side has, of all channels. [..., S, S, C]"""
    across, down = torch.gradient(images, dim=(-2, -3))
    return (across.square() + down.square()).sum(-1)
