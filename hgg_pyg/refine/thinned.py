"""An avatar of fewer Gaussians for coarse steps: neighbours merged to one, and the way back to all of them."""

from __future__ import annotations

import torch
from scipy.spatial import KDTree
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body.skinning import matrix_to_quaternion, quaternion_multiply
from hgg_pyg.model.residual import RESIDUAL_DIM
from hgg_pyg.types import Gaussians

MOST = 8192  # Gaussians of a thinned avatar: as many as images of 128 to 160 pixels give
_NEIGHBOURS = 4  # of the thinned ones, whose residuals a Gaussian takes in the mean
_SHARED = (0, 1, 2, *range(RESIDUAL_DIM - 3, RESIDUAL_DIM))  # shift and colour: size and opacity stand for several
_BITS = 10  # of each coordinate, by which Gaussians are brought into an order in which neighbours follow each other


def thinned(avatar: BoundAvatar) -> BoundAvatar:
    r"""Neighbours in the rest pose merged, k to one, such that places, sizes and colours agree in the mean.

    With weights :math:`w_i`, opacity times the area of the two longer axes, it has the moments of its parts:

    .. math:: \mu = \sum_i w_i \mu_i, \quad
        \Sigma = \sum_i w_i (\Sigma_i + (\mu_i - \mu)(\mu_i - \mu)^T)

    Colours are means by the same weights, opacity the plain mean, and it is bound like its first part.
    """
    gaussians = avatar.gaussians
    every = -(-len(gaussians) // MOST)
    order = _order(gaussians.means)
    order = torch.cat([order, order[-1:].expand(-len(order) % every)]).view(-1, every)  # the last one again and again
    parts = gaussians[order.flatten()]
    area = parts.scales.sort(dim=-1).values[:, 1:].prod(-1)
    weights = (parts.opacities * area).clamp_min(1e-12).view(-1, every, 1)
    weights = weights / weights.sum(1, keepdim=True)
    places = parts.means.view(-1, every, 3)
    means = (weights * places).sum(1)
    turns = _axes(parts.quats) * parts.scales[:, None]
    inner = (turns @ turns.mT).view(-1, every, 3, 3)
    off = places - means[:, None]
    covariances = (weights[..., None] * (inner + off[..., None] * off[..., None, :])).sum(1)
    squares, axes = torch.linalg.eigh(covariances)
    axes = torch.cat([axes[..., :2], axes[..., 2:] * torch.linalg.det(axes)[:, None, None]], -1)
    merged = Gaussians(
        means=means,
        quats=matrix_to_quaternion(axes),
        scales=squares.clamp_min(1e-12).sqrt(),
        opacities=parts.opacities.view(-1, every).mean(1),
        colors=(weights * parts.colors.view(-1, every, 3)).sum(1),
    )
    return BoundAvatar(merged, avatar.binding[order[:, 0]], avatar.betas)


def _axes(quats: Tensor) -> Tensor:
    """The axes of Gaussians as columns: q e q* for each unit vector e. [M, 4] -> [M, 3, 3]"""
    quats = torch.nn.functional.normalize(quats, dim=-1)
    units = torch.eye(4, dtype=quats.dtype, device=quats.device)[1:].expand(len(quats), 3, 4)
    back = quats * quats.new_tensor([1.0, -1, -1, -1])
    turned = quaternion_multiply(
        quaternion_multiply(quats[:, None].expand_as(units), units), back[:, None].expand_as(units)
    )
    return turned[..., 1:].mT


def _order(means: Tensor) -> Tensor:
    """Positions along a curve through space on which neighbours are near (Morton 1966). [M]"""
    low = means.amin(0)
    cells = ((means - low) / (means - low).max().clamp_min(1e-9) * (2**_BITS - 1)).long()
    codes = torch.zeros_like(cells[:, 0])
    for bit in range(_BITS):
        for axis in range(3):
            codes |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return codes.argsort()


def spread(residuals: Tensor, avatar: BoundAvatar, few: BoundAvatar) -> Tensor:
    """Residuals of all Gaussians: shift and colour of the thinned ones near them, in the rest pose.

    Args:
        residuals: [N, 13] of the thinned avatar
        avatar: of M Gaussians.
        few: the thinned avatar, of N.

    Returns:
        [M, 13]
    """
    means = avatar.gaussians.means.cpu()
    count = min(_NEIGHBOURS, len(residuals))
    _, found = KDTree(few.gaussians.means.cpu().numpy()).query(means.numpy(), k=count)
    rows = torch.as_tensor(found, device=residuals.device).view(len(means), count)
    shared = torch.zeros_like(residuals)
    shared[:, _SHARED] = residuals[:, _SHARED]
    return shared[rows].mean(1)
