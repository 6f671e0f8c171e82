"""Points on a person's skin, carried along where pose and shape are changed."""

from __future__ import annotations

import torch
from scipy.spatial import KDTree
from torch import Tensor

from hgg_pyg.body.model import BodyModel
from hgg_pyg.types import BodyPose


@torch.no_grad()
def carry(points: Tensor, body: BodyModel, before: BodyPose, after: BodyPose) -> Tensor:
    """Move points of one frame with the vertices that are nearest to them.

    Args:
        points: [P, 3] metres, world.
        body: whose poses they are.
        before: the one pose that the points belong to.
        after: the one that they are to have.

    Returns:
        [P, 3]; a vertex of the first pose becomes the same vertex of the other.
    """
    old, new = (body.pose(pose) for pose in (before, after))
    world = points.double()
    _, rows = KDTree(old.vertices[0].double().numpy()).query(world.numpy())
    nearest = torch.as_tensor(rows)
    maps, moved = (posed.vertex_transforms[0, nearest].double() for posed in (old, new))
    rest = torch.linalg.solve(maps[:, :3, :3], (world - maps[:, :3, 3])[..., None])[..., 0]
    rest = rest + (new.v_shaped - old.v_shaped)[nearest]
    return ((moved[:, :3, :3] @ rest[..., None])[..., 0] + moved[:, :3, 3]).to(points)
