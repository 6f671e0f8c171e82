"""Residuals applied by numba kernels on a CPU, with their gradients; residual.py has the same in plain torch."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.types import Gaussians

_SIZE_LIMIT, _LOGIT_LIMIT = 5, 15


def can_apply(gaussians: Gaussians, delta: Tensor, axes: Tensor | None) -> bool:
    """Whether the kernels take these: on a CPU, all float32 or all float64, gradients asked for the residuals only."""
    start = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    fixed = start if axes is None else (*start, axes)
    return (
        not torch.compiler.is_compiling()
        and gaussians.means.ndim == 2
        and tuple(gaussians.colors.shape) == tuple(gaussians.means.shape)
        and delta.dtype in (torch.float32, torch.float64)
        and all(x.device.type == "cpu" and x.dtype == delta.dtype for x in (*fixed, delta))
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in fixed))
    )


def apply(gaussians: Gaussians, delta: Tensor, axes: Tensor | None, shift_unit: float) -> Gaussians:
    """As `residual.apply_residual`."""
    start = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    return Gaussians(*_Apply.apply(delta, start, axes, shift_unit))


class _Apply(torch.autograd.Function):
    """M Gaussians; gradients pass to `delta` alone."""

    @staticmethod
    def forward(
        ctx: Any,
        delta: Tensor,  # [M, 13]
        start: tuple[Tensor, ...],  # fields of the Gaussians
        axes: Tensor | None,  # [M, 3, 3]
        shift_unit: float,
    ) -> tuple[Tensor, ...]:
        fields, changes = tuple(map(_array, start)), _array(delta)
        directions = np.empty((0, 3, 3), changes.dtype) if axes is None else _array(axes)
        unit = changes.dtype.type(shift_unit)
        ctx.given = changes, fields, directions, unit
        return tuple(map(torch.from_numpy, _apply(changes, fields, directions, unit)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        changes, fields, directions, unit = ctx.given
        found = _apply_backward(changes, fields, directions, unit, tuple(map(_array, grads)))
        return torch.from_numpy(found), None, None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@kernel
def _apply(delta, start, axes, unit):
    means, quats, scales, opacities, colors = start
    real = delta.dtype.type
    one, half, size_limit, logit_limit = real(1), real(0.5), real(_SIZE_LIMIT), real(_LOGIT_LIMIT)
    new_means, new_quats, new_scales = np.empty_like(means), np.empty_like(quats), np.empty_like(scales)
    new_opacities, new_colors = np.empty_like(opacities), np.empty_like(colors)
    for m in range(delta.shape[0]):
        x, y, z = delta[m, 0], delta[m, 1], delta[m, 2]
        for k in range(3):
            along = delta[m, k]
            if axes.shape[0] > 0:
                along = axes[m, k, 0] * x + axes[m, k, 1] * y + axes[m, k, 2] * z
            new_means[m, k] = means[m, k] + unit * along
            size = min(max(delta[m, 6 + k], -size_limit), size_limit)
            new_scales[m, k] = scales[m, k] * math.exp(size)
            new_colors[m, k] = colors[m, k] + delta[m, 10 + k]
        x, y, z = half * delta[m, 3], half * delta[m, 4], half * delta[m, 5]
        length = math.sqrt(one + x * x + y * y + z * z)
        w, x, y, z = one / length, x / length, y / length, z / length
        w1, x1, y1, z1 = quats[m, 0], quats[m, 1], quats[m, 2], quats[m, 3]
        new_quats[m, 0], new_quats[m, 1] = w1 * w - x1 * x - y1 * y - z1 * z, w1 * x + x1 * w + y1 * z - z1 * y
        new_quats[m, 2], new_quats[m, 3] = w1 * y - x1 * z + y1 * w + z1 * x, w1 * z + x1 * y - y1 * x + z1 * w
        growth = real(math.expm1(min(max(delta[m, 9], -logit_limit), logit_limit)))
        new_opacities[m] = opacities[m] * (one + growth) / (one + opacities[m] * growth)
    return new_means, new_quats, new_scales, new_opacities, new_colors


@kernel
def _apply_backward(delta, start, axes, unit, grads):
    """Gradient of the residuals. [M, 13]"""
    _, quats, scales, opacities, _ = start
    of_means, of_quats, of_scales, of_opacities, of_colors = grads
    real = delta.dtype.type
    zero, one, half, size_limit, logit_limit = real(0), real(1), real(0.5), real(_SIZE_LIMIT), real(_LOGIT_LIMIT)
    found = np.empty_like(delta)
    for m in range(delta.shape[0]):
        x, y, z = unit * of_means[m, 0], unit * of_means[m, 1], unit * of_means[m, 2]
        for k in range(3):
            found[m, k] = unit * of_means[m, k]
            if axes.shape[0] > 0:
                found[m, k] = axes[m, 0, k] * x + axes[m, 1, k] * y + axes[m, 2, k] * z
            size = delta[m, 6 + k]
            inside = -size_limit <= size <= size_limit
            found[m, 6 + k] = of_scales[m, k] * scales[m, k] * math.exp(size) if inside else zero
            found[m, 10 + k] = of_colors[m, k]
        x, y, z = half * delta[m, 3], half * delta[m, 4], half * delta[m, 5]
        length = math.sqrt(one + x * x + y * y + z * z)
        w, x, y, z = one / length, x / length, y / length, z / length
        w1, x1, y1, z1 = quats[m, 0], quats[m, 1], quats[m, 2], quats[m, 3]
        a, b, c, d = of_quats[m, 0], of_quats[m, 1], of_quats[m, 2], of_quats[m, 3]
        of_w = w1 * a + x1 * b + y1 * c + z1 * d  # the product with the conjugate of the quaternion on the left
        of_x = w1 * b - x1 * a - y1 * d + z1 * c
        of_y = w1 * c + x1 * d - y1 * a - z1 * b
        of_z = w1 * d - x1 * c + y1 * b - z1 * a
        along = w * of_w + x * of_x + y * of_y + z * of_z
        share = half / length
        found[m, 3], found[m, 4] = share * (of_x - along * x), share * (of_y - along * y)
        found[m, 5] = share * (of_z - along * z)
        logit = delta[m, 9]
        growth = real(math.expm1(min(max(logit, -logit_limit), logit_limit)))
        opacity, below = opacities[m], one + opacities[m] * growth
        slope = opacity * (one - opacity) * (one + growth) / (below * below)
        found[m, 9] = of_opacities[m] * slope if -logit_limit <= logit <= logit_limit else zero
    return found
