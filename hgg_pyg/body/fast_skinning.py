"""Skinning of Gaussians on a CPU by numba kernels; skinning.py has the same in plain torch.

Only vertices that Gaussians are bound to are looked at. Gradients pass to the Gaussians, not to the vertices' maps: who
wants those takes torch.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.kernels.numba_tools import kernel, numba_threads, parallel_kernel
from hgg_pyg.kernels.polar import cofactors, polar

_BLOCK = 512  # vertices or Gaussians of a task


def can_skin(means: Tensor, quats: Tensor, vertex_transforms: Tensor) -> bool:
    """Whether the kernels take these: float32 or float64 on a CPU, not in torch.compile, and maps without gradients."""
    given = (means, quats, vertex_transforms)
    return (
        not torch.compiler.is_compiling()
        and not (vertex_transforms.requires_grad and torch.is_grad_enabled())
        and all(x.device.type == "cpu" and x.dtype == means.dtype for x in given)
        and means.dtype in (torch.float32, torch.float64)
    )


def pose(means: Tensor, quats: Tensor, vertex_transforms: Tensor, binding: Tensor) -> tuple[Tensor, Tensor]:
    """Means [M, 3] and quats [M, 4] carried by [..., N, 4, 4] -> [..., M, 3], [..., M, 4]; see `pose_gaussians`."""
    lead = vertex_transforms.shape[:-3]
    posed = _Pose.apply(means, quats, vertex_transforms.reshape(-1, *vertex_transforms.shape[-3:]), binding)
    return posed[0].view(*lead, *means.shape), posed[1].view(*lead, *quats.shape)


def unpose(means: Tensor, quats: Tensor, vertex_transforms: Tensor, binding: Tensor) -> tuple[Tensor, Tensor]:
    """The way back, one pose for each of [..., M, 3] and [..., M, 4], without gradients; see `unpose_gaussians`."""
    shapes = means.shape, quats.shape
    given = (means.reshape(-1, *shapes[0][-2:]), quats.reshape(-1, *shapes[1][-2:]))
    transforms = vertex_transforms.reshape(-1, *vertex_transforms.shape[-3:])
    found = _unpose(*map(_array, (transforms, binding, *given)))
    return torch.from_numpy(found[0]).view(shapes[0]), torch.from_numpy(found[1]).view(shapes[1])


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
        transforms, bound = _array(vertex_transforms), _array(binding)
        with numba_threads():
            rotations = _rotations(transforms, bound)
            found = _pose(transforms, rotations, bound, _array(means), _array(quats))
        ctx.maps = transforms, rotations, bound
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        with numba_threads():
            of_means, of_quats = _pose_backward(*ctx.maps, *map(_array, grads))
        return torch.from_numpy(of_means), torch.from_numpy(of_quats), None, None


@kernel
def _linear(m):
    """The upper left 3x3 of a map."""
    return m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]


@kernel
def _polar_quaternion(m):
    """`skinning.matrix_to_quaternion` of `skinning.polar_rotation` of a map's linear part."""
    real = m.dtype.type
    zero, one = real(0), real(1)
    a, b, c, d, e, f, g, h, i = polar(m)
    of_w, of_x, of_y, of_z = one + a + e + i, one + a - e - i, one - a + e - i, one - a - e + i
    best = max(of_w, of_x, of_y, of_z)
    if of_w == best:
        w, x, y, z = of_w, h - f, c - g, d - b
    elif of_x == best:
        w, x, y, z = h - f, of_x, b + d, c + g
    elif of_y == best:
        w, x, y, z = c - g, b + d, of_y, f + h
    else:
        w, x, y, z = d - b, c + g, f + h, of_z
    length = max(math.sqrt(w * w + x * x + y * y + z * z), real(1e-12))
    if w < zero:
        length = -length
    return w / length, x / length, y / length, z / length


@kernel
def _is_bound(binding, vertices):
    bound = np.zeros(vertices, np.bool_)
    for m in range(binding.shape[0]):
        if not 0 <= binding[m] < vertices:
            raise IndexError("binding: expected ids of the body's vertices, found others")
        bound[binding[m]] = True
    return bound


@kernel
def _rotate_block(transforms, t, first, end, bound, rotations):
    for n in range(first, end):
        if bound[n]:
            q = _polar_quaternion(transforms[t, n])
            rotations[t, n, 0], rotations[t, n, 1], rotations[t, n, 2], rotations[t, n, 3] = q


@parallel_kernel
def _rotations(transforms, binding):
    """Rotations of the maps of bound vertices, as quaternions; zeros elsewhere. [T, N, 4]"""
    poses, vertices = transforms.shape[:2]
    rotations, bound = np.zeros((poses, vertices, 4), transforms.dtype), _is_bound(binding, vertices)
    blocks = (vertices + _BLOCK - 1) // _BLOCK
    for task in prange(poses * blocks):
        first = task % blocks * _BLOCK
        _rotate_block(transforms, task // blocks, first, min(first + _BLOCK, vertices), bound, rotations)
    return rotations


@parallel_kernel
def _pose(transforms, rotations, binding, means, quats):
    poses, count = transforms.shape[0], binding.shape[0]
    moved, turned = np.empty((poses, count, 3), means.dtype), np.empty((poses, count, 4), means.dtype)
    blocks = (count + _BLOCK - 1) // _BLOCK
    for task in prange(poses * blocks):
        t, first = task // blocks, task % blocks * _BLOCK
        for m in range(first, min(first + _BLOCK, count)):
            n = binding[m]
            x, y, z = means[m, 0], means[m, 1], means[m, 2]
            for row in range(3):
                part = transforms[t, n, row, 0] * x + transforms[t, n, row, 1] * y + transforms[t, n, row, 2] * z
                moved[t, m, row] = part + transforms[t, n, row, 3]
            _multiply(rotations[t, n], quats[m], turned[t, m])
    return moved, turned


@kernel
def _multiply(left, right, out):
    w1, x1, y1, z1 = left[0], left[1], left[2], left[3]
    w2, x2, y2, z2 = right[0], right[1], right[2], right[3]
    out[0], out[1] = w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2, w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2
    out[2], out[3] = w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2, w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2


@parallel_kernel
def _pose_backward(transforms, rotations, binding, of_moved, of_turned):
    """Gradients of means [M, 3] and quats [M, 4], summed over the poses in their order."""
    poses, count = transforms.shape[0], binding.shape[0]
    of_means, of_quats = np.zeros((count, 3), transforms.dtype), np.zeros((count, 4), transforms.dtype)
    for block in prange((count + _BLOCK - 1) // _BLOCK):
        back, part = np.empty(4, transforms.dtype), np.empty(4, transforms.dtype)
        for m in range(block * _BLOCK, min((block + 1) * _BLOCK, count)):
            n = binding[m]
            for t in range(poses):
                x, y, z = of_moved[t, m, 0], of_moved[t, m, 1], of_moved[t, m, 2]
                for column in range(3):
                    along = transforms[t, n, 0, column] * x + transforms[t, n, 1, column] * y
                    of_means[m, column] += along + transforms[t, n, 2, column] * z
                back[0], back[1] = rotations[t, n, 0], -rotations[t, n, 1]
                back[2], back[3] = -rotations[t, n, 2], -rotations[t, n, 3]
                _multiply(back, of_turned[t, m], part)  # the product's transpose is the product with the conjugate
                for column in range(4):
                    of_quats[m, column] += part[column]
    return of_means, of_quats


@kernel
def _unpose(transforms, binding, means, quats):
    real = transforms.dtype.type
    poses, vertices = transforms.shape[:2]
    moved, turned = np.empty_like(means), np.empty_like(quats)
    rotations, bound = np.zeros((poses, vertices, 4), transforms.dtype), _is_bound(binding, vertices)
    back = np.empty(4, transforms.dtype)
    for t in range(poses):
        _rotate_block(transforms, t, 0, vertices, bound, rotations)
        for m in range(binding.shape[0]):
            n = binding[m]
            transform = transforms[t, n]
            a, b, c, d, e, f, g, h, i = _linear(transform)
            p, q, r, s, u, v, w, x, y = cofactors(a, b, c, d, e, f, g, h, i)
            share = real(1) / (a * p + b * q + c * r)
            left, down = means[t, m, 0] - transform[0, 3], means[t, m, 1] - transform[1, 3]
            away = means[t, m, 2] - transform[2, 3]
            moved[t, m, 0] = (p * left + s * down + w * away) * share
            moved[t, m, 1] = (q * left + u * down + x * away) * share
            moved[t, m, 2] = (r * left + v * down + y * away) * share
            back[0], back[1] = rotations[t, n, 0], -rotations[t, n, 1]
            back[2], back[3] = -rotations[t, n, 2], -rotations[t, n, 3]
            _multiply(back, quats[t, m], turned[t, m])
    return moved, turned
