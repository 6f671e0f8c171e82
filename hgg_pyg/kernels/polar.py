"""The rotation nearest to a matrix, one by one on a CPU: `body.skinning.polar_rotation` without gradients."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel

_STEPS = 5  # as many as the reference takes


def polar_rotations(matrices: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The R of the polar decomposition A = R S.

    Args:
        matrices: [N, 3, 3] float64 of positive determinant.
        chosen: [N] bool, the matrices that are wanted.

    Returns:
        [N, 3, 3], of those that are not chosen zero.
    """
    rotations = np.zeros_like(matrices)
    _polar(matrices, chosen, rotations)
    return rotations


@kernel
def _polar(matrices, chosen, rotations):
    for n in range(len(matrices)):
        if chosen[n]:
            r = rotations[n]
            r[0, 0], r[0, 1], r[0, 2], r[1, 0], r[1, 1], r[1, 2], r[2, 0], r[2, 1], r[2, 2] = polar(matrices[n])


@kernel
def cofactors(a, b, c, d, e, f, g, h, i):
    """Of a 3x3 matrix, row by row: its inverse times its determinant, transposed."""
    return (
        *(e * i - f * h, f * g - d * i, d * h - e * g),
        *(c * h - b * i, a * i - c * g, b * g - a * h),
        *(b * f - c * e, c * d - a * f, a * e - b * d),
    )


@kernel
def polar(m):
    """R row by row, of the first three rows and columns of m, in its type.

    Newton's iteration R <- (R + R^-T) / 2 ends when a step is so small that the next one, half of its square, would
    change nothing.
    """
    real = m.dtype.type
    half, one = real(0.5), real(1)
    small = real(0.3) * real(np.sqrt(np.finfo(m.dtype).eps))
    a, b, c, d, e, f, g, h, i = m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]
    for _ in range(_STEPS):
        p, q, r, s, t, u, v, w, x = cofactors(a, b, c, d, e, f, g, h, i)
        determinant = a * p + b * q + c * r
        scale = one  # brings the determinant to 1, which speeds convergence where it is far from it
        if abs(determinant - one) > real(0.01):
            scale = max(abs(determinant), real(1e-12)) ** real(-1 / 3)
        k, o = half * scale, half / (determinant * scale)
        p, q, r, s, t = k * a + o * p, k * b + o * q, k * c + o * r, k * d + o * s, k * e + o * t
        u, v, w, x = k * f + o * u, k * g + o * v, k * h + o * w, k * i + o * x
        moved = max(abs(p - a), abs(q - b), abs(r - c), abs(s - d), abs(t - e))
        moved = max(moved, abs(u - f), abs(v - g), abs(w - h), abs(x - i))
        a, b, c, d, e, f, g, h, i = p, q, r, s, t, u, v, w, x
        if moved < small:
            break
    return a, b, c, d, e, f, g, h, i
