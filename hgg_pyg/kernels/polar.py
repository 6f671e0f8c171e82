"""The rotation nearest to a matrix on a CPU: `body.skinning.polar_rotation`, with its gradient in closed form."""

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


@kernel
def polar_gradient(r, m, x, y, z):
    """The gradient of a loss by A, row by row, from that by the rotation R of A = R S.

    R^T dR = [w] for a small rotation w in the frame that R comes from, so R^T dA = [w] S + dS. The part of it that is
    antisymmetric, with dS gone, is (R^T dA - dA^T R) = [w] S + S [w] = [(tr(S) I - S) w]. Hence, for dL = t . w,

        dL/dA = R [h],  h = (tr(S) I - S)^-1 t

    R and h are not defined where A has rank one, as the mean of two rotations 180 degrees apart has; what is returned
    there is finite.

    Args:
        r: R row by row.
        m: A, its first three rows and columns are read.
        x, y, z: t, the gradient by w.
    """
    real = m.dtype.type
    half, noise, tiny = real(0.5), real(np.finfo(m.dtype).eps), real(np.finfo(m.dtype).tiny)
    a, b, c, d, e, f, g, h, i = r
    s00 = a * m[0, 0] + d * m[1, 0] + g * m[2, 0]
    s11 = b * m[0, 1] + e * m[1, 1] + h * m[2, 1]
    s22 = c * m[0, 2] + f * m[1, 2] + i * m[2, 2]
    s01 = half * (a * m[0, 1] + d * m[1, 1] + g * m[2, 1] + b * m[0, 0] + e * m[1, 0] + h * m[2, 0])
    s02 = half * (a * m[0, 2] + d * m[1, 2] + g * m[2, 2] + c * m[0, 0] + f * m[1, 0] + i * m[2, 0])
    s12 = half * (b * m[0, 2] + e * m[1, 2] + h * m[2, 2] + c * m[0, 1] + f * m[1, 1] + i * m[2, 1])
    k = cofactors(s11 + s22, -s01, -s02, -s01, s00 + s22, -s12, -s02, -s12, s00 + s11)
    trace = s00 + s11 + s22
    determinant = max((s11 + s22) * k[0] - s01 * k[1] - s02 * k[2], noise * trace * trace * trace, tiny)
    p = (k[0] * x + k[1] * y + k[2] * z) / determinant
    q = (k[3] * x + k[4] * y + k[5] * z) / determinant
    s = (k[6] * x + k[7] * y + k[8] * z) / determinant
    return (
        *(b * s - c * q, c * p - a * s, a * q - b * p),
        *(e * s - f * q, f * p - d * s, d * q - e * p),
        *(h * s - i * q, i * p - g * s, g * q - h * p),
    )


@kernel
def rotation_matrix(one, w, x, y, z):
    """The rotation matrix of a unit quaternion, row by row."""
    two = one + one
    return (
        *(one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)),
        *(two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)),
        *(two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)),
    )
