"""The vertex nearest to each of many points, exactly: cubic cells, and a ball around the point that grows as it must.

Points that follow each other, as pixels do, lie side by side: the vertex nearest to the point before bounds the first
ball. All vertices within a ball that holds one are compared, so that the guess decides the time alone.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel

_CELLS_PER_VERTEX = 3.0  # of the box around the vertices; those of a body are then 2 cm wide, one in ten not empty
_FARTHEST = 1e60  # metres; volumes and squares of distances must not overflow
_FIRST_REACH = 0.7  # radius of the first ball, sides of a cell


def nearest_vertices(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The vertex nearest to each point, in float64; of several that are equally near the first.

    Args:
        points: [M, 3], in any order.
        vertices: [N, 3], N at least 1.

    Returns:
        [M] int64

    Raises:
        ValueError: there are no vertices, or a number is not finite.
    """
    points, vertices = np.ascontiguousarray(points, np.float64), np.ascontiguousarray(vertices, np.float64)
    if len(vertices) == 0:
        raise ValueError("nearest_vertices: expected at least one vertex, found none")
    if not (abs(points).max(initial=0) < _FARTHEST and abs(vertices).max() < _FARTHEST):
        raise ValueError(f"nearest_vertices: expected finite points and vertices, within {_FARTHEST:g}, found others")
    origin, extent = vertices.min(0), np.ptp(vertices, 0)
    extent = np.maximum(extent, max(extent.max() / 100, 1e-12))  # a flat body has cells as well
    side = float(np.cbrt(extent.prod() / (_CELLS_PER_VERTEX * len(vertices))))
    return _search(points, vertices, origin, side, (extent / side).astype(np.int64) + 1)


@kernel
def _cell(place, origin, side, count):
    """Where along an axis a place is, in cells; of a place outside the first or the last."""
    return int(min(max((place - origin) / side, 0.0), count - 1.0))


@kernel
def _search(points, vertices, origin, side, shape):
    # Vertices in the order of their cells, and where each cell begins: a column of cells along z is one run of them.
    cells = np.empty(len(vertices), np.int64)
    begins = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for n in range(len(vertices)):
        cell = _cell(vertices[n, 0], origin[0], side, shape[0])
        cell = cell * shape[1] + _cell(vertices[n, 1], origin[1], side, shape[1])
        cells[n] = cell * shape[2] + _cell(vertices[n, 2], origin[2], side, shape[2])
        begins[cells[n] + 1] += 1
    for cell in range(1, len(begins)):
        begins[cell] += begins[cell - 1]
    free = begins[:-1].copy()
    ids, places = np.empty(len(vertices), np.int64), np.empty((len(vertices), 3))
    for n in range(len(vertices)):
        at = free[cells[n]]
        free[cells[n]] += 1
        ids[at] = n
        for k in range(3):
            places[at, k] = vertices[n, k]

    found = np.empty(len(points), np.int64)
    best = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        least = (x - vertices[best, 0]) ** 2 + (y - vertices[best, 1]) ** 2 + (z - vertices[best, 2]) ** 2
        reach = min(np.sqrt(least), _FIRST_REACH * side)
        while True:
            wide = reach * (1 + 1e-12)  # rounding must not leave out a vertex on the ball
            left, right = _cell(x - wide, origin[0], side, shape[0]), _cell(x + wide, origin[0], side, shape[0])
            low, high = _cell(y - wide, origin[1], side, shape[1]), _cell(y + wide, origin[1], side, shape[1])
            near, far = _cell(z - wide, origin[2], side, shape[2]), _cell(z + wide, origin[2], side, shape[2])
            for column in range(left, right + 1):
                for row in range(low, high + 1):
                    first = (column * shape[1] + row) * shape[2]
                    for at in range(begins[first + near], begins[first + far + 1]):
                        distance = (x - places[at, 0]) ** 2 + (y - places[at, 1]) ** 2 + (z - places[at, 2]) ** 2
                        if distance < least or (distance == least and ids[at] < best):
                            least, best = distance, ids[at]
            if least <= wide * wide:
                break
            reach = min(2 * reach, np.sqrt(least))
        found[i] = best
    return found
