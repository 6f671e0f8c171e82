"""Blending of joints' maps on a CPU, without gradients, by a numba kernel; `BodyModel` has the same in plain torch.

A vertex follows a few of the joints: those of no weight cost nothing here. The result does not depend on threads.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.kernels.numba_tools import kernel


def can_blend(*tensors: Tensor) -> bool:
    """Whether the kernels take these: on a CPU, all float32 or all float64, and no gradient or compiling asked for."""
    first = tensors[0]
    if torch.compiler.is_compiling() or first.dtype not in (torch.float32, torch.float64):
        return False
    wanted = torch.is_grad_enabled()
    return all(x.device.type == "cpu" and x.dtype == first.dtype and not (wanted and x.requires_grad) for x in tensors)


def blend(weights: Tensor, joint_transforms: Tensor, transl: Tensor, offsets: Tensor | None) -> Tensor:
    """The vertices' maps, see `BodyModel.vertex_transforms`.

    Args:
        weights: [N, J]
        joint_transforms: [T, J, 4, 4]
        transl: [T, 3] metres
        offsets: [T, N, 3] metres, what blend shapes add to the vertices before they move.

    Returns:
        [T, N, 4, 4]
    """
    given = weights, joint_transforms, transl, transl.new_empty(len(transl), 0, 3) if offsets is None else offsets
    return torch.from_numpy(_blend(*map(_array, given)))


def move(maps: Tensor, points: Tensor) -> Tensor:
    """Maps [T, N, 4, 4] applied to points [N, 3], each to its own. [T, N, 3]"""
    return torch.from_numpy(_move(_array(maps), _array(points)))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@kernel
def _blend(weights, joint_transforms, transl, offsets):
    vertices, joints = weights.shape
    frames, zero = len(transl), weights.dtype.type(0)
    maps, used = np.zeros((frames, vertices, 4, 4), weights.dtype), np.empty(joints, np.int64)
    for n in range(vertices):
        count = 0
        for k in range(joints):
            used[count] = k
            count += weights[n, k] != zero
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
