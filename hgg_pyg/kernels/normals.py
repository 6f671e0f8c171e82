"""Normals at a mesh's vertices."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel

_LEAST = 1e-13  # twice the area of a triangle that has a normal
_SHARPEST = 1e-8  # radians; a triangle with a sharper corner counts as none


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit outward normals, each the mean over the triangles around a vertex weighted by their angles there.

    They are trimesh's (Thürmer and Wüthrich 1998), in a fifth of the time.

    Args:
        vertices: [N, 3] float64
        faces: [F, 3] int64, counter-clockwise seen from outside.

    Returns:
        [N, 3]; zero for a vertex without triangles.
    """
    sums = np.zeros_like(vertices)
    _sum_up(vertices, faces, sums)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > _LEAST)


@kernel
def _unit(x, y, z):
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@kernel
def _angle(a, b):
    return math.acos(min(max(a[0] * b[0] + a[1] * b[1] + a[2] * b[2], -1.0), 1.0))


@kernel
def _sum_up(vertices, faces, sums):
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        vx, vy, vz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        wx, wy, wz = vertices[k, 0] - vertices[j, 0], vertices[k, 1] - vertices[j, 1], vertices[k, 2] - vertices[j, 2]
        x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        length = math.sqrt(x * x + y * y + z * z)
        if not length > _LEAST:
            continue
        u, v, w = _unit(ux, uy, uz), _unit(vx, vy, vz), _unit(wx, wy, wz)
        first, second = _angle(u, v), math.pi - _angle(u, w)
        third = math.pi - first - second
        if min(first, second, third) < _SHARPEST:
            continue
        for corner, angle in ((i, first), (j, second), (k, third)):
            sums[corner, 0] += angle * x / length
            sums[corner, 1] += angle * y / length
            sums[corner, 2] += angle * z / length
