"""Axes that a surface has of its own: its normal and two tangents at every vertex."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_ACROSS = 0.1  # sine of the angle to the vertical below which a normal takes its tangents from another axis


def tangent_frames(vertices: Tensor, faces: Tensor) -> Tensor:
    r"""A right-handed frame at each vertex of a mesh: outward normal, horizontal tangent, the tangent that goes up.

    .. math::
        n \propto \sum_{f \ni v} (b_f - a_f) \times (c_f - a_f), \qquad t \propto y \times n, \qquad u = n \times t

    the mean normal of the triangles around a vertex, weighted by their areas. Where n is within 6 degrees of vertical,
    as on the crown and under the feet, z stands for y. A vertex of no triangle, or of triangles whose normals cancel,
    has the axes of the world.

    Args:
        vertices: [N, 3] with y up, as bodies at rest have them.
        faces: [F, 3] counter-clockwise seen from outside.

    Returns:
        [N, 3, 3], columns n, t, u: a rotation that takes coordinates in the frame to those of the vertices
    """
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    around = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices).index_add_(0, faces.T.flatten(), around.repeat(3, 1))
    lengths = normals.norm(dim=1, keepdim=True)
    normals = normals / lengths.clamp_min(torch.finfo(vertices.dtype).tiny)
    y, z = (vertices.new_tensor(axis) for axis in ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    level = torch.linalg.cross(y.expand_as(normals), normals)
    level = torch.where(
        level.norm(dim=1, keepdim=True) < _ACROSS, torch.linalg.cross(z.expand_as(normals), normals), level
    )
    level = F.normalize(level, dim=1)
    frames = torch.stack([normals, level, torch.linalg.cross(normals, level)], -1)
    return torch.where((lengths > 0)[..., None], frames, torch.eye(3, dtype=vertices.dtype, device=vertices.device))
