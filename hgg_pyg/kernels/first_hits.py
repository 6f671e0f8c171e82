"""Where rays through pixel centres first meet a triangle mesh, without a scene to build.

Such rays leave one point and end on a lattice, so triangles are taken one by one to the few pixels that each can cover.
A ray is tested as Woop, Benthin and Wald (2013) do it: the corners are sheared until the ray is the axis of depth, and
it is inside when it is on the same side of three edges. An edge that two triangles share gives both the same number up
to its sign, so that no ray slips between them. `raycast.RayMesh` answers the same for rays of any kind.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel

_IN_FRONT = 1e-9  # depth, in whatever unit the world has; a nearer corner has no pixel that can be trusted
_MARGIN = 1e-6  # pixels; rounding of a corner's place must not keep its triangle from a pixel that the test gives it


@dataclass(frozen=True)
class PixelHits:
    """First meetings of the rays through n pixels with a mesh."""

    faces: np.ndarray  # [n] int64, which triangle is met, from either side; -1: none
    shares: np.ndarray  # [n, 3] barycentric coordinates in it; zero where none is
    depths: np.ndarray  # [n] how far along the ray, in lengths of its direction; infinite where none is


def first_hits(
    vertices: np.ndarray,
    faces: np.ndarray,
    origin: np.ndarray,
    directions: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
) -> PixelHits:
    """Follow the rays through pixels' centres, o + depth D (column + 0.5, row + 0.5, 1), until they meet a triangle.

    A triangle seen exactly from its edge is missed. Of several triangles at one depth the first in the list is met.

    Args:
        vertices: [N, 3] float64
        faces: [F, 3] int64
        origin: [3] float64, o: where the camera stands.
        directions: [3, 3] float64, D: R^T K^-1 of a camera; depths are then those along its axis.
        rows, columns: [n] int64 of different pixels; they may lie outside the image.
    """
    hits = PixelHits(np.full(len(rows), -1), np.zeros((len(rows), 3)), np.full(len(rows), np.inf))
    if len(rows):
        low, high = (rows.min(), columns.min()), (rows.max(), columns.max())
        which = np.full((high[0] - low[0] + 1, high[1] - low[1] + 1), -1, np.int32)
        which[rows - low[0], columns - low[1]] = np.arange(len(rows))
        projection = np.linalg.inv(directions)
        projection[:2] -= np.array(low[::-1])[:, None] * projection[2]  # pixels from the first row and column
        corners, spans = np.empty_like(vertices), np.zeros((len(vertices), 4), np.int32)
        _project(vertices, origin, projection, *which.shape, corners, spans)
        _meet(corners, spans, faces, which, hits.faces, hits.shares, hits.depths)
    return hits


@kernel
def _project(vertices, origin, projection, height, width, corners, spans):
    """Write of each vertex pixels times depth, and depth [N, 3]; if it is in front of the camera also, for the rows and
    then the columns, the first one whose centre is not before it, and one after the last whose centre is not behind it
    [N, 4]."""
    for n in range(len(vertices)):
        x, y, z = vertices[n, 0] - origin[0], vertices[n, 1] - origin[1], vertices[n, 2] - origin[2]
        for k in range(3):
            corners[n, k] = projection[k, 0] * x + projection[k, 1] * y + projection[k, 2] * z
        if corners[n, 2] > _IN_FRONT:
            spans[n, 0], spans[n, 1] = _span(corners[n, 1] / corners[n, 2], height)
            spans[n, 2], spans[n, 3] = _span(corners[n, 0] / corners[n, 2], width)


@kernel
def _span(place, count):
    if math.isnan(place):  # it has no pixels, and no number that could be made an integer
        return 0, 0
    first = math.ceil(min(max(place - 0.5 - _MARGIN, 0.0), float(count)))
    return first, math.floor(min(max(place - 0.5 + _MARGIN, -1.0), count - 1.0)) + 1


@kernel
def _meet(corners, spans, faces, which, met, shares, depths):
    for f in range(len(faces)):
        a, b, c = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
        az, bz, cz = corners[a, 2], corners[b, 2], corners[c, 2]
        if min(az, bz, cz) > _IN_FRONT:
            top, bottom = min(spans[a, 0], spans[b, 0], spans[c, 0]), max(spans[a, 1], spans[b, 1], spans[c, 1])
            start, end = min(spans[a, 2], spans[b, 2], spans[c, 2]), max(spans[a, 3], spans[b, 3], spans[c, 3])
        elif max(az, bz, cz) <= 0:
            continue
        else:  # it reaches past the camera: any pixel may see it
            top, start, bottom, end = 0, 0, which.shape[0], which.shape[1]
        for row in range(top, bottom):
            y = row + 0.5
            ay, by, cy = corners[a, 1] - y * az, corners[b, 1] - y * bz, corners[c, 1] - y * cz
            for column in range(start, end):
                at = which[row, column]
                if at < 0:
                    continue
                x = column + 0.5
                ax, bx, cx = corners[a, 0] - x * az, corners[b, 0] - x * bz, corners[c, 0] - x * cz
                u, v, w = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
                if not ((u >= 0 and v >= 0 and w >= 0) or (u <= 0 and v <= 0 and w <= 0)):
                    continue
                volume = u + v + w
                if volume == 0:
                    continue
                u, v, w = u / volume, v / volume, w / volume
                depth = u * az + v * bz + w * cz
                if 0 < depth < depths[at]:
                    met[at], depths[at] = f, depth
                    shares[at, 0], shares[at, 1], shares[at, 2] = u, v, w
