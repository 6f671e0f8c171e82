"""How well cameras see each vertex of a posed body: how squarely, how finely, and whether anything hides it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.kernels.first_hits import first_hits
from hgg_pyg.kernels.normals import vertex_normals
from hgg_pyg.types import Cameras

_MAP_SIDE = 192  # pixels of the depth map, whatever the images have: 1 cm each for a person who stands
_TOLERANCE = 0.004  # metres by which a vertex may lie behind the surface that is seen beside it


@torch.no_grad()
def seen_vertices(vertices: Tensor, faces: Tensor, cameras: Cameras) -> Tensor:
    r"""Cosine of the angle at which each vertex is seen by each camera, 0 where it is turned away, hidden or outside.

    A vertex is hidden where a depth map of the body has a nearer surface in all of the four pixels around it.

    Args:
        vertices: [N, 3] world, metres.
        faces: [F, 3] counter-clockwise seen from outside.
        cameras: V

    Returns:
        [V, N] float32 in [0, 1]
    """
    points, triangles = vertices.double().cpu().numpy(), faces.cpu().contiguous().numpy()
    normals = vertex_normals(points, triangles)
    viewmats, Ks = (x.double().cpu().numpy() for x in (cameras.viewmats, cameras.Ks))
    seen = np.zeros((len(cameras), len(points)), np.float32)
    for row, viewmat, K in zip(seen, viewmats, Ks, strict=True):
        inside = points @ viewmat[:3, :3].T + viewmat[:3, 3]
        depth = inside[:, 2]
        toward = -viewmat[:3, :3].T @ viewmat[:3, 3] - points
        facing = (normals * toward).sum(1) / np.linalg.norm(toward, axis=1).clip(1e-12)
        pixels = inside @ K.T
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = pixels[:, :2] / pixels[:, 2:]
        candidate = (facing > 0) & (depth > 1e-6) & np.isfinite(pixels).all(1)
        candidate &= ((pixels >= 0) & (pixels <= (cameras.width, cameras.height))).all(1)
        if candidate.any():
            candidate[candidate] = _nothing_before(points, triangles, viewmat, K, pixels[candidate], depth[candidate])
            row[candidate] = facing[candidate]
    return torch.from_numpy(seen).clamp(0, 1)


def _nothing_before(
    vertices: np.ndarray, faces: np.ndarray, viewmat: np.ndarray, K: np.ndarray, pixels: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Of places in an image, whether they are as near as what the depth map has around them. [n]"""
    low, high = pixels.min(0), pixels.max(0)
    zoom = (_MAP_SIDE - 2) / max(float((high - low).max()), 1e-9)
    to_map = np.array([[zoom, 0, 1 - zoom * low[0]], [0, zoom, 1 - zoom * low[1]], [0, 0, 1]])
    width, height = (np.ceil((high - low) * zoom) + 3).astype(int)
    rows, columns = (x.ravel() for x in np.mgrid[:height, :width])
    to_world = viewmat[:3, :3].T @ np.linalg.inv(to_map @ K)
    origin = -viewmat[:3, :3].T @ viewmat[:3, 3]
    nearest = first_hits(vertices, faces, origin, to_world, rows, columns).depths.reshape(height, width)
    at = (pixels - low) * zoom + 0.5  # of the pixel whose centre is to the upper left, plus a share of the next
    column, row = np.floor(at).astype(int).clip(0).T
    column, row = column.clip(max=width - 2), row.clip(max=height - 2)
    around = np.stack([nearest[row + i, column + j] for i in (0, 1) for j in (0, 1)])
    return depth <= around.max(0) + _TOLERANCE
