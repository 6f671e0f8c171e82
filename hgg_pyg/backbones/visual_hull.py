"""A soft visual hull: how sure the masks of all cameras are that a place belongs to the person."""

from __future__ import annotations

import numpy as np
from numba import njit

from hgg_pyg.kernels.numba_tools import OPTIONS


def coverage(
    positions: np.ndarray,  # [..., 3]
    masks: np.ndarray,  # [V, H, W]
    viewmats: np.ndarray,  # [V, 4, 4]
    Ks: np.ndarray,  # [V, 3, 3]
) -> np.ndarray:
    """The least of the masks at a place, read between pixel centres linearly.

    A camera that does not have the place in its image, between the centres of its outermost pixels, does not count.

    Returns:
        [...] in [0, 1]
    """
    places = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    projections = np.ascontiguousarray(Ks @ viewmats[:, :3], dtype=np.float64)
    return _least(places, np.ascontiguousarray(masks, dtype=np.float64), projections).reshape(positions.shape[:-1])


@njit(nogil=True, **OPTIONS)
def _least(places, masks, projections):  # pyright: ignore[reportMissingParameterType]
    height, width = masks.shape[1:]
    least = np.ones(len(places))
    for i in range(len(places)):
        x, y, z = places[i]
        for view in range(len(masks)):
            across, down, depth = projections[view]
            distance = depth[0] * x + depth[1] * y + depth[2] * z + depth[3]
            if distance <= 0:
                continue
            column = (across[0] * x + across[1] * y + across[2] * z + across[3]) / distance - 0.5
            row = (down[0] * x + down[1] * y + down[2] * z + down[3]) / distance - 0.5
            if not (0 < column < width - 1 and 0 < row < height - 1):
                continue
            left, top = int(column), int(row)
            right, low = column - left, row - top
            upper = (1 - right) * masks[view, top, left] + right * masks[view, top, left + 1]
            lower = (1 - right) * masks[view, top + 1, left] + right * masks[view, top + 1, left + 1]
            least[i] = min(least[i], (1 - low) * upper + low * lower)
    return least
