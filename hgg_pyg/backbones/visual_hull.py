"""A soft visual hull: how sure the masks of all cameras are that a place belongs to the person."""

from __future__ import annotations

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel


def coverage(
    positions: np.ndarray,  # [n, 3]
    directions: np.ndarray,  # [n, 3]
    reaches: np.ndarray,  # [R]
    masks: np.ndarray,  # [V, H, W] in [0, 1]
    viewmats: np.ndarray,  # [V, 4, 4]
    Ks: np.ndarray,  # [V, 3, 3]
) -> np.ndarray:
    """The least of the masks at places p + r d, read between pixel centres linearly.

    A camera that does not have the place in its image, between the centres of its outermost pixels, does not count.

    Returns:
        [n, R] in [0, 1]
    """
    positions, directions = (np.ascontiguousarray(x, np.float64) for x in (positions, directions))
    projections = np.ascontiguousarray(Ks @ viewmats[:, :3], np.float64)
    reaches = np.ascontiguousarray(reaches, np.float64)
    least = np.ones((len(positions), len(reaches)))
    _lower(positions, directions, reaches, np.ascontiguousarray(masks, np.float32), projections, least)
    return least


@kernel
def _turn(m, vector):  # pyright: ignore[reportMissingParameterType]
    x, y, z = vector[0], vector[1], vector[2]
    first, second = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z, m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
    return first, second, m[2, 0] * x + m[2, 1] * y + m[2, 2] * z


@kernel
def _lower(positions, directions, reaches, masks, projections, least):  # pyright: ignore[reportMissingParameterType]
    views, height, width = masks.shape
    for i in range(len(positions)):
        for view in range(views):
            # A place's projection is, before the division, that of p and r times that of d.
            m = projections[view]
            x, y, z = _turn(m, positions[i])
            u, v, w = _turn(m, directions[i])
            x, y, z = x + m[0, 3], y + m[1, 3], z + m[2, 3]
            for k in range(len(reaches)):
                if least[i, k] == 0:  # it cannot become less
                    continue
                depth = z + reaches[k] * w
                if depth <= 0:
                    continue
                column = (x + reaches[k] * u) / depth - 0.5
                row = (y + reaches[k] * v) / depth - 0.5
                if not (0 < column < width - 1 and 0 < row < height - 1):
                    continue
                left, top = np.uint64(column), np.uint64(row)
                after, below = left + np.uint64(1), top + np.uint64(1)
                right, low = column - left, row - top
                upper = (1 - right) * masks[view, top, left] + right * masks[view, top, after]
                lower = (1 - right) * masks[view, below, left] + right * masks[view, below, after]
                least[i, k] = min(least[i, k], (1 - low) * upper + low * lower)
