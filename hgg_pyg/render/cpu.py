"""The picture on a CPU: projection in torch, tiles in numba, joined into autograd here."""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.numba_tools import numba_threads
from hgg_pyg.render import tiles
from hgg_pyg.render.binning import bin_splats
from hgg_pyg.render.projection import ALPHA_MAX, ALPHA_MIN, DEPTH_ALPHA_MIN, TRANSMITTANCE_MIN, project
from hgg_pyg.types import Cameras, Gaussians

log = logging.getLogger("hgg_pyg")


def draw(gaussians: Gaussians, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Draw float32 or float64 Gaussians: [V, H, W, D] colour, [V, H, W, 1] alpha, [V, H, W, 1] expected depth.

    Uses torch's number of threads. Runs repeat bit for bit; with another number of threads, torch's matrix products in
    the projection may round differently.
    """
    _announce(gaussians.means.dtype)
    splats = project(
        *(gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities),
        *(cameras.viewmats, cameras.Ks, cameras.width, cameras.height),
    )
    color, depth_sum, transmittance = _Blend.apply(
        *(splats.means2d, splats.conics, splats.depths, gaussians.opacities, gaussians.colors),
        *(splats.radii, cameras.width, cameras.height),
    )
    alpha = 1 - transmittance
    return color, alpha[..., None], (depth_sum / alpha.clamp(min=DEPTH_ALPHA_MIN))[..., None]


@functools.cache
def _announce(dtype: torch.dtype) -> None:
    """Say once why the first picture takes longer."""
    log.info("CPU rasteriser: loading its %s kernels; compiling them takes about 10 s, once on a machine", dtype)


class _Blend(torch.autograd.Function):
    """Blending of projected Gaussians, with the gradient of tiles.py: color, depth sum, transmittance."""

    @staticmethod
    def forward(
        ctx: Any,
        means2d: Tensor,  # [V, N, 2]
        conics: Tensor,  # [V, N, 3]
        depths: Tensor,  # [V, N]
        opacities: Tensor,  # [N]
        colors: Tensor,  # [N, D]
        radii: Tensor,  # [V, N, 2]
        width: int,
        height: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        centers, ellipses, z, reach, opacity, rgb = map(_array, (means2d, conics, depths, radii, opacities, colors))
        real = centers.dtype.type
        limits = tiles.Limits(real(ALPHA_MIN), real(ALPHA_MAX), real(TRANSMITTANCE_MIN))
        bits = z.view(np.uint32 if z.itemsize == 4 else np.uint64)
        with numba_threads():
            bins = bin_splats(centers, ellipses, z, bits, reach, opacity, rgb, width, height, limits.alpha_min)
            pictures, last_entry = tiles.blend(bins, len(z), height, width, limits)
        ctx.drawn = bins, limits, pictures.transmittance, last_entry
        ctx.size = depths.shape
        color, depth_sum, transmittance = map(torch.from_numpy, pictures)
        return color, depth_sum, transmittance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        bins, limits, transmittance, last_entry = ctx.drawn
        grad_color, grad_depth_sum, grad_transmittance = map(_array, grads)
        pictures = tiles.Pictures(grad_color, grad_depth_sum, grad_transmittance)
        with numba_threads():
            by_slot = tiles.blend_backward(bins, limits, transmittance, last_entry, pictures)
            by_splat = tiles.sum_gradients(bins, by_slot)
        columns = by_splat.shape[1]
        sums = torch.from_numpy(by_splat).view(*ctx.size, columns)
        means2d, conics, opacities, colors, depths = sums.split([2, 3, 1, columns - 7, 1], dim=-1)
        return means2d, conics, depths[..., 0], opacities[..., 0].sum(0), colors.sum(0), None, None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
