"""From landmarks in V images of the same moment to points in space, whatever some of the images say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hgg_pyg.config import Bounds, Share, check_choices
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.agreement import LEAST_SINE, agreed, refined
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.rays import normalised, off_rays, project, rays
from hgg_pyg.prepare.sides import repair_sides
from hgg_pyg.prepare.steadiness import unsteady

SURE = 0.5
"""Confidence from which on landmarks count in a summary"""


@dataclass(frozen=True)
class TriangulationConfig:
    """When views agree, and what is dropped."""

    tolerance: Annotated[float, Bounds(0.001, 1)] = 0.08
    """metres at the person by which a landmark may lie off a point and still be of it"""
    spread: Annotated[float, Bounds(0.0001, 1)] = 0.015
    """metres at the person by which landmarks usually are off; what is farther off counts less (Cauchy's weights)"""
    least_confidence: Share = 0.3
    """landmarks less sure than this are not looked at"""
    repair_sides: bool = True
    """whether left and right arms and legs that a view has exchanged are put right"""
    bone_change: Annotated[float, Bounds(0.01, 10)] = 0.35
    """share by which a bone may differ from its median length over the clip"""
    jump: Annotated[float, Bounds(0.01, 10)] = 0.25
    """metres by which a point may lie off the median of its neighbours in time, or four times what is usual for it"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True, eq=False)
class Triangulated:
    """Landmarks in space, and what each view had to do with them."""

    points3d: np.ndarray  # [F, J, 3] metres, NaN where fewer than two views agree or the point was dropped
    used: np.ndarray  # [F, V, J] bool: the view agrees with the point
    errors: (
        np.ndarray
    )  # [F, V, J] pixels between landmark and projected point, outliers too; NaN where either is missing
    points2d: np.ndarray  # [F, V, J, 3] the landmarks with sides put right
    swapped: np.ndarray  # [F, V, 3] bool: arms, legs, the whole person had left and right exchanged
    dropped: np.ndarray  # [F, J] bool: views agreed, but the point jumped or its bones had a wrong length


def triangulate(
    points2d: np.ndarray,
    calibration: Calibration,
    landmarks: LandmarkSet,
    config: TriangulationConfig | None = None,
) -> Triangulated:
    """The points that most views agree with, refined over the views that do.

    Args:
        points2d: [F, V, J, 3] x and y in pixels of the filed images, confidence; NaN where missing.
        calibration: V cameras; K in the same pixels.
        landmarks: J points.
        config: thresholds.
    """
    config = config or TriangulationConfig()
    swapped = np.zeros((*points2d.shape[:2], 3), bool)
    if config.repair_sides:
        plane, confidence = _usable(points2d, calibration, config)
        order, swapped = repair_sides(plane, confidence, calibration, landmarks, config.tolerance)
        points2d = np.take_along_axis(points2d, order[..., None], 2)
    plane, confidence = _usable(points2d, calibration, config)
    points3d = agreed(plane, confidence, calibration, config.tolerance)
    points3d = refined(points3d, plane, confidence, calibration, config.tolerance, config.spread)
    used = (confidence > 0) & (off_rays(points3d, plane, calibration) < config.tolerance)
    support = (confidence * used).sum(1)
    points3d = np.where(_meet(used, plane, calibration)[..., None], points3d, np.nan)
    dropped = unsteady(points3d, support, landmarks, config.bone_change, config.jump)
    points3d = np.where(dropped[..., None], np.nan, points3d)
    return Triangulated(
        points3d=points3d,
        used=used & np.isfinite(points3d[:, None, :, 0]),
        errors=np.linalg.norm(project(points3d, calibration) - points2d[..., :2], axis=-1),
        points2d=points2d,
        swapped=swapped,
        dropped=dropped,
    )


def _usable(
    points2d: np.ndarray, calibration: Calibration, config: TriangulationConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Places on the plane [F, V, J, 2] and confidences [F, V, J], 0 where there is nothing to be used."""
    plane = normalised(points2d[..., :2], calibration)
    confidence = np.nan_to_num(points2d[..., 2])
    usable = np.isfinite(plane).all(-1) & (confidence >= config.least_confidence)
    return plane, np.where(usable, confidence, 0)


def _meet(used: np.ndarray, plane: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Whether at least two rays are used, and not all of one direction. [F, V, J], [F, V, J, 2] -> [F, J]"""
    _, towards = rays(plane, calibration)
    towards = np.where(used[..., None], towards, 0)
    counts = used.sum(1)
    # If one of n unit vectors differs by an angle, their mean's squared length is 1 - angle^2 (n - 1) / n^2
    spread = 1 - (towards.sum(1) ** 2).sum(-1) / np.maximum(counts, 1) ** 2
    least = LEAST_SINE**2 * np.maximum(counts - 1, 0) / np.maximum(counts, 1) ** 2
    return (counts >= 2) & (spread > least)


@dataclass(frozen=True)
class Reprojection:
    """Median pixels between landmarks and projected points, over landmarks at least `SURE`."""

    all_views: float  # every sure landmark in every view, outliers too
    used_views: float  # those that agree with their point
    per_camera: tuple[float, ...]  # V, as all_views; NaN where a camera has none
    per_landmark: tuple[float, ...]  # J
    agreeing: float  # share of the sure landmarks that agree with their point


def reprojection(found: Triangulated) -> Reprojection:
    """How well landmarks and points fit."""
    counted = np.isfinite(found.errors) & (np.nan_to_num(found.points2d[..., 2]) >= SURE)
    errors = np.where(counted, found.errors, np.nan)
    return Reprojection(
        all_views=_median(errors),
        used_views=_median(errors[found.used]),
        per_camera=tuple(_median(errors[:, view]) for view in range(errors.shape[1])),
        per_landmark=tuple(_median(errors[:, :, joint]) for joint in range(errors.shape[2])),
        agreeing=float(found.used[counted].mean()) if counted.any() else 0.0,
    )


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
