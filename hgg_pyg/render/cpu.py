"""The image on a CPU: projection and tiles in numba, joined into autograd here."""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.kernels.numba_tools import numba_threads
from hgg_pyg.render import tiles
from hgg_pyg.render.binning import Splats, bin_splats
from hgg_pyg.render.fast_projection import project_fast
from hgg_pyg.render.projection import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN
from hgg_pyg.render.scene import Rendered, Scene

log = logging.getLogger("hgg_pyg")


def render_scene(scene: Scene) -> Rendered:
    """Render float32 or float64 Gaussians on a CPU.

    Uses torch's number of threads. Runs repeat bit for bit, with any number of threads unless `project_fast` leaves the
    projection to torch, whose matrix products may then round differently.
    """
    _announce(scene.means.dtype)
    splats = project_fast(scene)
    fields = (splats.means2d, splats.conics, splats.depths, splats.opacities, scene.colors)
    blended, transmittance = _Blend.apply(
        *(field.flatten(0, 1) for field in fields),
        *(splats.radii.flatten(0, 1), scene.width, scene.height, scene.with_depth),
    )
    blended, alpha = blended.view(*scene.image_shape, blended.shape[-1]), 1 - transmittance.view(*scene.image_shape, 1)
    if not scene.with_depth:
        return Rendered(blended, alpha, None)
    return Rendered(blended[..., :-1], alpha, blended[..., -1:])


@functools.cache
def _announce(dtype: torch.dtype) -> None:
    """Say once why the first image takes longer."""
    log.info("CPU rasteriser: loading its %s kernels; compiling them takes about 20 s, once on a machine", dtype)


def limits_of(dtype: np.dtype) -> tiles.Limits:
    """The thresholds of blending as numbers of a type."""
    return tiles.Limits(*(dtype.type(limit) for limit in (ALPHA_MIN, ALPHA_MAX, TRANSMITTANCE_MIN)))


def depth_bits(depths: np.ndarray) -> np.ndarray:
    """Positive numbers as unsigned integers of the same order."""
    return depths.view(np.uint32 if depths.itemsize == 4 else np.uint64)


class _Blend(torch.autograd.Function):
    """Blending of projected Gaussians in P views, with the gradient of tiles.py: blended sums, transmittance.

    Q stands for P or a divisor of it: what successive views share may be given once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        means2d: Tensor,  # [P, N, 2]
        conics: Tensor,  # [P, N, 3]
        depths: Tensor,  # [P, N]
        opacities: Tensor,  # [Q, N]
        colors: Tensor,  # [Q, N, D]
        radii: Tensor,  # [P, N, 2]
        width: int,
        height: int,
        with_depth: bool,
    ) -> tuple[Tensor, Tensor]:
        given = Splats(*map(_array, (means2d, conics, depths, radii, opacities, colors)))
        limits, bits = limits_of(given.depths.dtype), depth_bits(given.depths)
        channels = colors.shape[-1] + with_depth
        with numba_threads():
            bins = bin_splats(given, bits, width, height, with_depth, limits.alpha_min)
            images, last_entry = tiles.blend(bins, len(depths), height, width, channels, limits)
        ctx.rendered = bins, limits, images.transmittance, last_entry
        ctx.shapes = depths.shape, opacities.shape[0], colors.shape[0], with_depth
        return torch.from_numpy(images.blended), torch.from_numpy(images.transmittance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        bins, limits, transmittance, last_entry = ctx.rendered
        (views, count), opacity_sets, color_sets, with_depth = ctx.shapes
        images = tiles.Images(*map(_array, grads))
        with numba_threads():
            by_slot = tiles.blend_backward(bins, limits, transmittance, last_entry, images)
            sums = map(torch.from_numpy, tiles.sum_gradients(bins, by_slot))
        means2d, conics, opacities, colors = (each.view(views, count, *each.shape[1:]) for each in sums)
        depths = colors[..., -1] if with_depth else None
        colors = colors[..., : colors.shape[-1] - with_depth].unflatten(0, (color_sets, -1)).sum(1)
        return means2d, conics, depths, opacities.unflatten(0, (opacity_sets, -1)).sum(1), colors, *(None,) * 4


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
