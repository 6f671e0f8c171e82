"""Joints' maps along their tree on a CPU by a numba kernel, with the gradient; blending.py has the same in plain torch.

In torch a tree of 24 joints is 24 products of small matrices one after the other, forward and backward.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.kernels.numba_tools import kernel


def can_chain(rotations: Tensor, joints: Tensor) -> bool:
    """Whether the kernel takes these: on a CPU, both float32 or both float64, and not in torch.compile."""
    return (
        not torch.compiler.is_compiling()
        and rotations.dtype in (torch.float32, torch.float64)
        and all(x.device.type == "cpu" and x.dtype == rotations.dtype for x in (rotations, joints))
    )


def chain(rotations: Tensor, joints: Tensor, parents: tuple[int, ...]) -> Tensor:
    """As `blending.joint_transforms`. [T, J, 3, 3], [T, J, 3] -> [T, J, 4, 4]"""
    return _Chain.apply(rotations, joints, np.array(parents))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rotations: Tensor, joints: Tensor, parents: np.ndarray) -> Tensor:
        given = _array(rotations), _array(joints), parents
        world, maps = _forward(*given)
        ctx.given = *given, world
        return torch.from_numpy(maps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return *map(torch.from_numpy, _backward(*ctx.given, _array(grads[0]))), None


@kernel
def _forward(rotations, joints, parents):
    """Maps of the joints' own frames [T, J, 3, 4] and of the rest pose [T, J, 4, 4] to the world."""
    frames, count = rotations.shape[:2]
    world = np.empty((frames, count, 3, 4), rotations.dtype)
    maps = np.zeros((frames, count, 4, 4), rotations.dtype)
    for t in range(frames):
        for k in range(count):
            own, joint, rotation, parent = world[t, k], joints[t, k], rotations[t, k], parents[k]
            for row in range(3):
                if parent < 0:
                    for column in range(3):
                        own[row, column] = rotation[row, column]
                    own[row, 3] = joint[row]
                    continue
                up, above = world[t, parent, row], joints[t, parent]
                for column in range(3):
                    part = up[0] * rotation[0, column] + up[1] * rotation[1, column]
                    own[row, column] = part + up[2] * rotation[2, column]
                part = up[0] * (joint[0] - above[0]) + up[1] * (joint[1] - above[1])
                own[row, 3] = part + up[2] * (joint[2] - above[2]) + up[3]
            for row in range(3):
                moved = own[row, 0] * joint[0] + own[row, 1] * joint[1] + own[row, 2] * joint[2]
                for column in range(3):
                    maps[t, k, row, column] = own[row, column]
                maps[t, k, row, 3] = own[row, 3] - moved
            maps[t, k, 3, 3] = 1
    return world, maps


@kernel
def _backward(rotations, joints, parents, world, grads):
    """Gradients of rotations [T, J, 3, 3] and joints [T, J, 3], leaves first."""
    frames, count = rotations.shape[:2]
    of_rotations, of_joints = np.zeros_like(rotations), np.zeros_like(joints)
    of_world = np.zeros_like(world)
    for t in range(frames):
        for k in range(count - 1, -1, -1):
            of, own, joint, out = of_world[t, k], world[t, k], joints[t, k], of_joints[t, k]
            for row in range(3):
                slope = grads[t, k, row, 3]
                of[row, 3] += slope
                for column in range(3):
                    of[row, column] += grads[t, k, row, column] - slope * joint[column]
                    out[column] -= slope * own[row, column]
            parent, rotation = parents[k], rotations[t, k]
            if parent < 0:
                for row in range(3):
                    out[row] += of[row, 3]
                    for column in range(3):
                        of_rotations[t, k, row, column] = of[row, column]
                continue
            up, above = world[t, parent], joints[t, parent]
            for row in range(3):
                of_offset = up[0, row] * of[0, 3] + up[1, row] * of[1, 3] + up[2, row] * of[2, 3]
                out[row] += of_offset
                of_joints[t, parent, row] -= of_offset
                of_world[t, parent, row, 3] += of[row, 3]
                for column in range(3):
                    part = up[0, row] * of[0, column] + up[1, row] * of[1, column]
                    of_rotations[t, k, row, column] = part + up[2, row] * of[2, column]
                    part = of[row, 0] * rotation[column, 0] + of[row, 1] * rotation[column, 1]
                    part += of[row, 2] * rotation[column, 2] + of[row, 3] * (joint[column] - above[column])
                    of_world[t, parent, row, column] += part
    return of_rotations, of_joints
