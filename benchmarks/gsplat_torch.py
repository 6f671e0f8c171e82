"""gsplat's own plain-torch rasteriser, made to run on a CPU: the yardstick of `benchmarks.render`, the tests' oracle.

It calls three things that are missing there: nerfacc (not installed; four lines of arithmetic), the CUDA kernel that
lists which Gaussian is blended at which pixel, and, only to make it faster, tile_lists.py in place of a loop of Python.
All else is gsplat's code.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
import sys
import warnings
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.tile_lists import TILE, tile_lists
from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.render.projection import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN
from hgg_pyg.render.scene import Rendered, Scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from gsplat.cuda import _torch_impl, _wrapper


def render_scene(scene: Scene) -> Rendered:
    """What gsplat's rasterization returns."""
    parts = [_render_one(scene, s) for s in range(len(scene.means))]
    color, alpha = (torch.stack(images) for images in zip(*parts, strict=True))
    return Rendered(color[..., :-1], alpha, color[..., -1:] if scene.with_depth else None)


def _render_one(scene: Scene, s: int) -> tuple[Tensor, Tensor]:
    """[V, H, W, D + 1] colour and depth, [V, H, W, 1] alpha of one scene."""
    covariances, _ = _torch_impl._quat_scale_to_covar_preci(scene.quats[s], scene.scales[s], True, False)
    assert covariances is not None
    radii, means2d, depths, conics, shares = _torch_impl._fully_fused_projection(
        *(scene.means[s], covariances, scene.viewmats[s], scene.Ks[s], scene.width, scene.height),
        eps2d=scene.eps2d,
        calc_compensations=scene.antialiased,
    )
    views, count = depths.shape
    opacities = scene.opacities[s].expand(views, -1)
    if shares is not None:
        opacities = opacities * shares
    starts, order = tile_lists(means2d, radii, depths, scene.width, scene.height)
    offsets = starts[:-1].view(views, math.ceil(scene.height / TILE), math.ceil(scene.width / TILE))
    payload = torch.cat([scene.colors[s].expand(views, count, -1), depths[..., None]], -1)
    nerfacc: Any = SimpleNamespace(
        render_weight_from_alpha=_render_weight_from_alpha, accumulate_along_rays=_accumulate_along_rays
    )
    with (
        mock.patch.dict(sys.modules, nerfacc=nerfacc),
        mock.patch.object(_wrapper, "rasterize_to_indices_in_range", _indices_in_range),
    ):
        return _torch_impl._rasterize_to_pixels(
            *(means2d, conics, payload, opacities, scene.width, scene.height, TILE, offsets, order)
        )


def _render_weight_from_alpha(alphas: Tensor, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """Weights and transmittance of samples that stand ray by ray, front to back."""
    passed = torch.log(1 - alphas.double())
    _, lengths = torch.unique_consecutive(ray_indices, return_counts=True)
    before = torch.cumsum(passed, 0) - passed
    starts = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    transmittance = torch.exp(before - before[starts]).to(alphas.dtype)
    return alphas * transmittance, transmittance


def _accumulate_along_rays(weights: Tensor, values: Tensor | None, ray_indices: Tensor, n_rays: int) -> Tensor:
    samples = weights[:, None] if values is None else weights[:, None] * values
    return samples.new_zeros(n_rays, samples.shape[-1]).index_add(0, ray_indices, samples)


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
    """The Gaussian, pixel and view of all that is blended, pixel by pixel and front to back."""
    starts = torch.cat([offsets.flatten(), torch.tensor([len(order)])])
    arrays = (transmittances, means2d, conics, opacities, starts, order)
    real = means2d.detach().numpy().dtype.type
    found = _list_blended(
        (first_batch * tile_size**2, end_batch * tile_size**2, offsets.shape[-1], tile_size),
        tuple(x.detach().contiguous().numpy() for x in arrays),
        (real(ALPHA_MIN), real(ALPHA_MAX), real(TRANSMITTANCE_MIN)),
    )
    gaussian_ids, pixel_ids, image_ids = map(torch.from_numpy, found)
    return gaussian_ids, pixel_ids, image_ids


@kernel
def _list_blended(span, arrays, limits):
    first, end, across, size = span
    transmittances, means2d, conics, opacities, starts, order = arrays
    alpha_min, alpha_max, least = limits
    views, height, width = transmittances.shape
    count, down, half = means2d.shape[1], (height + size - 1) // size, means2d.dtype.type(0.5)
    room, listed = 1 << 16, 0
    found = np.empty((3, room), np.int64)
    for view in range(views):
        for y in range(height):
            for x in range(width):
                tile = (view * down + y // size) * across + x // size
                left = means2d.dtype.type(transmittances[view, y, x])
                for entry in range(starts[tile] + first, min(starts[tile] + end, starts[tile + 1])):
                    n = order[entry] - view * count
                    dx, dy = means2d[view, n, 0] - x - half, means2d[view, n, 1] - y - half
                    a, b, c = conics[view, n, 0], conics[view, n, 1], conics[view, n, 2]
                    exponent = half * (a * dx * dx + c * dy * dy) + b * dx * dy
                    alpha = min(alpha_max, opacities[view, n] * math.exp(-exponent))
                    if exponent < 0 or alpha < alpha_min:
                        continue
                    left *= 1 - alpha
                    if left <= least:
                        break
                    if listed == room:
                        room *= 2
                        larger = np.empty((3, room), np.int64)
                        larger[:, :listed] = found
                        found = larger
                    found[0, listed], found[1, listed], found[2, listed] = n, y * width + x, view
                    listed += 1
    return found[0, :listed].copy(), found[1, :listed].copy(), found[2, :listed].copy()
