"""Blending of joints' maps on a CPU by numba kernels, with the gradient; `blending.blend` has the same in plain torch.

A vertex follows a few of the joints: those of no weight cost nothing here. The result does not depend on threads.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.kernels.numba_tools import kernel


def can_blend(weights: Tensor, *others: Tensor) -> bool:
    """Whether the kernels take these: on a CPU, all float32 or all float64, weights that want no gradient."""
    if torch.compiler.is_compiling() or weights.dtype not in (torch.float32, torch.float64):
        return False
    fixed = not (torch.is_grad_enabled() and weights.requires_grad)
    return fixed and all(x.device.type == "cpu" and x.dtype == weights.dtype for x in (weights, *others))


def can_move(maps: Tensor, points: Tensor) -> bool:
    """Whether the kernel takes these: as `can_blend`, and no gradient is asked for."""
    return can_blend(maps, points) and not (torch.is_grad_enabled() and points.requires_grad)


def blend(weights: Tensor, joint_transforms: Tensor, transl: Tensor, offsets: Tensor | None) -> Tensor:
    """The vertices' maps, see `blending.blend`.

    Args:
        weights: [N, J]
        joint_transforms: [T, J, 4, 4]
        transl: [T, 3] metres
        offsets: [T, N, 3] metres, what blend shapes add to the vertices before they move.

    Returns:
        [T, N, 4, 4]
    """
    return _Blend.apply(weights, joint_transforms, transl, offsets)


def move(maps: Tensor, points: Tensor) -> Tensor:
    """Maps [T, N, 4, 4] applied to points [N, 3], each to its own. [T, N, 3]"""
    return torch.from_numpy(_move(_array(maps), _array(points)))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


class _Blend(torch.autograd.Function):
    """Gradients pass to the joints' maps, the translations and the offsets."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, joint_transforms: Tensor, transl: Tensor, offsets: Tensor | None) -> Tensor:
        given = weights, joint_transforms, transl, transl.new_empty(len(transl), 0, 3) if offsets is None else offsets
        arrays = tuple(map(_array, given))
        maps = _blend(*arrays)
        ctx.given = maps, arrays[0], arrays[3]
        return torch.from_numpy(maps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = map(torch.from_numpy, _blend_backward(*ctx.given, _array(grads[0])))
        wanted = ctx.needs_input_grad
        return None, *(grad if wants else None for grad, wants in zip(found, wanted[1:], strict=True))


@kernel
def _joints_of(weights, n, used):
    """Write the joints that vertex n follows, and say how many."""
    count = 0
    for k in range(weights.shape[1]):
        used[count] = k
        count += weights[n, k] != 0
    return count


@kernel
def _blend(weights, joint_transforms, transl, offsets):
    vertices, joints = weights.shape
    frames, zero = len(transl), weights.dtype.type(0)
    maps, used = np.zeros((frames, vertices, 4, 4), weights.dtype), np.empty(joints, np.int64)
    for n in range(vertices):
        count = _joints_of(weights, n, used)
        for t in range(frames):
            for row in range(3):
                a = b = c = d = zero
                for i in range(count):
                    weight, source = weights[n, used[i]], joint_transforms[t, used[i], row]
                    a, b = a + weight * source[0], b + weight * source[1]
                    c, d = c + weight * source[2], d + weight * source[3]
                d += transl[t, row]
                if offsets.shape[1] > 0:
                    d += a * offsets[t, n, 0] + b * offsets[t, n, 1] + c * offsets[t, n, 2]
                maps[t, n, row, 0], maps[t, n, row, 1], maps[t, n, row, 2], maps[t, n, row, 3] = a, b, c, d
            maps[t, n, 3, 3] = weights.dtype.type(1)
    return maps


@kernel
def _blend_backward(maps, weights, offsets, grads):
    """Gradients of the joints' maps [T, J, 4, 4], summed over vertices in float64, translations and offsets."""
    (frames, vertices), joints = maps.shape[:2], weights.shape[1]
    of_joints, of_transl = np.zeros((frames, joints, 4, 4)), np.zeros((frames, 3))
    of_offsets, used = np.zeros_like(offsets), np.empty(joints, np.int64)
    for n in range(vertices):
        count = _joints_of(weights, n, used)
        for t in range(frames):
            of = grads[t, n]
            some = False
            for row in range(3):
                some |= of[row, 0] != 0 or of[row, 1] != 0 or of[row, 2] != 0 or of[row, 3] != 0
            if not some:  # as of vertices of no Gaussian
                continue
            for row in range(3):
                a, b, c, d = of[row, 0], of[row, 1], of[row, 2], of[row, 3]
                of_transl[t, row] += d
                if offsets.shape[1] > 0:
                    a, b, c = a + d * offsets[t, n, 0], b + d * offsets[t, n, 1], c + d * offsets[t, n, 2]
                    for column in range(3):
                        of_offsets[t, n, column] += d * maps[t, n, row, column]
                for i in range(count):
                    weight, out = weights[n, used[i]], of_joints[t, used[i], row]
                    out[0] += weight * a
                    out[1] += weight * b
                    out[2] += weight * c
                    out[3] += weight * d
    return of_joints.astype(maps.dtype), of_transl.astype(maps.dtype), of_offsets


@kernel
def _move(maps, points):
    frames, vertices = maps.shape[:2]
    moved = np.empty((frames, vertices, 3), maps.dtype)
    for t in range(frames):
        for n in range(vertices):
            x, y, z = points[n, 0], points[n, 1], points[n, 2]
            for row in range(3):
                part = maps[t, n, row, 0] * x + maps[t, n, row, 1] * y + maps[t, n, row, 2] * z
                moved[t, n, row] = part + maps[t, n, row, 3]
    return moved
