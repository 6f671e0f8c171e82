"""Numba kernel that sums what pixels told the splats of round points: the gradients by the points' places and channels.

What render/tiles.py and render/projection_kernels.py do in two passes over memory, for any Gaussians; of those that are
round, sizes and turns want no gradient, and the covariance on the image is a formula of the place.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.simd import WIDTH, load, prefetch, store
from hgg_pyg.model.poses.look_kernels import ROOM
from hgg_pyg.render.binning import Bins
from hgg_pyg.render.projection_kernels import Optics, Solids, Views, camera_of, near_image, turned, turned_back

_BLOCK = 256  # points of a task
_AHEAD = 8  # points: so early is asked for what one's splats were told, which lies anywhere


@kernel
def _by_place(conic, told, seen, rotation, focal, limits):
    """The gradient by a round point's place in the world, of what its splat in one view was told.

    With k = f sigma / z, u and w the direction, the covariance on the image is
    [[kx^2 (1 + u^2), kx ky u w], [kx ky u w, ky^2 (1 + w^2)]] and the blur.

    Args:
        conic: a, b, c of the point in the image.
        told: [ROOM]
        seen: the point's place in the camera, and its sigma.
        rotation: of the camera.
        focal: lengths fx, fy.
        limits: of u and w, beyond which the covariance does not follow them.
    """
    x, y, z, sigma = seen
    real = told.dtype.type
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    inverse_z = one / z
    kx, ky = focal[0] * inverse_z * sigma, focal[1] * inverse_z * sigma
    u, w = x * inverse_z, y * inverse_z
    u_near, w_near = min(max(u, limits[0]), limits[1]), min(max(w, limits[2]), limits[3])
    a, b, c = conic
    of_a, of_b, of_c = half * told[2], told[3], half * told[8]
    of_xx = -kx * kx * (a * a * of_a + a * b * of_b + b * b * of_c)  # of the covariance, whose inverse the conic is
    of_yy = -ky * ky * (b * b * of_a + b * c * of_b + c * c * of_c)
    of_xy = -kx * ky * (two * a * b * of_a + (a * c + b * b) * of_b + two * b * c * of_c)
    of_inverse = two * z * ((one + u_near * u_near) * of_xx + u_near * w_near * of_xy + (one + w_near * w_near) * of_yy)
    of_u = two * u_near * of_xx + w_near * of_xy if u == u_near else zero
    of_w = two * w_near * of_yy + u_near * of_xy if w == w_near else zero
    of_u += focal[0] * (a * told[0] + b * told[1])
    of_w += focal[1] * (b * told[0] + c * told[1])
    of_inverse += of_u * x + of_w * y
    return turned_back(rotation, of_u * inverse_z, of_w * inverse_z, -of_inverse * inverse_z * inverse_z)


@kernel
def _sum_view(bins, found, solids, conics, views, optics, s, v, first, last, means, channels):
    """Add what one view told of the points first to last of a scene."""
    count, dtype = solids.opacities.shape[1], found.dtype
    row, m = (s * views.Ks.shape[1] + v) * count, views.viewmats[s, v]
    rotation, focal_x, focal_y, center_x, center_y = camera_of(views, s, v)
    shift_x, shift_y, shift_z = m[0, 3], m[1, 3], m[2, 3]
    most, told = dtype.type(1e30), np.empty(ROOM, dtype)
    limits = (
        *(
            near_image(-most, focal_x, center_x, views.size[0], optics),
            near_image(most, focal_x, center_x, views.size[0], optics),
        ),
        *(
            near_image(-most, focal_y, center_y, views.size[1], optics),
            near_image(most, focal_y, center_y, views.size[1], optics),
        ),
    )
    for n in range(first, last):
        ahead = np.int64(bins.splat_of[row + min(n + _AHEAD, count - 1)])
        ahead = bins.first_slot[max(ahead, 0)] * ROOM
        prefetch(found, ahead)
        prefetch(found, ahead + 2 * ROOM - 1)  # a point in four lies in several tiles
        splat = np.int64(bins.splat_of[row + n])
        if splat < 0 or bins.first_slot[splat] == bins.first_slot[splat + 1]:
            continue
        begin = bins.first_slot[splat] * ROOM
        low, high = load(found, begin), load(found, begin + WIDTH)
        for slot in range(bins.first_slot[splat] + 1, bins.first_slot[splat + 1]):
            low, high = low + load(found, slot * ROOM), high + load(found, slot * ROOM + WIDTH)
        store(told, 0, low)
        store(told, WIDTH, high)
        x, y, z = turned(rotation, solids.means[s, n, 0], solids.means[s, n, 1], solids.means[s, n, 2])
        seen = x + shift_x, y + shift_y, z + shift_z, solids.scales[s, n, 0]
        conic = conics[s, v, n, 0], conics[s, v, n, 1], conics[s, v, n, 2]
        x, y, z = _by_place(conic, told, seen, rotation, (focal_x, focal_y), limits)
        means[s, n, 0] += x
        means[s, n, 1] += y
        means[s, n, 2] += z
        for d in range(4):
            channels[s, n, d] += told[4 + d]
        for d in range(3):
            channels[s, n, 4 + d] += told[9 + d]


@parallel_kernel
def sum_looks(bins: Bins, found, solids: Solids, conics, views: Views, optics: Optics):
    """Gradients of the error by places [S, N, 3] and by channels [S, N, 7], sums over views.

    Args:
        bins: of S V views of the round points.
        found: what `look_at_tiles` gives.
        solids: the points, S scenes.
        conics: [S, V, N, 3] of them on the images.
        views: V of each scene.
        optics: what they were projected by.
    """
    scenes, count = solids.opacities.shape
    cameras, dtype = views.Ks.shape[1], solids.means.dtype
    means, channels = np.zeros((scenes, count, 3), dtype), np.zeros((scenes, count, 7), dtype)
    blocks = (count + _BLOCK - 1) // _BLOCK
    for task in prange(scenes * blocks):
        s, first = task // blocks, task % blocks * _BLOCK
        for v in range(cameras):
            _sum_view(
                bins, found, solids, conics, views, optics, s, v, first, min(first + _BLOCK, count), means, channels
            )
    return means, channels
