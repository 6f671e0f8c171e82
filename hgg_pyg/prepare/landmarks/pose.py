"""From the landmark network's tensors to points: 39 landmarks in its picture, made finer by the heat maps."""

from __future__ import annotations

import numpy as np

SIZE = 256  # pixels of the network's input and of its mask
REACH = 3  # cells of the heat map around a landmark that have a part in it
SURE = 0.5  # least peak of a heat map that is believed


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of any shape, as float64."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -100.0, 100.0)))


def decode(raw: np.ndarray) -> np.ndarray:
    """Landmarks [N, 3] of a vector [5 N]: x and y in pixels of the network's picture, and how visible they are.

    A landmark is x, y, depth, and the logits of being visible and of being there.
    """
    values = raw.astype(np.float64).reshape(-1, 5)
    return np.concatenate([values[:, :2], sigmoid(values[:, 3:4])], axis=1)


def refine(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Landmarks moved to the centre of the heat around them, where the heat map has a peak there.

    Args:
        points: [N, 3] of `decode`.
        heat: [S, S, N] logits; a cell stands for its left upper corner, as the network was taught.
    """
    cells = heat.shape[0]
    step = SIZE / cells
    refined = points.copy()
    for number, (x, y, _) in enumerate(points):
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            continue
        column, row = int(x / step), int(y / step)
        rows = np.arange(max(0, row - REACH), min(cells, row + REACH + 1))
        columns = np.arange(max(0, column - REACH), min(cells, column + REACH + 1))
        near = sigmoid(heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, number])
        if near.max() >= SURE:
            refined[number, 0] = (near.sum(0) @ columns) / near.sum() * step
            refined[number, 1] = (near.sum(1) @ rows) / near.sum() * step
    return refined
