"""The rasteriser as its definition reads: every Gaussian at every pixel, under autograd. For tests and readers."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.render.projection import ALPHA_MAX, ALPHA_MIN, DEPTH_ALPHA_MIN, TRANSMITTANCE_MIN, project
from hgg_pyg.types import Cameras, Gaussians


def draw(gaussians: Gaussians, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Blend Gaussians front to back in V views: [V, H, W, D] colour, [V, H, W, 1] alpha and [V, H, W, 1] depth.

    At a pixel p, over the Gaussians in order of depth, with d_i = p - mean_i:

        alpha_i = min(ALPHA_MAX, opacity_i exp(-d_i^T conic_i d_i / 2)), 0 where below ALPHA_MIN
        T_i     = prod_{j<i} (1 - alpha_j), and the pixel ends before the first i with T_{i+1} <= TRANSMITTANCE_MIN
        colour  = sum_i T_i alpha_i colour_i,   alpha = sum_i T_i alpha_i,   depth = (sum_i T_i alpha_i z_i) / alpha

    Takes memory for V x N x H x W numbers several times over. Any floating dtype, any device.
    """
    splats = project(
        *(gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities),
        *(cameras.viewmats, cameras.Ks, cameras.width, cameras.height),
    )
    like = {"dtype": gaussians.means.dtype, "device": gaussians.means.device}
    pixel_x = torch.arange(cameras.width, **like) + 0.5
    pixel_y = torch.arange(cameras.height, **like)[:, None] + 0.5
    colors, alphas, depths_drawn = [], [], []
    for means2d, conics, depths, radii in zip(splats.means2d, splats.conics, splats.depths, splats.radii, strict=True):
        visible = torch.nonzero(radii.prod(-1) > 0)[:, 0]
        order = visible[torch.argsort(depths[visible], stable=True)]
        (mean_x, mean_y), (a, b, c) = means2d[order].T[..., None, None], conics[order].T[..., None, None]  # [n, 1, 1]
        dx, dy = pixel_x - mean_x, pixel_y - mean_y
        exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy  # [n, H, W]
        alpha = (gaussians.opacities[order, None, None] * torch.exp(-exponent)).clamp(max=ALPHA_MAX)
        alpha = torch.where((exponent >= 0) & (alpha >= ALPHA_MIN), alpha, 0.0)
        after = torch.cumprod(1 - alpha, 0)
        before = torch.cat([torch.ones_like(after[:1]), after[:-1]]) if len(order) else after
        weights = torch.where(after > TRANSMITTANCE_MIN, before * alpha, 0.0)  # [n, H, W]
        colors.append(torch.einsum("nhw,nd->hwd", weights, gaussians.colors[order]))
        alphas.append(weights.sum(0)[..., None])
        depth_sum = torch.einsum("nhw,n->hw", weights, depths[order])[..., None]
        depths_drawn.append(depth_sum / alphas[-1].clamp(min=DEPTH_ALPHA_MIN))
    return torch.stack(colors), torch.stack(alphas), torch.stack(depths_drawn)
