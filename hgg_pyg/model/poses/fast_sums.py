"""Numba kernel that sums over the points of each joint; `evidence.sums_by_products` is the same in plain torch.

A point follows four joints at most: the product with all their weights does six times the work.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from hgg_pyg.kernels.numba_tools import numba_threads, parallel_kernel
from hgg_pyg.kernels.simd import WIDTH, fma, load, spread, store

MOMENTS = 24
"""Sums of each joint: of pulls, of places at rest times pulls, then of 1, x, |x|^2 each times pixels, then times
stiffness; of what is outside; of errors of colour."""


def can_sum(*given: Tensor) -> bool:
    """Whether the kernel takes these: float32 on a CPU, and nobody wants gradients."""
    gradients = torch.is_grad_enabled() and any(each.requires_grad for each in given)
    return not gradients and all(each.device.type == "cpu" and each.dtype == torch.float32 for each in given)


def sums(weights: Tensor, rest: Tensor, maps: Tensor, vectors: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over points, each times its weight on a joint.

    Args:
        weights: [P, J]
        rest: [P, 3] metres, places in the rest pose.
        maps: [T, J, 4, 4] of joints.
        vectors: [2, T, P, 3] places in the world, metres, and pulls.
        numbers: [4, T, P] pixels, stiffness, pixels outside, errors of colour.

    Returns:
        [T, J, MOMENTS], and each point's pulls, turned back into the rest pose, summed over frames [P, 3].
    """
    with numba_threads():
        moments, pulled = _sums(*(each.contiguous().numpy() for each in (weights, rest, maps, vectors, numbers)))
    return torch.from_numpy(moments).view(len(maps), -1, MOMENTS), torch.from_numpy(pulled).sum(0)


@parallel_kernel
def _sums(weights, rest, maps, vectors, numbers):
    frames, (count, joints) = maps.shape[0], weights.shape
    dtype = weights.dtype
    moments, pulled = np.zeros((frames, joints * MOMENTS), dtype), np.zeros((frames, count, 3), dtype)
    for t in prange(frames):
        total, own = moments[t], np.empty(MOMENTS, dtype)
        for n in range(count):
            x, y, z = vectors[0, t, n, 0], vectors[0, t, n, 1], vectors[0, t, n, 2]
            square = x * x + y * y + z * z
            pixels, stiffness = numbers[0, t, n], numbers[1, t, n]
            for a in range(3):
                own[a] = vectors[1, t, n, a]
                for b in range(3):
                    own[3 + 3 * a + b] = rest[n, a] * vectors[1, t, n, b]
            own[12], own[13], own[14], own[15] = pixels, pixels * x, pixels * y, pixels * z
            own[16], own[17], own[18], own[19] = pixels * square, stiffness, stiffness * x, stiffness * y
            own[20], own[21], own[22], own[23] = stiffness * z, stiffness * square, numbers[2, t, n], numbers[3, t, n]
            low, middle, high = load(own, 0), load(own, WIDTH), load(own, 2 * WIDTH)
            for k in range(joints):
                weight = weights[n, k]
                if weight != 0:
                    to, lanes = k * MOMENTS, spread(weight)
                    store(total, to, fma(lanes, low, load(total, to)))
                    store(total, to + WIDTH, fma(lanes, middle, load(total, to + WIDTH)))
                    store(total, to + 2 * WIDTH, fma(lanes, high, load(total, to + 2 * WIDTH)))
                    for a in range(3):
                        turned = maps[t, k, 0, a] * own[0] + maps[t, k, 1, a] * own[1] + maps[t, k, 2, a] * own[2]
                        pulled[t, n, a] += weight * turned
    return moments, pulled
