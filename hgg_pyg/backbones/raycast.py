"""Where rays from a camera first meet a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh


@dataclass(frozen=True)
class Hits:
    """First intersections of n rays. Rows of rays that miss are zero."""

    hit: np.ndarray  # [n] bool
    distance: np.ndarray  # [n] in lengths of the ray's direction
    normals: np.ndarray  # [n, 3] unit, outward, interpolated between the vertices


class Mesh:
    """A triangle mesh to cast rays into.

    Args:
        vertices: [N, 3] float64
        faces: [F, 3] int64, counter-clockwise seen from outside
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        # Embree computes in float32: numbers near zero keep their precision wherever in the world the body stands.
        self._middle = vertices.mean(0)
        self._mesh = trimesh.Trimesh(vertices - self._middle, faces, process=False)

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Hits:
        """First hits of rays from one point. origin [3], directions [n, 3] of any length, float64

        trimesh asks Embree where it is installed, else its own slower search, for no more than the triangle that is
        met. The place follows in float64 from the triangle's plane.
        """
        mesh, origin = self._mesh, origin - self._middle
        ids = mesh.ray.intersects_first(np.tile(origin, (len(directions), 1)), directions)
        rays = np.flatnonzero(ids >= 0)
        met = ids[rays]
        plane = mesh.face_normals[met]
        along = (plane * directions[rays]).sum(1)
        reach = (plane * (mesh.triangles[met, 0] - origin)).sum(1) / np.where(along == 0, 1, along)
        seen = (along != 0) & (reach > 0)  # a triangle seen exactly from its edge has no place
        rays, met, reach = rays[seen], met[seen], reach[seen]
        points = origin + reach[:, None] * directions[rays]
        shares = trimesh.triangles.points_to_barycentric(mesh.triangles[met], points).clip(0, 1)
        normals = (shares[..., None] * mesh.vertex_normals[mesh.faces[met]]).sum(1)
        hits = Hits(np.zeros(len(directions), bool), np.zeros(len(directions)), np.zeros((len(directions), 3)))
        hits.hit[rays], hits.distance[rays] = True, reach
        hits.normals[rays] = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
        return hits
