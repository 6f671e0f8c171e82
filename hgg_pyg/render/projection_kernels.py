"""Numba kernels that project Gaussians, and differentiate it: what they compute is `projection.project`, plain torch.

A Gaussian's rotation and half axes are computed once for all views, and no intermediate result is written to memory.
Gradients of a Gaussian are summed over its views in their order, so runs repeat bit for bit on any number of threads.
Constants of other files arrive as arguments; see binning.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.polar import rotation_matrix

_BLOCK = 256  # Gaussians of a task


class Solids(NamedTuple):
    """S scenes of N Gaussians in the world."""

    means: np.ndarray  # [S, N, 3] metres
    quats: np.ndarray  # [S, N, 4] wxyz
    scales: np.ndarray  # [S, N, 3] metres
    opacities: np.ndarray  # [S, N]


class Views(NamedTuple):
    """V cameras of each scene."""

    viewmats: np.ndarray  # [S, V, 4, 4] world to camera
    Ks: np.ndarray  # [S, V, 3, 3] pixels
    size: np.ndarray  # [2] width and height, pixels


class Optics(NamedTuple):
    """Thresholds of projection.py and the blur of a scene, as numpy scalars of the arrays' dtype."""

    near: np.floating
    far: np.floating
    eps2d: np.floating
    frustum_margin: np.floating
    max_extent: np.floating
    alpha_min: np.floating


@kernel
def _unit(quats, s, n):
    """A quaternion divided by its length, and that length."""
    w, x, y, z = quats[s, n, 0], quats[s, n, 1], quats[s, n, 2], quats[s, n, 3]
    length = max(math.sqrt(w * w + x * x + y * y + z * z), quats.dtype.type(1e-12))
    return w / length, x / length, y / length, z / length, length


@kernel
def turned(r, x, y, z):
    """A 3x3 matrix, row by row, times a vector."""
    return r[0] * x + r[1] * y + r[2] * z, r[3] * x + r[4] * y + r[5] * z, r[6] * x + r[7] * y + r[8] * z


@kernel
def turned_back(r, x, y, z):
    """The transpose of a 3x3 matrix times a vector."""
    return r[0] * x + r[3] * y + r[6] * z, r[1] * x + r[4] * y + r[7] * z, r[2] * x + r[5] * y + r[8] * z


@kernel
def camera_of(views, s, v):
    """Rotation, focal lengths and principal point of a view."""
    m, k = views.viewmats[s, v], views.Ks[s, v]
    rotation = (m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2])
    return rotation, k[0, 0], k[1, 1], k[0, 2], k[1, 2]


@kernel
def near_image(u, focal, center, size, optics):
    """u where it is in the image or near it, else where its margin ends."""
    margin = optics.frustum_margin * size / (focal + focal)
    return min(max(u, -center / focal - margin), (size - center) / focal + margin)


@kernel
def _place(solids, views, optics, s, v, n):
    """Where a Gaussian is in a view: x, y, 1 / z, z, and its direction (u, v) as the Jacobian follows it."""
    rotation, focal_x, focal_y, center_x, center_y = camera_of(views, s, v)
    m = views.viewmats[s, v]
    x, y, z = turned(rotation, solids.means[s, n, 0], solids.means[s, n, 1], solids.means[s, n, 2])
    x, y, z = x + m[0, 3], y + m[1, 3], z + m[2, 3]
    one = solids.means.dtype.type(1)
    inverse_z = one / z if optics.near <= z <= optics.far else one
    u_near = near_image(x * inverse_z, focal_x, center_x, views.size[0], optics)
    v_near = near_image(y * inverse_z, focal_y, center_y, views.size[1], optics)
    return x, y, inverse_z, z, u_near, v_near


@kernel
def _project_gaussian(solids, views, optics, s, n, means2d, conics, depths, radii):
    """One Gaussian in all views of its scene; see project_gaussians."""
    real = solids.means.dtype.type
    w, x, y, z, _ = _unit(solids.quats, s, n)
    turn = rotation_matrix(real(1), w, x, y, z)
    one, zero, opacity = real(1), real(0), solids.opacities[s, n]
    extent = math.sqrt(real(2) * math.log(max(opacity / optics.alpha_min, one)))
    extent = min(extent, optics.max_extent)
    for v in range(views.Ks.shape[1]):
        rotation, focal_x, focal_y, center_x, center_y = camera_of(views, s, v)
        x, y, inverse_z, depth, u_near, v_near = _place(solids, views, optics, s, v, n)
        size_x = size_y = cov_xy = zero
        for k in range(3):
            scale = solids.scales[s, n, k]
            axis = turned(rotation, turn[k] * scale, turn[3 + k] * scale, turn[6 + k] * scale)
            row_x = focal_x * inverse_z * (axis[0] - u_near * axis[2])
            row_y = focal_y * inverse_z * (axis[1] - v_near * axis[2])
            size_x, cov_xy, size_y = size_x + row_x * row_x, cov_xy + row_x * row_y, size_y + row_y * row_y
        cov_xx, cov_yy = size_x + optics.eps2d, size_y + optics.eps2d
        determinant = cov_xx * cov_yy - cov_xy * cov_xy
        solid = determinant > zero and math.isfinite(determinant)
        inverse = one / determinant if solid else one
        left, top = focal_x * (x * inverse_z) + center_x, focal_y * (y * inverse_z) + center_y
        radius_x, radius_y = np.ceil(extent * math.sqrt(cov_xx)), np.ceil(extent * math.sqrt(cov_yy))
        seen = solid and optics.near <= depth <= optics.far and opacity >= optics.alpha_min
        seen = seen and left + radius_x > zero and left - radius_x < views.size[0]
        seen = seen and top + radius_y > zero and top - radius_y < views.size[1]
        means2d[s, v, n, 0], means2d[s, v, n, 1], depths[s, v, n] = left, top, depth
        conics[s, v, n, 0], conics[s, v, n, 1], conics[s, v, n, 2] = (
            cov_yy * inverse,
            -cov_xy * inverse,
            cov_xx * inverse,
        )
        radii[s, v, n, 0], radii[s, v, n, 1] = radius_x if seen else zero, radius_y if seen else zero


@parallel_kernel
def project_gaussians(solids: Solids, views: Views, optics: Optics):
    """Project all Gaussians into all views of their scenes.

    Returns:
        means2d [S, V, N, 2], conics [S, V, N, 3], depths [S, V, N], radii [S, V, N, 2], as `projection.Projection`.
    """
    scenes, count = solids.opacities.shape
    cameras, dtype = views.Ks.shape[1], solids.means.dtype
    means2d, conics = np.empty((scenes, cameras, count, 2), dtype), np.empty((scenes, cameras, count, 3), dtype)
    depths, radii = np.empty((scenes, cameras, count), dtype), np.empty((scenes, cameras, count, 2), dtype)
    blocks = (count + _BLOCK - 1) // _BLOCK
    for task in prange(scenes * blocks):
        s, first = task // blocks, task % blocks * _BLOCK
        for n in range(first, min(first + _BLOCK, count)):
            _project_gaussian(solids, views, optics, s, n, means2d, conics, depths, radii)
    return means2d, conics, depths, radii


@kernel
def _differentiate_gaussian(solids, views, optics, s, n, seen, conics, upstream, grads):
    """Gradients of one Gaussian from all views of its scene; see project_gaussians_backward."""
    of_means2d, of_conics, of_depths = upstream
    real = solids.means.dtype.type
    w, x, y, z, length = _unit(solids.quats, s, n)
    turn = rotation_matrix(real(1), w, x, y, z)
    zero, two = real(0), real(2)
    mean_x = mean_y = mean_z = zero
    x0 = x1 = x2 = y0 = y1 = y2 = z0 = z1 = z2 = zero  # gradient of half axis k along the world's x: xk
    for v in range(views.Ks.shape[1]):
        if seen[s, v, n, 0] == zero:
            continue
        rotation, focal_x, focal_y, _, _ = camera_of(views, s, v)
        place_x, place_y, inverse_z, _, u_near, v_near = _place(solids, views, optics, s, v, n)
        a, b, c = conics[s, v, n, 0], conics[s, v, n, 1], conics[s, v, n, 2]
        of_a, of_b, of_c = of_conics[s, v, n, 0], of_conics[s, v, n, 1], of_conics[s, v, n, 2]
        of_xx = -(a * a * of_a + a * b * of_b + b * b * of_c)  # of the 2D covariance, whose inverse the conic is
        of_yy = -(b * b * of_a + b * c * of_b + c * c * of_c)
        of_xy = -(two * a * b * of_a + (a * c + b * b) * of_b + two * b * c * of_c)
        slope_x, slope_y = focal_x * inverse_z, focal_y * inverse_z
        of_u = of_v = of_inverse = zero
        for k in range(3):
            scale = solids.scales[s, n, k]
            axis = turned(rotation, turn[k] * scale, turn[3 + k] * scale, turn[6 + k] * scale)
            across, down = axis[0] - u_near * axis[2], axis[1] - v_near * axis[2]
            of_row_x = slope_x * (two * of_xx * slope_x * across + of_xy * slope_y * down)
            of_row_y = slope_y * (two * of_yy * slope_y * down + of_xy * slope_x * across)
            of_u, of_v = of_u - of_row_x * axis[2], of_v - of_row_y * axis[2]
            of_inverse += of_row_x * across + of_row_y * down
            of_axis = turned_back(rotation, of_row_x, of_row_y, -(u_near * of_row_x + v_near * of_row_y))
            if k == 0:
                x0, y0, z0 = x0 + of_axis[0], y0 + of_axis[1], z0 + of_axis[2]
            elif k == 1:
                x1, y1, z1 = x1 + of_axis[0], y1 + of_axis[1], z1 + of_axis[2]
            else:
                x2, y2, z2 = x2 + of_axis[0], y2 + of_axis[1], z2 + of_axis[2]
        of_inverse /= inverse_z
        if u_near != place_x * inverse_z:  # no gradient through what is clamped
            of_u = zero
        if v_near != place_y * inverse_z:
            of_v = zero
        of_u += focal_x * of_means2d[s, v, n, 0]
        of_v += focal_y * of_means2d[s, v, n, 1]
        of_inverse += of_u * place_x + of_v * place_y
        of_z = of_depths[s, v, n] - of_inverse * inverse_z * inverse_z
        of_mean = turned_back(rotation, of_u * inverse_z, of_v * inverse_z, of_z)
        mean_x, mean_y, mean_z = mean_x + of_mean[0], mean_y + of_mean[1], mean_z + of_mean[2]
    of_means, of_quats, of_scales = grads
    of_means[s, n, 0], of_means[s, n, 1], of_means[s, n, 2] = mean_x, mean_y, mean_z
    of_scales[s, n, 0] = x0 * turn[0] + y0 * turn[3] + z0 * turn[6]
    of_scales[s, n, 1] = x1 * turn[1] + y1 * turn[4] + z1 * turn[7]
    of_scales[s, n, 2] = x2 * turn[2] + y2 * turn[5] + z2 * turn[8]
    first, second, third = solids.scales[s, n, 0], solids.scales[s, n, 1], solids.scales[s, n, 2]
    x0, y0, z0, x1, y1, z1 = x0 * first, y0 * first, z0 * first, x1 * second, y1 * second, z1 * second  # of the matrix
    x2, y2, z2 = x2 * third, y2 * third, z2 * third
    of_w = two * (x * (z1 - y2) + y * (x2 - z0) + z * (y0 - x1))
    of_x = two * (w * (z1 - y2) + y * (x1 + y0) + z * (x2 + z0) - two * x * (y1 + z2))
    of_y = two * (w * (x2 - z0) + x * (x1 + y0) + z * (y2 + z1) - two * y * (x0 + z2))
    of_z = two * (w * (y0 - x1) + x * (x2 + z0) + y * (y2 + z1) - two * z * (x0 + y1))
    along = w * of_w + x * of_x + y * of_y + z * of_z
    of_quats[s, n, 0], of_quats[s, n, 1] = (of_w - along * w) / length, (of_x - along * x) / length
    of_quats[s, n, 2], of_quats[s, n, 3] = (of_y - along * y) / length, (of_z - along * z) / length


@parallel_kernel
def project_gaussians_backward(solids: Solids, views: Views, optics: Optics, radii, conics, upstream):
    """Gradients of a loss with respect to means [S, N, 3], quats [S, N, 4] and scales [S, N, 3].

    `upstream` are its gradients with respect to means2d, conics and depths. Those of culled Gaussians are not read.
    """
    scenes, count = solids.opacities.shape
    dtype = solids.means.dtype
    grads = (
        np.empty((scenes, count, 3), dtype),
        np.empty((scenes, count, 4), dtype),
        np.empty((scenes, count, 3), dtype),
    )
    blocks = (count + _BLOCK - 1) // _BLOCK
    for task in prange(scenes * blocks):
        s, first = task // blocks, task % blocks * _BLOCK
        for n in range(first, min(first + _BLOCK, count)):
            _differentiate_gaussian(solids, views, optics, s, n, radii, conics, upstream, grads)
    return grads
