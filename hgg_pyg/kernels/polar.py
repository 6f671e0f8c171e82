"""The rotations nearest to matrices, one by one on a CPU: `body.skinning.polar_rotation` without gradients."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np
from numba import njit

from hgg_pyg.kernels.numba_tools import OPTIONS

_STEPS = 5  # as many as the reference takes
_STILL = 1e-8  # a step this small leaves an error of its square


def polar_rotations(matrices: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The R of the polar decomposition A = R S by Newton's iteration R <- (R + R^-T) / 2, as far as it still moves.

    Args:
        matrices: [N, 3, 3] float64 of positive determinant.
        chosen: [N] bool, the matrices that are wanted.

    Returns:
        [N, 3, 3], of those that are not chosen zero.
    """
    rotations = np.zeros_like(matrices)
    _polar(matrices, chosen, rotations)
    return rotations


@njit(nogil=True, **OPTIONS)
def _polar(matrices, chosen, rotations):
    for n in range(len(matrices)):
        if not chosen[n]:
            continue
        m = matrices[n]
        a, b, c, d, e, f, g, h, i = m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]
        for _ in range(_STEPS):
            ca, cb, cc = e * i - f * h, f * g - d * i, d * h - e * g
            cd, ce, cf = c * h - b * i, a * i - c * g, b * g - a * h
            cg, ch, ci = b * f - c * e, c * d - a * f, a * e - b * d
            determinant = a * ca + b * cb + c * cc
            scale = 1.0  # brings the determinant to 1, which speeds convergence where it is far from it
            if abs(determinant - 1) > 0.01:
                scale = max(abs(determinant), 1e-12) ** (-1 / 3)
            half, share = 0.5 * scale, 0.5 / (determinant * scale)
            a0, b0, c0, d0, e0, f0, g0, h0, i0 = a, b, c, d, e, f, g, h, i
            a, b, c = half * a + share * ca, half * b + share * cb, half * c + share * cc
            d, e, f = half * d + share * cd, half * e + share * ce, half * f + share * cf
            g, h, i = half * g + share * cg, half * h + share * ch, half * i + share * ci
            moved = max(abs(a - a0), abs(b - b0), abs(c - c0), abs(d - d0), abs(e - e0), abs(f - f0))
            if max(moved, abs(g - g0), abs(h - h0), abs(i - i0)) < _STILL:
                break
        r = rotations[n]
        r[0, 0], r[0, 1], r[0, 2], r[1, 0], r[1, 1], r[1, 2], r[2, 0], r[2, 1], r[2, 2] = a, b, c, d, e, f, g, h, i
