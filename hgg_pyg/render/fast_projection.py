"""Projection by numba kernels, joined into autograd; `projection.project` is the same in plain torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.kernels.numba_tools import numba_threads
from hgg_pyg.render import projection
from hgg_pyg.render.projection import Projection
from hgg_pyg.render.projection_kernels import (
    Optics,
    Solids,
    Views,
    project_gaussians,
    project_gaussians_backward,
)
from hgg_pyg.render.scene import Scene


def project_fast(scene: Scene) -> Projection:
    """As `projection.project`, for Gaussians on a CPU; antialiasing and gradients of cameras are left to that."""
    if scene.antialiased or scene.viewmats.requires_grad:
        return projection.project(scene)
    size = (scene.width, scene.height)
    means2d, conics, depths, radii = _Project.apply(
        *(scene.means, scene.quats, scene.scales),
        *(scene.opacities.detach(), scene.viewmats, scene.Ks, size, scene.eps2d),
    )
    return Projection(means2d, conics, depths, scene.opacities[:, None], radii)


def optics_of(dtype: np.dtype, eps2d: float) -> Optics:
    """The thresholds of projection.py, and a blur in pixels^2, as numbers of a type."""
    numbers = (
        *(projection.NEAR, projection.FAR, eps2d),
        *(projection.FRUSTUM_MARGIN, projection.MAX_EXTENT, projection.ALPHA_MIN),
    )
    return Optics(*(dtype.type(number) for number in numbers))


class _Project(torch.autograd.Function):
    """S scenes of N Gaussians in V views; fields as those of `Scene` and `Projection`."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        viewmats: Tensor,
        Ks: Tensor,
        size: tuple[int, int],
        eps2d: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        solids = Solids(*(field.detach().contiguous().numpy() for field in (means, quats, scales, opacities)))
        dtype = solids.means.dtype
        views = Views(viewmats.contiguous().numpy(), Ks.contiguous().numpy(), np.array(size, dtype))
        optics = optics_of(dtype, eps2d)
        with numba_threads():
            means2d, conics, depths, radii = map(torch.from_numpy, project_gaussians(solids, views, optics))
        ctx.given = solids, views, optics, radii.numpy(), conics.numpy()
        ctx.mark_non_differentiable(radii)
        return means2d, conics, depths, radii

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        solids, views, optics, radii, conics = ctx.given
        upstream = tuple(grad.contiguous().numpy() for grad in grads[:3])
        with numba_threads():
            found = project_gaussians_backward(solids, views, optics, radii, conics, upstream)
        return *map(torch.from_numpy, found), None, None, None, None, None
