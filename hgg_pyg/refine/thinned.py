"""A thinned avatar for coarse steps: fewer, larger Gaussians, and the way back to all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from scipy.spatial import KDTree
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.model.residual import RESIDUAL_DIM

MOST = 8192  # Gaussians of a thinned avatar: as many as images of 128 to 160 pixels give
_NEIGHBOURS = 4  # of the thinned ones, whose residuals a Gaussian takes in the mean
_SHARED = (0, 1, 2, *range(RESIDUAL_DIM - 3, RESIDUAL_DIM))  # shift and colour: size and opacity stand for several


def thinned(avatar: BoundAvatar) -> tuple[BoundAvatar, Tensor]:
    """One of every k Gaussians, each so much larger that k of them would cover as much.

    Returns:
        The avatar, and the positions of its Gaussians among all. [M / k]
    """
    every = -(-len(avatar.gaussians) // MOST)
    kept = torch.arange(0, len(avatar.gaussians), every, device=avatar.binding.device)
    gaussians = avatar.gaussians[kept]
    larger = replace(gaussians, scales=gaussians.scales * math.sqrt(every))
    return BoundAvatar(larger, avatar.binding[kept], avatar.betas), kept


def spread(residuals: Tensor, avatar: BoundAvatar, kept: Tensor) -> Tensor:
    """Residuals of all Gaussians: shift and colour of the thinned ones near them, in the rest pose.

    Args:
        residuals: [M / k, 13]
        avatar: of M Gaussians.
        kept: [M / k] which of them the thinned avatar has.

    Returns:
        [M, 13]
    """
    means = avatar.gaussians.means.cpu()
    count = min(_NEIGHBOURS, len(kept))
    _, found = KDTree(means[kept.cpu()].numpy()).query(means.numpy(), k=count)
    rows = torch.as_tensor(found, device=residuals.device).view(len(means), count)
    shared = torch.zeros_like(residuals)
    shared[:, _SHARED] = residuals[:, _SHARED]
    return shared[rows].mean(1)
