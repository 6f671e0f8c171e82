"""Skinning of Gaussians on a CPU by numba kernels, joined into autograd; skinning.py has the same in plain torch.

Gradients pass to the Gaussians and, through the rotations of the vertices' maps in closed form, to the maps: no
iteration is differentiated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.body import skinning_kernels as kernels
from hgg_pyg.kernels.numba_tools import numba_threads


def can_skin(means: Tensor, quats: Tensor, vertex_transforms: Tensor) -> bool:
    """Whether the kernels take these: all float32 or all float64 on a CPU, and not in torch.compile."""
    given = (means, quats, vertex_transforms)
    return (
        not torch.compiler.is_compiling()
        and all(x.device.type == "cpu" and x.dtype == means.dtype for x in given)
        and means.dtype in (torch.float32, torch.float64)
    )


def pose(means: Tensor, quats: Tensor, vertex_transforms: Tensor, binding: Tensor) -> tuple[Tensor, Tensor]:
    """Means [M, 3] and quats [M, 4] carried by [..., N, 4, 4] -> [..., M, 3], [..., M, 4]; see `pose_gaussians`."""
    lead = vertex_transforms.shape[:-3]
    posed = _Pose.apply(means, quats, vertex_transforms.reshape(-1, *vertex_transforms.shape[-3:]), binding)
    return posed[0].view(*lead, *means.shape), posed[1].view(*lead, *quats.shape)


def unpose(means: Tensor, quats: Tensor, vertex_transforms: Tensor, binding: Tensor) -> tuple[Tensor, Tensor]:
    """The way back, one pose for each of [..., M, 3] and [..., M, 4]; see `unpose_gaussians`."""
    shapes = means.shape, quats.shape
    found = _Unpose.apply(
        *(means.reshape(-1, *shapes[0][-2:]), quats.reshape(-1, *shapes[1][-2:])),
        *(vertex_transforms.reshape(-1, *vertex_transforms.shape[-3:]), binding),
    )
    return found[0].view(shapes[0]), found[1].view(shapes[1])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


class _Pose(torch.autograd.Function):
    """M Gaussians in T poses."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,  # [M, 3]
        quats: Tensor,  # [M, 4]
        vertex_transforms: Tensor,  # [T, N, 4, 4]
        binding: Tensor,  # [M]
    ) -> tuple[Tensor, Tensor]:
        transforms, bound, start = _array(vertex_transforms), _array(binding), (_array(means), _array(quats))
        with numba_threads():
            rotations = kernels.rotations_of(transforms, bound)
            found = kernels.pose(transforms, rotations, bound, *start)
        ctx.given = (transforms, rotations, bound), start
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (maps, start), upstream = ctx.given, tuple(map(_array, grads))
        of_means = of_quats = of_maps = None
        with numba_threads():
            if any(ctx.needs_input_grad[:2]):
                of_means, of_quats = map(torch.from_numpy, kernels.pose_backward(*maps, *upstream))
            if ctx.needs_input_grad[2]:
                of_maps = torch.from_numpy(kernels.pose_backward_maps(*maps, *start, *upstream))
        return of_means, of_quats, of_maps, None


class _Unpose(torch.autograd.Function):
    """M Gaussians in each of T poses, back."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,  # [T, M, 3]
        quats: Tensor,  # [T, M, 4]
        vertex_transforms: Tensor,  # [T, N, 4, 4]
        binding: Tensor,  # [M]
    ) -> tuple[Tensor, Tensor]:
        transforms, bound = _array(vertex_transforms), _array(binding)
        moved, turned, rotations = kernels.unpose(transforms, bound, _array(means), _array(quats))
        ctx.given = transforms, rotations, bound, moved, turned
        return torch.from_numpy(moved), torch.from_numpy(turned)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        with numba_threads():
            found = kernels.unpose_backward(*ctx.given, *map(_array, grads))
        return *map(torch.from_numpy, found), None
