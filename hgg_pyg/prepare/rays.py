"""Between pixels of filed images and the world: rays through a lens, projection, and how far a point lies off a ray.

Distances off a ray are in metres on the plane through the point that faces the camera: r = z (x - X / z), with x the
place on the plane one metre before the camera. That is the error in pixels times z / f, so it means the same share of
a person in every camera, whatever its focal length and distance; and it is linear in the point.
"""

from __future__ import annotations

import numpy as np

from hgg_pyg.data.calibration import Calibration

_ROUNDS = 30  # each shortens the error to a third or less where the lens can be undone
_UNDONE = 0.5  # pixels: where the inverse does not come back as near as this, the lens folds


def normalised(points2d: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Where pixels of filed images lie on the plane one metre before their camera, without the lens.

    Args:
        points2d: [..., V, J, 2] pixels, in the size that K is for.
        calibration: V cameras.

    Returns:
        [..., V, J, 2]; NaN where the lens cannot be undone, and where the pixel is NaN.
    """
    focal, centre = _pinholes(calibration)
    seen = (points2d - centre) / focal
    if not calibration.distortion.any():
        return seen
    found = seen
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            stretch, shift = _lens(found, calibration)
            found = (seen - shift) / stretch
        stretch, shift = _lens(found, calibration)
        off = np.linalg.norm((found * stretch + shift - seen) * focal, axis=-1, keepdims=True)
    return np.where(off <= _UNDONE, found, np.nan)


def project(points3d: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Where points of the world are in filed images. [..., J, 3] -> [..., V, J, 2]; NaN behind a camera"""
    places = in_cameras(points3d, calibration)
    depth = places[..., 2:]
    with np.errstate(all="ignore"):
        plane = np.where(depth > 0, places[..., :2] / depth, np.nan)
        stretch, shift = _lens(plane, calibration)
    focal, centre = _pinholes(calibration)
    return (plane * stretch + shift) * focal + centre


def in_cameras(points3d: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Points of the world in each camera's frame. [..., J, 3] -> [..., V, J, 3] metres"""
    return points3d[..., None, :, :] @ calibration.R.transpose(0, 2, 1) + calibration.T[:, None]


def rays(plane: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Cameras' centres [V, 3] and the unit directions of their rays in the world, [..., V, J, 2] -> [..., V, J, 3]."""
    ends = np.concatenate([plane, np.ones_like(plane[..., :1])], -1) @ calibration.R
    centres = -(calibration.R.transpose(0, 2, 1) @ calibration.T[:, :, None])[..., 0]
    return centres, ends / np.linalg.norm(ends, axis=-1, keepdims=True)


def off_rays(points3d: np.ndarray, plane: np.ndarray, calibration: Calibration) -> np.ndarray:
    """How far points lie off the rays through places on the plane, see above; infinite behind a camera.

    Args:
        points3d: [..., J, 3] metres.
        plane: [..., V, J, 2]
        calibration: V cameras.

    Returns:
        [..., V, J] metres; NaN where either is.
    """
    places = in_cameras(points3d, calibration)
    depth = places[..., 2:]
    off = np.linalg.norm(plane * depth - places[..., :2], axis=-1)
    return np.where(depth[..., 0] <= 0, np.inf, off)


def nearest_points(
    centres: tuple[np.ndarray, np.ndarray], directions: tuple[np.ndarray, np.ndarray], least_sine: float
) -> tuple[np.ndarray, np.ndarray]:
    """The middle of where two rays come nearest, and their distance there.

    Args:
        centres: two of [..., 3] metres.
        directions: two of [..., 3], of length 1.
        least_sine: of the angle between rays; those more alike meet nowhere that can be told.

    Returns:
        [..., 3] and [...] metres; NaN where the rays are alike, or come nearest behind a camera.
    """
    (a, b), (u, v) = centres, directions
    between = a - b
    along = (u * v).sum(-1)
    on_u, on_v = (u * between).sum(-1), (v * between).sum(-1)
    square = 1 - along * along
    with np.errstate(all="ignore"):
        s, t = (along * on_v - on_u) / square, (on_v - along * on_u) / square
    good = (square > least_sine**2) & (s > 0) & (t > 0)
    first, second = a + s[..., None] * u, b + t[..., None] * v
    middle = np.where(good[..., None], (first + second) / 2, np.nan)
    return middle, np.where(good, np.linalg.norm(first - second, axis=-1), np.nan)


def _pinholes(calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Focal lengths and centres, each [V, 1, 2] pixels."""
    return calibration.K[:, None, [0, 1], [0, 1]], calibration.K[:, None, :2, 2]


def _lens(plane: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """How lenses stretch [..., V, J, 1] and shift [..., V, J, 2] places on the plane, see hgg_pyg/data/lens.py."""
    k1, k2, p1, p2, k3 = calibration.distortion.T[:, :, None]
    x, y = plane[..., 0], plane[..., 1]
    square = x * x + y * y
    stretch = 1 + square * (k1 + square * (k2 + square * k3))
    shift = np.stack([2 * p1 * x * y + p2 * (square + 2 * x * x), p1 * (square + 2 * y * y) + 2 * p2 * x * y], -1)
    return stretch[..., None], shift
