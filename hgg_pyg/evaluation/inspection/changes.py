"""What the read-out did to the Gaussians of the reference frame t0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hgg_pyg.types import Gaussians


@dataclass(frozen=True)
class Change:
    """One property before and after, Gaussian by Gaussian."""

    name: str
    unit: str
    values: Tensor  # [M]
    signed: bool  # False: a distance

    def by_vertex(self, binding: Tensor, vertices: int) -> Tensor:
        """Means over the Gaussians that move with each vertex. binding [M] -> [N], NaN for a vertex without any"""
        total = self.values.new_zeros(vertices).index_add_(0, binding, self.values)
        return total / torch.bincount(binding, minlength=vertices)


def read_out_changes(before: Gaussians, after: Gaussians) -> tuple[Change, ...]:
    """Compare Gaussians [M] with what became of them [M], both in the rest pose; equal bits give exactly 0.

    Moved: mm between the centres. Recoloured: distance in RGB, each channel 0..1. Resized: log2 of the ratio of sizes,
    the geometric mean of the three axes. Opacity: the difference. Rotation: degrees.
    """
    quats = (torch.nn.functional.normalize(g.quats, dim=-1) for g in (before, after))
    first, second = quats
    # q and -q are one rotation; the chord between the nearer two is 2 sin(angle / 4).
    chord = torch.minimum((first - second).norm(dim=-1), (first + second).norm(dim=-1))
    angle = torch.rad2deg(4 * torch.asin((chord / 2).clamp(max=1)))
    return (
        Change("moved", "mm", 1000 * (after.means - before.means).norm(dim=-1), False),
        Change("recoloured", "distance in RGB, channels 0 to 1", (after.colors - before.colors).norm(dim=-1), False),
        Change("resized", "log2 of new size / old size", (after.scales / before.scales).log2().mean(-1), True),
        Change("opacity", "new - old, opacities 0 to 1", after.opacities - before.opacities, True),
        Change("rotation", "degrees", angle, False),
    )
