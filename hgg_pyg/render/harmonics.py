"""Colours that depend on where they are seen from: real spherical harmonics of degree 0 to 3, as 3DGS orders them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

MAX_DEGREE = 3


def view_colors(
    coefficients: Tensor,  # [S, N, K, 3]
    means: Tensor,  # [S, N, 3] metres
    viewmats: Tensor,  # [S, V, 4, 4]
    degree: int,
) -> Tensor:
    """Colours max(sum_k c_k Y_k(d) + 0.5, 0), d the direction from camera to Gaussian. [S, V, N, 3]

    K >= (degree + 1)^2; what is above it is not used. Differentiable in all three tensors.
    """
    rotation, translation = viewmats[..., :3, :3], viewmats[..., :3, 3]
    centers = -(rotation.mT @ translation[..., None])[..., 0]  # [S, V, 3]
    basis = harmonics(normalize(means[:, None] - centers[:, :, None], dim=-1), degree)  # [S, V, N, K]
    used = coefficients[:, :, : basis.shape[-1]]
    return (torch.einsum("svnk,snkd->svnd", basis, used) + 0.5).clamp(min=0)


def harmonics(directions: Tensor, degree: int) -> Tensor:
    """The first (degree + 1)^2 real spherical harmonics at unit directions. [..., 3] -> [..., K]

    Orthonormal over the sphere; the signs are those of 3DGS (with the Condon-Shortley phase).
    """
    x, y, z = directions.unbind(-1)
    terms = [torch.full_like(x, 0.28209479177387814)]  # 1 / (2 sqrt(pi))
    if degree >= 1:
        c = 0.4886025119029199  # sqrt(3 / (4 pi))
        terms += [-c * y, c * z, -c * x]
    xx, yy, zz = x * x, y * y, z * z
    if degree >= 2:
        c = 1.0925484305920792  # sqrt(15 / (4 pi))
        terms += [c * x * y, -c * y * z, 0.31539156525252005 * (2 * zz - xx - yy), -c * x * z, 0.5 * c * (xx - yy)]
    if degree >= 3:
        terms += [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ]
    return torch.stack(terms, -1)
