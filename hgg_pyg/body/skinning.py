"""Linear blend skinning of Gaussians, there and back (Eq. 1): means by the affine map, orientations by its rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.body import fast_skinning
from hgg_pyg.types import Gaussians


def polar_rotation(matrix: Tensor) -> Tensor:
    """The rotation nearest to a 3x3 matrix of positive determinant, the R of its polar decomposition A = R S.

    Newton's iteration R <- (R + R^-T) / 2 (Higham 1986) converges quadratically, is differentiable and works on any
    batch without a singular value decomposition. A blended skinning matrix is a mean of rotations, so it starts near:
    five steps leave rounding alone for means of two rotations up to 176 degrees apart (in float32: 179).

    Args:
        matrix: [..., 3, 3]

    Returns:
        [..., 3, 3]
    """
    a, b, c, d, e, f, g, h, i = matrix.flatten(-2).unbind(-1)  # whole components: operations run along memory
    for _ in range(5):
        cofactors = (
            *(e * i - f * h, f * g - d * i, d * h - e * g),
            *(c * h - b * i, a * i - c * g, b * g - a * h),
            *(b * f - c * e, c * d - a * f, a * e - b * d),
        )
        determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2]
        scale = determinant.abs().clamp_min(1e-12).pow(-1 / 3)  # brings the determinant to 1, which speeds convergence
        half, share = 0.5 * scale, 0.5 / (determinant * scale)
        parts = zip((a, b, c, d, e, f, g, h, i), cofactors, strict=True)
        a, b, c, d, e, f, g, h, i = (half * x + share * y for x, y in parts)
    return torch.stack([a, b, c, d, e, f, g, h, i], -1).unflatten(-1, (3, 3))


def matrix_to_quaternion(rotation: Tensor) -> Tensor:
    """Rotation matrices to unit quaternions wxyz, w >= 0 by preference. [..., 3, 3] -> [..., 4]

    Of the four ways to read a quaternion off a matrix (Shepperd 1978) the one with the largest divisor is taken.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = rotation.flatten(-2).unbind(-1)
    candidates = torch.stack(
        [
            torch.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20], -1),
            torch.stack([m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21], -1),
            torch.stack([m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22], -1),
        ],
        -2,
    )  # row i is 4 q_i q
    best = torch.stack(candidates.diagonal(dim1=-2, dim2=-1).unbind(-1)).max(0).indices  # argmax takes 10 times as long
    chosen = candidates.gather(-2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    quaternion = torch.nn.functional.normalize(chosen, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_multiply(left: Tensor, right: Tensor) -> Tensor:
    """Hamilton product of quaternions wxyz: first `right`, then `left`. [..., 4] x [..., 4] -> [..., 4]"""
    w1, x1, y1, z1 = left.unbind(-1)
    w2, x2, y2, z2 = right.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        -1,
    )


def pose_gaussians(gaussians: Gaussians, vertex_transforms: Tensor, binding: Tensor) -> Gaussians:
    """Carry Gaussians from the rest pose to the world: mu' = A mu + b, R' = polar(A) R. Scales stay.

    Args:
        gaussians: [..., M] in the rest pose.
        vertex_transforms: [..., N, 4, 4] the vertices' maps from rest pose to world.
        binding: [M] the vertex that each Gaussian moves with.

    Returns:
        Gaussians [..., M]; leading dimensions of both arguments broadcast, so one avatar takes T poses at once.
    """
    means, quats = gaussians.means, gaussians.quats
    if means.ndim == 2 and fast_skinning.can_skin(means, quats, vertex_transforms):
        return _moved(gaussians, *fast_skinning.pose(means, quats, vertex_transforms, binding))
    linear, translation = vertex_transforms[..., :3, :3], vertex_transforms[..., :3, 3]
    rotation = matrix_to_quaternion(polar_rotation(linear))
    own = torch.cat([linear.flatten(-2), translation, rotation], -1).index_select(-2, binding)  # one look-up, not three
    linear, translation, rotation = own.split([9, 3, 4], -1)
    means = (linear.unflatten(-1, (3, 3)) @ means[..., None])[..., 0] + translation
    return _moved(gaussians, means, quaternion_multiply(rotation, quats))


def unpose_gaussians(gaussians: Gaussians, vertex_transforms: Tensor, binding: Tensor) -> Gaussians:
    """The inverse of `pose_gaussians` with the same vertex transforms: mu = A^-1 (mu' - b), R = polar(A)^T R'."""
    means, quats = gaussians.means, gaussians.quats
    one_each = means.shape[:-2] == vertex_transforms.shape[:-3]
    if one_each and fast_skinning.can_skin(means, quats, vertex_transforms):
        return _moved(gaussians, *fast_skinning.unpose(means, quats, vertex_transforms, binding))
    linear, translation = vertex_transforms[..., :3, :3], vertex_transforms[..., :3, 3]
    rotation = matrix_to_quaternion(polar_rotation(linear).mT)
    offset = (means - translation[..., binding, :])[..., None]
    means = (torch.linalg.inv(linear)[..., binding, :, :] @ offset)[..., 0]
    return _moved(gaussians, means, quaternion_multiply(rotation[..., binding, :], quats))


def _moved(gaussians: Gaussians, means: Tensor, quats: Tensor) -> Gaussians:
    """New means and orientations; the other fields are repeated for every pose, without copies."""
    lead, features, own = means.shape[:-2], gaussians.features, gaussians.means.ndim - 2
    return Gaussians(
        means=means,
        quats=quats,
        scales=gaussians.scales.expand(*lead, -1, -1),
        opacities=gaussians.opacities.expand(*lead, -1),
        colors=gaussians.colors.expand(*lead, *gaussians.colors.shape[own:]),
        features=None if features is None else features.expand(*lead, -1, -1),
    )
