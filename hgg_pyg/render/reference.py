"""The rasteriser as its definition reads: every Gaussian at every pixel, under autograd. For tests and readers."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.render.projection import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project
from hgg_pyg.render.scene import Rendered, Scene


def render_scene(scene: Scene) -> Rendered:
    """Blend Gaussians front to back.

    At a pixel p, over the Gaussians in order of depth, with d_i = p - mean_i:

        alpha_i = min(ALPHA_MAX, opacity_i exp(-d_i^T conic_i d_i / 2)), 0 where below ALPHA_MIN
        T_i     = prod_{j<i} (1 - alpha_j), and the pixel ends before the first i with T_{i+1} <= TRANSMITTANCE_MIN
        colour  = sum_i T_i alpha_i colour_i,   alpha = sum_i T_i alpha_i,   depth = sum_i T_i alpha_i z_i

    Takes memory for V x N x H x W numbers several times over. Any floating dtype, any device.
    """
    splats = project(scene)
    scenes, views = scene.viewmats.shape[:2]
    opacities, colors = splats.opacities.expand(-1, views, -1), scene.colors.expand(-1, views, -1, -1)
    fields = (splats.means2d, splats.conics, splats.depths, splats.radii, opacities, colors)
    each = zip(*(field.flatten(0, 1) for field in fields), strict=True)
    sums, alpha = zip(*(_render_view(scene, *view) for view in each), strict=True)
    rendered, alphas = (torch.stack(images).unflatten(0, (scenes, views)) for images in (sums, alpha))
    return Rendered(rendered[..., :-1], alphas, rendered[..., -1:] if scene.with_depth else None)


def _render_view(
    scene: Scene, means2d: Tensor, conics: Tensor, depths: Tensor, radii: Tensor, opacities: Tensor, colors: Tensor
) -> tuple[Tensor, Tensor]:
    """[H, W, D + 1] colour and depth, [H, W, 1] alpha, of N Gaussians in one view."""
    like = {"dtype": means2d.dtype, "device": means2d.device}
    pixel_x = torch.arange(scene.width, **like) + 0.5
    pixel_y = torch.arange(scene.height, **like)[:, None] + 0.5
    visible = torch.nonzero(radii.prod(-1) > 0)[:, 0]
    order = visible[torch.argsort(depths[visible], stable=True)]
    (mean_x, mean_y), (a, b, c) = means2d[order].T[..., None, None], conics[order].T[..., None, None]  # [n, 1, 1]
    dx, dy = pixel_x - mean_x, pixel_y - mean_y
    exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy  # [n, H, W]
    alpha = (opacities[order, None, None] * torch.exp(-exponent)).clamp(max=ALPHA_MAX)
    alpha = torch.where((exponent >= 0) & (alpha >= ALPHA_MIN), alpha, 0.0)
    after = torch.cumprod(1 - alpha, 0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]]) if len(order) else after
    weights = torch.where(after > TRANSMITTANCE_MIN, before * alpha, 0.0)  # [n, H, W]
    payload = torch.cat([colors[order], depths[order, None]], -1)
    return torch.einsum("nhw,nd->hwd", weights, payload), weights.sum(0)[..., None]
