"""Lens distortion with OpenCV's five coefficients k1, k2, p1, p2, k3 (Brown 1966), on points at depth 1."""

from __future__ import annotations

import numpy as np

_ROUNDS = 40  # each shortens the error to a third or less where the lens is one that can be undone


def distort(points: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Where the lens shows what a pinhole would show at `points`.

    With r^2 = x^2 + y^2 and s = 1 + k1 r^2 + k2 r^4 + k3 r^6:
    x' = s x + 2 p1 x y + p2 (r^2 + 2 x^2), y' = s y + p1 (r^2 + 2 y^2) + 2 p2 x y.

    Args:
        points: [n, 2] x / z and y / z in the camera's frame.
        coefficients: [5] k1, k2, p1, p2, k3.

    Returns:
        [n, 2]
    """
    stretch, shift = _stretch_and_shift(points, coefficients)
    return points * stretch + shift


def undistort(points: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The inverse of `distort`, by iterating x = (x' - shift(x)) / s(x). [n, 2], [5] -> [n, 2]"""
    found = points
    for _ in range(_ROUNDS):
        stretch, shift = _stretch_and_shift(found, coefficients)
        found = (points - shift) / stretch
    return found


def _stretch_and_shift(points: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """s [n, 1] and what p1 and p2 add [n, 2]."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = points.T
    square = x * x + y * y
    stretch = 1 + square * (k1 + square * (k2 + square * k3))
    shift = np.stack([2 * p1 * x * y + p2 * (square + 2 * x * x), p1 * (square + 2 * y * y) + 2 * p2 * x * y], 1)
    return stretch[:, None], shift
