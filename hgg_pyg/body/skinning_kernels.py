"""Numba kernels of skinning there and back, and of their gradients: what they compute is skinning.py, plain torch.

Only vertices that Gaussians are bound to are looked at. Every sum has an order of its own, that of poses or of the
Gaussians of a vertex, so results repeat bit for bit on any number of threads.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.polar import cofactors, polar, polar_gradient, rotation_matrix

_BLOCK = 512  # vertices or Gaussians of a task
_OF_A_TASK = 64  # vertices whose Gaussians a task sums


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
def _rotate_block(transforms, t, first, end, bound, out):
    for n in range(first, end):
        if bound[n]:
            out[t, n, 0], out[t, n, 1], out[t, n, 2], out[t, n, 3] = _polar_quaternion(transforms[t, n])


@parallel_kernel
def rotations_of(transforms, binding):
    """Rotations of the maps of bound vertices, as quaternions; zeros elsewhere. [T, N, 4]"""
    poses, vertices = transforms.shape[:2]
    out, bound = np.zeros((poses, vertices, 4), transforms.dtype), _is_bound(binding, vertices)
    blocks = (vertices + _BLOCK - 1) // _BLOCK
    for task in prange(poses * blocks):
        first = task % blocks * _BLOCK
        _rotate_block(transforms, task // blocks, first, min(first + _BLOCK, vertices), bound, out)
    return out


@kernel
def _product(left, right):
    """Of two quaternions."""
    w1, x1, y1, z1 = left[0], left[1], left[2], left[3]
    w2, x2, y2, z2 = right[0], right[1], right[2], right[3]
    return (
        *(w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2, w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2),
        *(w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2, w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2),
    )


@kernel
def _conjugate(quaternion):
    return quaternion[0], -quaternion[1], -quaternion[2], -quaternion[3]


@kernel
def _set(out, values):
    for i in range(len(values)):
        out[i] = values[i]


@kernel
def _add(out, values):
    for i in range(len(values)):
        out[i] += values[i]


@parallel_kernel
def pose(transforms, rotations, binding, means, quats):
    """Means [M, 3] and quats [M, 4] in T poses. [T, M, 3], [T, M, 4]"""
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
            _set(turned[t, m], _product(rotations[t, n], quats[m]))
    return moved, turned


@parallel_kernel
def pose_backward(transforms, rotations, binding, of_moved, of_turned):
    """Gradients of means [M, 3] and quats [M, 4], summed over the poses in their order."""
    poses, count = transforms.shape[0], binding.shape[0]
    of_means, of_quats = np.zeros((count, 3), transforms.dtype), np.zeros((count, 4), transforms.dtype)
    for block in prange((count + _BLOCK - 1) // _BLOCK):
        for m in range(block * _BLOCK, min((block + 1) * _BLOCK, count)):
            n = binding[m]
            for t in range(poses):
                x, y, z = of_moved[t, m, 0], of_moved[t, m, 1], of_moved[t, m, 2]
                for column in range(3):
                    along = transforms[t, n, 0, column] * x + transforms[t, n, 1, column] * y
                    of_means[m, column] += along + transforms[t, n, 2, column] * z
                # The product's transpose is the product with the conjugate
                _add(of_quats[m], _product(_conjugate(rotations[t, n]), of_turned[t, m]))
    return of_means, of_quats


@kernel
def _by_vertex(binding, vertices):
    """The Gaussians of vertex n are order[first[n] : first[n + 1]], in their own order."""
    first, order = np.zeros(vertices + 1, np.int64), np.empty(binding.shape[0], np.int64)
    for m in range(binding.shape[0]):
        first[binding[m] + 1] += 1
    for n in range(vertices):
        first[n + 1] += first[n]
    place = first[:-1].copy()
    for m in range(binding.shape[0]):
        order[place[binding[m]]] = m
        place[binding[m]] += 1
    return first, order


@kernel
def _add_turn(rotation, transform, x, y, z, out):
    """Add to a map's gradient what comes by its rotation, of the gradient (x, y, z) by a small turn of that."""
    one = transform.dtype.type(1)
    turned = rotation_matrix(one, rotation[0], rotation[1], rotation[2], rotation[3])
    part = polar_gradient(turned, transform, x, y, z)
    for row in range(3):
        for column in range(3):
            out[row, column] += part[3 * row + column]


@parallel_kernel
def pose_backward_maps(transforms, rotations, binding, means, quats, of_moved, of_turned):
    """The gradient of the maps [T, N, 4, 4], zero for vertices of no Gaussian."""
    poses, vertices = transforms.shape[:2]
    found, (first, order) = np.zeros_like(transforms), _by_vertex(binding, vertices)
    half, blocks = transforms.dtype.type(0.5), (vertices + _OF_A_TASK - 1) // _OF_A_TASK
    for task in prange(poses * blocks):
        t, begin = task // blocks, task % blocks * _OF_A_TASK
        turn = np.empty(4, transforms.dtype)
        for n in range(begin, min(begin + _OF_A_TASK, vertices)):
            if first[n] == first[n + 1]:
                continue
            out = found[t, n]
            turn[:] = 0
            for i in range(first[n], first[n + 1]):
                m = order[i]
                for row in range(3):
                    slope = of_moved[t, m, row]
                    _add(out[row], (slope * means[m, 0], slope * means[m, 1], slope * means[m, 2], slope))
                _add(turn, _product(of_turned[t, m], _conjugate(quats[m])))
            _, x, y, z = _product(_conjugate(rotations[t, n]), turn)
            _add_turn(rotations[t, n], transforms[t, n], half * x, half * y, half * z, out)
    return found


@kernel
def _inverse(m):
    """The inverse of a map's linear part, row by row."""
    a, b, c, d, e, f, g, h, i = m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]
    p, q, r, s, u, v, w, x, y = cofactors(a, b, c, d, e, f, g, h, i)
    share = m.dtype.type(1) / (a * p + b * q + c * r)
    return p * share, s * share, w * share, q * share, u * share, x * share, r * share, v * share, y * share


@kernel
def unpose(transforms, binding, means, quats):
    """The way back, one pose for each [M] of means and quats; and the rotations [T, N, 4].

    On one thread: frames are read side by side.
    """
    poses, vertices = transforms.shape[:2]
    moved, turned = np.empty_like(means), np.empty_like(quats)
    rotations, bound = np.zeros((poses, vertices, 4), transforms.dtype), _is_bound(binding, vertices)
    for t in range(poses):
        _rotate_block(transforms, t, 0, vertices, bound, rotations)
        for m in range(binding.shape[0]):
            n = binding[m]
            i, transform = _inverse(transforms[t, n]), transforms[t, n]
            x, y = means[t, m, 0] - transform[0, 3], means[t, m, 1] - transform[1, 3]
            z = means[t, m, 2] - transform[2, 3]
            for row in range(3):
                moved[t, m, row] = i[3 * row] * x + i[3 * row + 1] * y + i[3 * row + 2] * z
            _set(turned[t, m], _product(_conjugate(rotations[t, n]), quats[t, m]))
    return moved, turned, rotations


@parallel_kernel
def unpose_backward(transforms, rotations, binding, moved, turned, of_moved, of_turned):
    """Gradients of means [T, M, 3], quats [T, M, 4] and maps [T, N, 4, 4], of what `unpose` gave and those by it."""
    poses, vertices = transforms.shape[:2]
    found, (first, order) = np.zeros_like(transforms), _by_vertex(binding, vertices)
    of_means, of_quats = np.empty_like(moved), np.empty_like(turned)
    half, blocks = transforms.dtype.type(0.5), (vertices + _OF_A_TASK - 1) // _OF_A_TASK
    for task in prange(poses * blocks):
        t, begin = task // blocks, task % blocks * _OF_A_TASK
        turn = np.empty(4, transforms.dtype)
        for n in range(begin, min(begin + _OF_A_TASK, vertices)):
            if first[n] == first[n + 1]:
                continue
            out, inverse = found[t, n], _inverse(transforms[t, n])
            turn[:] = 0
            for i in range(first[n], first[n + 1]):
                m = order[i]
                x, y, z = of_moved[t, m, 0], of_moved[t, m, 1], of_moved[t, m, 2]
                at = moved[t, m]
                for row in range(3):
                    slope = inverse[row] * x + inverse[3 + row] * y + inverse[6 + row] * z
                    of_means[t, m, row] = slope
                    _add(out[row], (-slope * at[0], -slope * at[1], -slope * at[2], -slope))
                _set(of_quats[t, m], _product(rotations[t, n], of_turned[t, m]))
                _add(turn, _product(of_turned[t, m], _conjugate(turned[t, m])))
            _add_turn(rotations[t, n], transforms[t, n], -half * turn[1], -half * turn[2], -half * turn[3], out)
    return of_means, of_quats, found
