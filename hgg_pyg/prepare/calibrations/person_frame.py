"""The world of a person: metres by a stated height, y up, the floor under the feet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.types import UserError

_CHAIN = (("ankle", "knee"), ("knee", "hip"), ("hip", "shoulder"))
_SHARE = 0.779
"""of a person's height that ankle to knee to hip to shoulder is: 0.246 + 0.245 + 0.288; R. Drillis and R. Contini,
Body segment parameters, 1966, by D. Winter, Biomechanics and motor control of human movement"""
_FEET = ("heel", "big_toe", "ankle")


def stature(points3d: np.ndarray, landmarks: LandmarkSet) -> float:
    """A person's height by the lengths of legs and trunk, in the unit of the points.

    Args:
        points3d: [F, J, 3], NaN where missing.
        landmarks: J points, of which ankles, knees, hips and shoulders are looked at.

    Raises:
        UserError: one of these lengths is never seen.
    """
    total = 0.0
    for a, b in _CHAIN:
        lengths = np.concatenate(
            [
                np.linalg.norm(_point(points3d, landmarks, side, a) - _point(points3d, landmarks, side, b), axis=-1)
                for side in ("left", "right")
            ]
        )
        lengths = lengths[np.isfinite(lengths)]
        if not len(lengths):
            raise UserError(f"--height: expected to see the person from {a} to {b} in two views, found no moment of it")
        total += float(np.median(lengths))
    return total / _SHARE


def in_persons_frame(
    calibration: Calibration, points3d: np.ndarray, landmarks: LandmarkSet, height: float
) -> tuple[Calibration, np.ndarray]:
    """Cameras and points in metres, with y from the feet to the shoulders and the origin on the floor amid the steps.

    Args:
        calibration: V cameras in any unit and frame.
        points3d: [F, J, 3] in the same.
        landmarks: J points.
        height: the person's, metres.

    Raises:
        UserError: as `stature`.
    """
    scale = height / stature(points3d, landmarks)
    shoulders, ankles = _middle(points3d, landmarks, "shoulder"), _middle(points3d, landmarks, "ankle")
    both = np.isfinite(shoulders[:, 0]) & np.isfinite(ankles[:, 0])
    up = (shoulders - ankles)[both]
    y = np.median(up / np.linalg.norm(up, axis=1, keepdims=True), 0) if len(up) else np.array([0, 1.0, 0])
    y /= np.linalg.norm(y)
    towards = calibration.R[0, 2]  # the first camera looks along -z, so that x is to its right
    z = -(towards - (towards @ y) * y)
    z /= np.linalg.norm(z)
    turn = np.stack([np.cross(y, z), y, z])  # rows: the new axes in the old world
    feet = [points3d[:, landmarks.points.index(name)] for name in landmarks.points if name.split("_", 1)[-1] in _FEET]
    heights = np.stack(feet, 1) @ y
    seen = np.isfinite(heights)
    floor = np.percentile(heights[seen], 5) if seen.any() else 0.0
    middle = np.median(ankles[np.isfinite(ankles[:, 0])], 0) if np.isfinite(ankles[:, 0]).any() else np.zeros(3)
    origin = middle + (floor - middle @ y) * y
    T = (calibration.T + calibration.R @ origin) * scale
    return replace(calibration, R=calibration.R @ turn.T, T=T), (points3d - origin) @ turn.T * scale


def _point(points3d: np.ndarray, landmarks: LandmarkSet, side: str, name: str) -> np.ndarray:
    return points3d[:, landmarks.index(f"{side}_{name}")]


def _middle(points3d: np.ndarray, landmarks: LandmarkSet, name: str) -> np.ndarray:
    return (_point(points3d, landmarks, "left", name) + _point(points3d, landmarks, "right", name)) / 2
