"""Where rays first meet a triangle mesh. trimesh asks Embree where it is installed, else its own, slower search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh


@dataclass(frozen=True)
class Hits:
    """First meetings of rays with a mesh; rays that miss are not listed."""

    rays: np.ndarray  # [n] which ray
    faces: np.ndarray  # [n] which triangle
    shares: np.ndarray  # [n, 3] barycentric coordinates in it, float32
    distances: np.ndarray  # [n] metres from the ray's origin, float32
    behind: np.ndarray  # [n] bool, met from its inner side


class RayMesh:
    """A triangle mesh that rays can be sent into.

    Args:
        vertices: [n, 3] metres.
        faces: [m, 3], anticlockwise seen from outside.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self._mesh = trimesh.Trimesh(vertices, faces, process=False)
        self._corners = vertices[faces].astype(np.float32)

    def first_hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Follow rays until they meet something. origins [k, 3], directions [k, 3] unit, float32"""
        faces = self._mesh.ray.intersects_first(origins, directions)
        rays = np.flatnonzero(faces >= 0)
        faces, start, along = faces[rays], origins[rays], directions[rays]
        # Moeller and Trumbore 1997, in the triangles that are known to be met.
        a, b, c = self._corners[faces].transpose(1, 0, 2)
        first, second, offset = b - a, c - a, start - a
        across, normal = np.cross(along, second), np.cross(first, second)
        volume = _dot(first, across)
        safe = np.where(np.abs(volume) > 1e-20, volume, 1e-20)
        u = np.clip(_dot(offset, across) / safe, 0, 1)
        crossed = np.cross(offset, first)
        v = np.clip(_dot(along, crossed) / safe, 0, 1 - u)
        return Hits(rays, faces, np.stack([1 - u - v, u, v], 1), _dot(second, crossed) / safe, _dot(normal, along) > 0)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nk->n", a, b)
