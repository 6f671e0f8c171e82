"""What is known of each lifted pixel, as features, and the flat disc that stands for it, in one pass over pixels."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np
import torch

from hgg_pyg.backbones.lifting import Points
from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.types import Gaussians

REACHES_MM = (10, 20, 30, 45, 65, 90)  # off the surface along its normal: from tight clothes to a skirt
# What several cameras put around the outline adds up to a person that is a pixel too thick. On synthetic people, powers
# from 4 to 8 are equally good for novel views and poses, over 2 dB better than 0.
_OUTLINE_POWER = 6
_FAINTEST = 0.004  # just too faint to be rendered, but not zero: the network may find a use for such a Gaussian
_FEATURES = (  # in the order in which `_describe` writes them
    ("offset", 3),  # from the bound vertex, 5 cm
    ("normal", 3),
    ("color", 3),
    ("color_near", 3),  # blurred by the first radius
    ("color_around", 3),  # by the second
    ("view", 3),  # to the camera
    ("facing", 1),  # cosine between normal and view
    ("outline_pixels", 1),  # log distance to the person's outline
    ("outline_metres", 1),  # the same, 5 cm
    ("borrowed", 1),  # 1 where the depth is not the pixel's own
    ("footprint", 1),  # log size of a pixel at this depth, 2 cm
    ("coverage", 1),  # how sure all cameras are that the person is there
    *((f"coverage_{reach}mm", 1) for reach in REACHES_MM),  # and so far off the surface: how thick the clothes may be
)
FEATURE_NAMES = tuple(name if width == 1 else f"{name}_{axis}" for name, width in _FEATURES for axis in "xyz"[:width])


def describe(
    points: Points,
    cover: np.ndarray,  # [n, 1 + reaches] coverage of each point, then of places off the surface
    bound: np.ndarray,  # [n] the vertex that each point is nearest to
    vertices: np.ndarray,  # [N, 3] float64
    rotations: np.ndarray,  # [N, 3, 3] float64, of the vertices' neighbourhoods from the rest pose to the world
    shape: tuple[float, float, float],  # footprint, thickness and max_stretch of `SurfaceConfig`
    opacity: float,
) -> Gaussians:
    """Discs along the surface, see `SurfaceBackbone`, with features in the axes that their vertex has in the rest pose.

    Features are scaled to about 1. All is float32.
    """
    places = points.positions, points.normals, points.toward, points.footprints
    looks, outline = (points.colors, points.blurred), (points.silhouette, points.borrowed, cover)
    fields = _describe(*places, *looks, *outline, bound, vertices, rotations, *shape, opacity)
    return Gaussians(*(torch.from_numpy(field) for field in fields))


@kernel
def _describe(
    positions,
    normals,
    toward,
    footprints,
    colors,
    blurred,
    silhouette,
    borrowed,
    cover,
    bound,
    vertices,
    rotations,
    footprint,
    thickness,
    max_stretch,
    opacity,
):
    count, reaches = cover.shape
    means, scales = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    quats, opacities = np.empty((count, 4), np.float32), np.empty(count, np.float32)
    features = np.empty((count, 23 + reaches), np.float32)
    for i in range(count):
        normal, view, rotation = normals[i], toward[i], rotations[bound[i]]
        facing = normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2]
        stretch = 1 / max(abs(facing), 1 / max_stretch)
        size = footprint * footprints[i]
        scales[i, 0], scales[i, 1], scales[i, 2] = size * stretch, size, size * thickness
        _orient(normal, view, facing, quats[i])
        opacities[i] = opacity * max(cover[i, 0] ** _OUTLINE_POWER, _FAINTEST)
        own = features[i]
        for k in range(3):
            means[i, k] = positions[i, k]
            offset = along = seen = 0.0
            for j in range(3):
                offset += rotation[j, k] * (positions[i, j] - vertices[bound[i], j])
                along += rotation[j, k] * normal[j]
                seen += rotation[j, k] * view[j]
            own[k], own[3 + k], own[15 + k] = offset / 0.05, along, seen
            own[6 + k] = (colors[i, k] - 0.5) / 0.25
            own[9 + k], own[12 + k] = (blurred[i, 0, k] - 0.5) / 0.25, (blurred[i, 1, k] - 0.5) / 0.25
        own[18] = (facing - 0.7) / 0.3
        own[19] = np.log(silhouette[i]) - 1
        own[20] = silhouette[i] * footprints[i] / 0.05 - 1
        own[21] = borrowed[i]
        own[22] = np.log(footprints[i] / 0.02)
        own[23] = (cover[i, 0] - 0.9) / 0.15
        for k in range(1, reaches):
            own[23 + k] = (cover[i, k] - 0.4) / 0.4
    return means, quats, scales, opacities, colors, features


@kernel
def _orient(normal, view, facing, quaternion):
    """Write the rotation whose axes are: in the surface along the line of sight, across it, the normal.

    Of the four ways to read a quaternion wxyz off a matrix (Shepperd 1978) the one with the largest divisor is taken.
    """
    nx, ny, nz = normal[0], normal[1], normal[2]
    x, y, z = view[0] - facing * nx, view[1] - facing * ny, view[2] - facing * nz
    if x * x + y * y + z * z <= 1e-8:  # seen from straight above: any direction, across the normal's least component
        if abs(nx) <= min(abs(ny), abs(nz)):
            x, y, z = 0.0, nz, -ny
        elif abs(ny) <= abs(nz):
            x, y, z = -nz, 0.0, nx
        else:
            x, y, z = ny, -nx, 0.0
    length = np.sqrt(x * x + y * y + z * z)
    x, y, z = x / length, y / length, z / length
    a, b, c = ny * z - nz * y, nz * x - nx * z, nx * y - ny * x  # across: the matrix's rows are x a nx, y b ny, z c nz
    squares = (1 + x + b + nz, 1 + x - b - nz, 1 - x + b - nz, 1 - x - b + nz)  # four times those of w, x, y, z
    most = max(squares)
    if squares[0] == most:
        q = (most, c - ny, nx - z, y - a)
    elif squares[1] == most:
        q = (c - ny, most, a + y, nx + z)
    elif squares[2] == most:
        q = (nx - z, a + y, most, ny + c)
    else:
        q = (y - a, nx + z, ny + c, most)
    length = np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2 + q[3] ** 2)
    length = -length if q[0] < 0 else length
    for k in range(4):
        quaternion[k] = q[k] / length
