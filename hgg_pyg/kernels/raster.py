"""Rasterising a posed mesh into one camera: its silhouette, and its nearest surface with a value at every vertex.

Triangles are filled at pixel centres. A silhouette takes a fraction of a millisecond, which is what makes it possible
to try hundreds of guesses about what is wrong with a capture.
"""

from __future__ import annotations

import math

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel

_NEAREST = 1e-6  # depth, in whatever unit the world has; a triangle that reaches nearer is not rendered


def silhouette(
    vertices: np.ndarray, faces: np.ndarray, viewmat: np.ndarray, K: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """The pixels whose centres the mesh covers.

    Args:
        vertices: [N, 3] float64
        faces: [F, 3] int64, in either orientation
        viewmat: [4, 4] float64, world to camera
        K: [3, 3] float64, pixels, without skew
        size: (width, height)

    Returns:
        [height, width] bool
    """
    points = _project(vertices, viewmat, K)
    return _fill(points, faces, size[0], size[1])


def surface(
    vertices: np.ndarray,
    faces: np.ndarray,
    values: np.ndarray,
    viewmat: np.ndarray,
    K: np.ndarray,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Where the mesh is seen, and a value at each vertex [N], interpolated over the nearest triangle.

    The other arguments are those of `silhouette`.

    Returns:
        [height, width] bool, and float64 that is 0 where nothing is seen.
    """
    points = _project(vertices, viewmat, K)
    nearness, rendered = _shade(points, faces, values, size[0], size[1])
    return nearness > 0, rendered


@kernel
def _project(vertices, viewmat, K):
    """Pixels and 1 / depth of each vertex, 0 for one too near, behind the camera or at no finite place. [N, 3]"""
    points = np.empty((vertices.shape[0], 3))
    for n in range(vertices.shape[0]):
        a, b, c = vertices[n, 0], vertices[n, 1], vertices[n, 2]
        depth = viewmat[2, 0] * a + viewmat[2, 1] * b + viewmat[2, 2] * c + viewmat[2, 3]
        nearness = 1 / depth if depth > _NEAREST else 0.0
        x = viewmat[0, 0] * a + viewmat[0, 1] * b + viewmat[0, 2] * c + viewmat[0, 3]
        y = viewmat[1, 0] * a + viewmat[1, 1] * b + viewmat[1, 2] * c + viewmat[1, 3]
        points[n, 0] = K[0, 0] * x * nearness + K[0, 2]
        points[n, 1] = K[1, 1] * y * nearness + K[1, 2]
        points[n, 2] = nearness if math.isfinite(points[n, 0]) and math.isfinite(points[n, 1]) else 0.0
    return points


@kernel
def _span(first, second, third, count):
    """The pixels between the least and the greatest of three places: the first, and one after the last."""
    low = min(max(min(first, second, third), 0.0), float(count))
    high = min(max(max(first, second, third), 0.0), float(count))
    return math.ceil(low - 0.5), math.floor(high - 0.5) + 1


@kernel
def _fill(points, faces, width, height):
    covered = np.zeros((height, width), np.bool_)
    left = width * height
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if points[i, 2] <= 0 or points[j, 2] <= 0 or points[k, 2] <= 0:
            continue
        ax, ay, bx, by, cx, cy = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        top, bottom = _span(ay, by, cy, height)
        start, end = _span(ax, bx, cx, width)
        for row in range(top, bottom):
            y = row + 0.5
            for column in range(start, end):
                if covered[row, column]:
                    continue
                x = column + 0.5
                u = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                v = (cx - bx) * (y - by) - (cy - by) * (x - bx)
                w = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
                if (u >= 0 and v >= 0 and w >= 0) or (u <= 0 and v <= 0 and w <= 0):
                    covered[row, column] = True
                    left -= 1
        if left == 0:  # a camera within the body: its triangles fill the image over and over
            break
    return covered


@kernel
def _shade(points, faces, values, width, height):
    nearness, rendered = np.zeros((height, width)), np.zeros((height, width))
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if points[i, 2] <= 0 or points[j, 2] <= 0 or points[k, 2] <= 0:
            continue
        ax, ay, bx, by, cx, cy = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        top, bottom = _span(ay, by, cy, height)
        start, end = _span(ax, bx, cx, width)
        for row in range(top, bottom):
            y = row + 0.5
            for column in range(start, end):
                x = column + 0.5
                w = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                u = ((cx - bx) * (y - by) - (cy - by) * (x - bx)) / area
                v = 1 - u - w
                if u < 0 or v < 0 or w < 0:
                    continue
                # 1 / depth is linear in the image, a value over the surface is not.
                near = u * points[i, 2] + v * points[j, 2] + w * points[k, 2]
                if near > nearness[row, column]:
                    nearness[row, column] = near
                    total = u * points[i, 2] * values[i] + v * points[j, 2] * values[j] + w * points[k, 2] * values[k]
                    rendered[row, column] = total / near
    return nearness, rendered
