"""gsplat's own plain-torch rasteriser, made to run on a CPU.

Two things it calls are missing there: nerfacc (not installed; four lines of arithmetic) and the CUDA kernel that lists
which Gaussian is drawn at which pixel. Both are filled in here. All else is gsplat's code.
"""

import math
import sys
import warnings
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from hgg_pyg.types import Cameras, Gaussians, RenderOutput

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from gsplat.cuda import _torch_impl, _wrapper

TILE = 16


def draw(gaussians: Gaussians, cameras: Cameras, background: Tensor) -> RenderOutput:
    """What gsplat.rasterization(render_mode="RGB+ED") draws."""
    covariances, _ = _torch_impl._quat_scale_to_covar_preci(gaussians.quats, gaussians.scales, True, False)
    assert covariances is not None
    radii, means2d, depths, conics, _ = _torch_impl._fully_fused_projection(
        gaussians.means, covariances, cameras.viewmats, cameras.Ks, cameras.width, cameras.height
    )
    views = len(cameras)
    down, across = math.ceil(cameras.height / TILE), math.ceil(cameras.width / TILE)
    _, tile_ids, order = _torch_impl._isect_tiles(means2d, radii, depths, TILE, across, down)
    offsets = _torch_impl._isect_offset_encode(tile_ids, views, across, down)
    payload = torch.cat([gaussians.colors.expand(views, -1, -1), depths[..., None]], -1)
    nerfacc: Any = SimpleNamespace(
        render_weight_from_alpha=_render_weight_from_alpha, accumulate_along_rays=_accumulate_along_rays
    )
    with (
        mock.patch.dict(sys.modules, nerfacc=nerfacc),
        mock.patch.object(_wrapper, "rasterize_to_indices_in_range", _indices_in_range),
    ):
        drawn, alpha = _torch_impl._rasterize_to_pixels(
            *(means2d, conics, payload, gaussians.opacities.expand(views, -1)),
            *(cameras.width, cameras.height, TILE, offsets, order),
            backgrounds=torch.cat([background, background.new_zeros(1)]).expand(views, -1),
        )
    return RenderOutput(rgb=drawn[..., :-1], alpha=alpha, depth=drawn[..., -1:] / alpha.clamp(min=1e-10))


def _render_weight_from_alpha(alphas: Tensor, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """Weights and transmittance of samples that stand ray by ray, front to back."""
    passed = torch.log(1 - alphas.double())
    counts = torch.bincount(ray_indices, minlength=n_rays)
    _, lengths = torch.unique_consecutive(ray_indices, return_counts=True)
    assert (lengths == counts[ray_indices[lengths.cumsum(0) - 1]]).all(), "a ray's samples must stand together"
    before = torch.cumsum(passed, 0) - passed
    starts = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    transmittance = torch.exp(before - before[starts]).to(alphas.dtype)
    return alphas * transmittance, transmittance


def _accumulate_along_rays(weights: Tensor, values: Tensor | None, ray_indices: Tensor, n_rays: int) -> Tensor:
    samples = weights[:, None] if values is None else weights[:, None] * values
    return samples.new_zeros(n_rays, samples.shape[-1]).index_add(0, ray_indices, samples)


@torch.no_grad()
def _indices_in_range(
    first_batch: int,
    end_batch: int,
    transmittances: Tensor,  # [V, H, W]
    means2d: Tensor,  # [V, N, 2]
    conics: Tensor,  # [V, N, 3]
    opacities: Tensor,  # [V, N]
    width: int,
    height: int,
    tile_size: int,
    offsets: Tensor,  # [V, down, across]
    order: Tensor,  # [E] indices into V * N
) -> tuple[Tensor, Tensor, Tensor]:
    """The Gaussian, pixel and view of all that is drawn, pixel by pixel and front to back."""
    count = means2d.shape[1]
    bounds = [*offsets.flatten().tolist(), len(order)]
    assert first_batch == 0
    assert max(end - begin for begin, end in pairwise(bounds)) <= end_batch * tile_size**2, "one batch only"
    found = []
    _, down, across = offsets.shape
    for tile, (begin, end) in enumerate(pairwise(bounds)):
        view, top, left = tile // (down * across), tile // across % down * tile_size, tile % across * tile_size
        rows, columns = (
            torch.arange(top, min(top + tile_size, height)),
            torch.arange(left, min(left + tile_size, width)),
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        pixels = (y * width + x).flatten()
        members = order[begin:end].long() - view * count
        delta = means2d[view, members] - torch.stack([x, y], -1).reshape(-1, 1, 2) - 0.5  # [pixels, members, 2]
        a, b, c = conics[view, members].unbind(-1)
        dx, dy = delta.unbind(-1)
        exponent = 0.5 * (a * dx**2 + c * dy**2) + b * dx * dy
        alpha = (opacities[view, members] * torch.exp(-exponent)).clamp(max=0.999)
        drawn = (exponent >= 0) & (alpha >= 1 / 255)
        passed = transmittances[view].flatten()[pixels, None] * torch.cumprod(torch.where(drawn, 1 - alpha, 1.0), 1)
        pixel, member = torch.nonzero(drawn & (passed > 1e-4), as_tuple=True)
        found.append(torch.stack([members[member], pixels[pixel], torch.full_like(pixel, view)]))
    gaussian_ids, pixel_ids, image_ids = torch.cat(found, 1)
    return gaussian_ids, pixel_ids, image_ids
