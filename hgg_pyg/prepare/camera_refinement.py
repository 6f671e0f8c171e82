"""Cameras that have moved a little since they were calibrated, put right by the person's landmarks.

Tripods are touched, screws turn, and half a degree is a dozen pixels. Where many landmarks of a person say the same of
a camera, it is the camera and not the landmarks: bundle adjustment of the cameras' places and directions and of the
points in space, with the calibration as the prior. Intrinsics stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.bundle import FIXED, Bundle, adjusted
from hgg_pyg.prepare.rays import normalised
from hgg_pyg.prepare.triangulation import SURE, Triangulated

_MOST_POINTS = 1200  # more make it slower and no better


@dataclass(frozen=True)
class CameraRefinementConfig:
    """How far cameras may be from where the calibration has them.

    Raises:
        ValueError: a number is out of its bounds.
    """

    turn_sigma: Annotated[float, Bounds(0, 90)] = 1.0
    """standard deviation of a camera's direction, degrees; 0 keeps the cameras as they are"""
    move_sigma: Annotated[float, Bounds(0, 100)] = 0.03
    """standard deviation of a camera's place, metres"""
    pixel_sigma: Annotated[float, Bounds(0, 1000, above=True)] = 5.0
    """of landmarks, pixels; those that are off by more count less"""
    least_gain: Annotated[float, Bounds(0, 1)] = 0.1
    """share by which the median error must fall, else the calibration is kept to the bit"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True, eq=False)
class RefinedCameras:
    """Cameras put right, and by how much."""

    calibration: Calibration
    turned: np.ndarray  # [V] degrees
    moved: np.ndarray  # [V] metres
    before: float  # pixels, median error of the landmarks that count, with points of the given cameras
    after: float


def refine_cameras(found: Triangulated, calibration: Calibration, config: CameraRefinementConfig) -> RefinedCameras:
    """The most probable cameras and points in space, see bundle.py.

    Args:
        found: F frames of J landmarks; those in at least two views are taken, outliers too, for the given cameras may
            be what makes them so.
        calibration: V cameras.
        config: how far they may be off.
    """
    views = len(calibration.names)
    kept = RefinedCameras(calibration, np.zeros(views), np.zeros(views), float("nan"), float("nan"))
    plane = normalised(found.points2d[..., :2], calibration)  # [F, V, J, 2]
    counts = np.isfinite(plane).all(-1) & (np.nan_to_num(found.points2d[..., 2]) >= SURE)
    known = np.isfinite(found.points3d).all(-1) & (counts.sum(1) >= 2)
    frames, joints = np.nonzero(known)
    if not config.turn_sigma or len(frames) < 20:
        return kept
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_POINTS)).round().astype(int)
    frames, joints = frames[chosen], joints[chosen]
    plane = np.where(counts[..., None], plane, np.nan)[frames, :, joints]
    begin = Bundle(plane, calibration.R, calibration.T, found.points3d[frames, joints])
    focal = calibration.K[:, 0, 0]
    soft, spread = config.pixel_sigma / focal, [np.radians(config.turn_sigma)] * 3 + [max(config.move_sigma, FIXED)] * 3
    fixed = adjusted(begin, soft, np.full((views, 6), FIXED))
    free = adjusted(fixed, soft, np.tile(spread, (views, 1)))
    before, after = (float(np.nanmedian(bundle.errors() * focal)) for bundle in (fixed, free))
    if not after < (1 - config.least_gain) * before:
        return replace(kept, before=before, after=before)
    turns = Rotation.from_matrix(free.R @ calibration.R.transpose(0, 2, 1))
    return RefinedCameras(
        calibration=replace(calibration, R=free.R, T=free.T),
        turned=np.degrees(turns.magnitude()),
        moved=np.linalg.norm(_centres(free.R, free.T) - _centres(calibration.R, calibration.T), axis=1),
        before=before,
        after=after,
    )


def _centres(R: np.ndarray, T: np.ndarray) -> np.ndarray:
    """[V, 3] metres"""
    return -(R.transpose(0, 2, 1) @ T[:, :, None])[..., 0]
