"""Geometry relative to the body, which is the same in every pose: what features of Gaussians are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hgg_pyg.body.skinning import matrix_to_quaternion, polar_rotation, quaternion_multiply
from hgg_pyg.kernels.nearest import nearest_vertices


@dataclass(frozen=True)
class Local:
    """Where M points are, seen from the vertex that each is nearest to, in the axes it has in the rest pose."""

    offsets: Tensor  # [M, 3] metres
    rotations: Tensor  # [M, 3, 3] rotation of the vertex's neighbourhood, from the rest pose to the world

    def directions(self, directions: Tensor) -> Tensor:
        """Directions in the world [M, 3] in the vertices' axes. [M, 3]"""
        return (self.rotations.mT @ directions[..., None])[..., 0]

    def quats(self, quats: Tensor) -> Tensor:
        """Orientations in the world [M, 4] wxyz in the vertices' axes. [M, 4], w >= 0: both signs are one rotation."""
        rotated = quaternion_multiply(matrix_to_quaternion(self.rotations.mT), quats)
        return torch.where(rotated[:, :1] < 0, -rotated, rotated)


def localise(points: Tensor, vertices: Tensor, vertex_transforms: Tensor) -> Local:
    """Points in the world [M, 3] beside a body of vertices [N, 3] with maps from the rest pose [N, 4, 4]."""
    nearest = nearest_vertices(points.detach().cpu().numpy(), vertices.detach().cpu().numpy())
    bound = torch.from_numpy(nearest).to(vertices.device)
    rotations = polar_rotation(vertex_transforms[:, :3, :3])[bound]
    return Local((rotations.mT @ (points - vertices[bound])[..., None])[..., 0], rotations)
