"""The chosen pixel nearest to each of some pixels, exactly.

Two sweeps say for every pixel which chosen one of its column is nearest; a pixel then looks through the columns to its
left and right until they are too far away to matter. For pixels near what they look for this beats the transforms that
answer for a whole image.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel


def nearest_pixels(chosen: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chosen pixel nearest to each pixel of a list; of equally near ones the leftmost, of these the highest.

    Args:
        chosen: [H, W] bool
        rows, columns: [k] int64

    Returns:
        [k] int64 position in the flattened image, -1 where no pixel is chosen; [k] float64 distance in pixels, then
        infinite.
    """
    found, squares = _search(np.ascontiguousarray(chosen), rows, columns)
    return found, np.where(found < 0, np.inf, np.sqrt(squares))


@kernel
def _search(chosen, rows, columns):
    height, width = chosen.shape
    none = np.int32(2 * (height + width))  # farther than any pixel
    # Rows down to the nearest chosen pixel of the column, negative where it is above.
    offsets = np.empty((height, width), np.int32)
    for row in range(height - 1, -1, -1):
        for column in range(width):
            if chosen[row, column]:
                offsets[row, column] = 0
            else:
                offsets[row, column] = min(offsets[row + 1, column] + 1, none) if row + 1 < height else none
    for row in range(1, height):
        for column in range(width):
            above = offsets[row - 1, column] - 1
            if above < 0 and -above <= offsets[row, column]:
                offsets[row, column] = above
    found, squares = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        row, column = rows[i], columns[i]
        best, least = column, np.int64(offsets[row, column]) ** 2
        for away in range(1, width):
            square = away * away
            if square > least:
                break
            left, right = column - away, column + away
            if left >= 0:
                distance = square + np.int64(offsets[row, left]) ** 2
                if distance <= least:
                    best, least = left, distance
            if right < width:
                distance = square + np.int64(offsets[row, right]) ** 2
                if distance < least:
                    best, least = right, distance
        down = offsets[row, best]
        found[i] = (row + down) * width + best if down < none else -1
        squares[i] = least
    return found, squares
