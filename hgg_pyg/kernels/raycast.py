"""Where rays first meet a triangle mesh. trimesh asks Embree where it is installed, else its own, slower search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh


@dataclass(frozen=True)
class Hits:
    """First meetings of k rays with a mesh, in the order of the rays; n of them meet it, the others are not listed."""

    met: np.ndarray  # [k] bool, whether the ray meets it
    rays: np.ndarray  # [n] which ray
    faces: np.ndarray  # [n] which triangle
    shares: np.ndarray  # [n, 3] barycentric coordinates in it
    distances: np.ndarray  # [n] from the ray's origin, in lengths of its direction
    behind: np.ndarray  # [n] bool, met from its inner side

    def per_ray(self, values: np.ndarray) -> np.ndarray:
        """Values of the hits as values of all rays, zero where a ray misses. [n, ...] -> [k, ...]"""
        spread = np.zeros((len(self.met), *values.shape[1:]), values.dtype)
        spread[self.rays] = values
        return spread


class RayMesh:
    """A triangle mesh that rays can be sent into.

    Embree and trimesh are asked for no more than the triangle that is met, which they find in float32. Where in it, and
    how far away, follows from its corners in the type of the vertices.

    Args:
        vertices: [N, 3] float32 or float64.
        faces: [F, 3] int, counter-clockwise seen from outside.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        # Numbers near zero keep their precision in float32 wherever in the world the mesh stands.
        self._middle = vertices.mean(0)
        near = vertices - self._middle
        self._mesh = trimesh.Trimesh(near, faces, process=False)
        self._faces, self._corners = faces, near[faces]

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Follow rays until they meet something. A triangle seen exactly from its edge, which has no place, is missed.

        Args:
            origins: [k, 3], or [3] for rays from one point.
            directions: [k, 3], of any length but zero.
        """
        origins = (origins - self._middle).astype(self._corners.dtype)
        directions = directions.astype(self._corners.dtype, copy=False)
        found = self._mesh.ray.intersects_first(np.broadcast_to(origins, directions.shape), directions)
        rays = np.flatnonzero(found >= 0)
        faces, along = found[rays], directions[rays]
        # Moeller and Trumbore 1997, in the triangles that are known to be met.
        a, b, c = self._corners[faces].transpose(1, 0, 2)
        first, second, offset = b - a, c - a, (origins[rays] if origins.ndim > 1 else origins) - a
        across, turned = np.cross(along, second), np.cross(offset, first)
        volume = _dot(first, across)
        safe = np.where(volume == 0, 1, volume)
        distances = _dot(second, turned) / safe
        u = np.clip(_dot(offset, across) / safe, 0, 1)
        v = np.clip(_dot(along, turned) / safe, 0, 1 - u)
        shares = np.stack([1 - u - v, u, v], 1)
        seen = (volume != 0) & (distances > 0)
        if not seen.all():
            rays, faces, volume = rays[seen], faces[seen], volume[seen]
            shares, distances = shares[seen], distances[seen]
        met = np.zeros(len(directions), bool)
        met[rays] = True
        return Hits(met, rays, faces, shares, distances, volume < 0)

    def interpolate(self, values: np.ndarray, hits: Hits) -> np.ndarray:
        """Values of the vertices where rays meet the mesh. [N, C] -> [n, C]"""
        corners = self._faces[hits.faces]
        a, b, c = (hits.shares[:, i, None] * values[corners[:, i]] for i in range(3))
        return a + b + c


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nk->n", a, b)
