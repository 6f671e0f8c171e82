"""The paper's baseline: one frame's Gaussians, bound to the body as they are."""

from __future__ import annotations

from itertools import pairwise
from typing import overload

from torch import nn
from torch_geometric.data import Batch, HeteroData

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.types import BodyPose, Gaussians


class DirectBinding(nn.Module):
    """Takes the reference frame's Gaussians in the rest pose for the avatar. Nothing is learnt.

    An untrained `HGGNet` gives the same, bit for bit.
    """

    @property
    def mend(self) -> int:
        """Rounds in which it corrects poses: none."""
        return 0

    def mended(self, body: BodyModel, poses: BodyPose, images: PoseImages) -> BodyPose:
        """The poses as they are."""
        return poses

    @property
    def feedback(self) -> int:
        """Input frames whose images it is told about: none."""
        return 0

    @property
    def rounds(self) -> int:
        """How often it looks: once."""
        return 1

    @property
    def shift(self) -> str:
        """Axes of shifts: there are none, so any."""
        return "rest"

    def forward(self, graph: HeteroData) -> Gaussians:
        """The reference frame's Gaussians. -> [M], without features"""
        return bound_gaussians(graph)

    def avatar(self, graph: HeteroData) -> BoundAvatar:
        """One person's graph to an animatable avatar."""
        return as_avatar(self(graph), graph)


def bound_gaussians(graph: HeteroData) -> Gaussians:
    """The avatar nodes of a graph as Gaussians in the rest pose. -> [M], without features"""
    start = graph["avatar"]
    return Gaussians(start.pos, start.quats, start.scales, start.opacities, start.colors)


@overload
def as_avatar(gaussians: Gaussians, graph: Batch) -> list[BoundAvatar]: ...  # pyright: ignore[reportOverlappingOverload]


@overload
def as_avatar(gaussians: Gaussians, graph: HeteroData) -> BoundAvatar: ...


def as_avatar(gaussians: Gaussians, graph: HeteroData | Batch) -> BoundAvatar | list[BoundAvatar]:
    """Gaussians of a graph's avatar nodes, and what they are bound to.

    Args:
        gaussians: [M] in the order of the avatar nodes.
        graph: of one person, or a `Batch` of several.

    Returns:
        The avatar, of a `Batch` one per person.
    """
    binding, betas = graph["avatar"].binding, graph["betas"]
    if not isinstance(graph, Batch):
        return BoundAvatar(gaussians, binding, betas[0])
    bounds = graph["avatar"].ptr.tolist()
    spans = [slice(start, stop) for start, stop in pairwise(bounds)]
    return [BoundAvatar(gaussians[span], binding[span], shape) for span, shape in zip(spans, betas, strict=True)]
