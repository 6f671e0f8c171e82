"""What the report says in numbers, for its tables and for `report.json`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hgg_pyg.capture_check.scene import Overlap
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.triangulation import SURE, reprojection

_MM = 1000


@dataclass(frozen=True)
class CameraNumbers:
    """Of one camera; NaN where there is nothing to be measured."""

    name: str
    found: int  # images in which the person was
    reprojection: float  # pixels, median over sure landmarks, outliers too
    reprojection_used: float  # of those that agree with their point
    dropped: float  # share of the sure landmarks that do not agree with their point
    iou: float  # of body and mask
    inside: float  # share of the body that is in the mask
    height: float  # rows of the mask over those of the body
    turned: float  # degrees by which the camera was put right
    moved: float  # metres


@dataclass(frozen=True)
class LandmarkNumbers:
    """Of one landmark."""

    name: str
    reprojection: float  # pixels, median over sure landmarks
    found: float  # share of the frames in which it has a place in space
    distance: float  # millimetres from where the fitted body has it, mean; NaN where the fit does not use it


@dataclass(frozen=True)
class BoneNumbers:
    """Of the limb between two landmarks."""

    name: str
    length: float  # metres, median over frames
    spread: float  # half of the range that the middle two thirds of the frames are in, over the length


@dataclass(frozen=True)
class Numbers:
    """Of all of what was prepared."""

    name: str
    frames: int
    seconds: float
    width: int
    height: int
    body: str
    body_height: float  # metres, of its shape in the rest pose
    found: int  # images in which the person was, of frames x cameras
    reprojection: float  # pixels, median over sure landmarks in all views
    reprojection_used: float  # over those that agree with their point
    agreeing: float  # their share
    reprojection_before: float  # pixels, before cameras were put right; NaN where they were not
    reprojection_after: float
    points_found: float  # share of landmarks that have a place in space, over all frames
    points_dropped: int  # places that jumped, or whose bones had a wrong length
    sides_swapped: int  # images in which left and right of arms, legs or all were exchanged
    distance: float  # millimetres from landmarks in space to the fitted body, mean
    cameras: tuple[CameraNumbers, ...]
    landmarks: tuple[LandmarkNumbers, ...]
    bones: tuple[BoneNumbers, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def iou(self) -> float:
        """The median camera's."""
        return median([camera.iou for camera in self.cameras])

    @property
    def worst_iou(self) -> float:
        """The lowest of a camera."""
        found = [camera.iou for camera in self.cameras if math.isfinite(camera.iou)]
        return min(found, default=math.nan)

    def json(self) -> str:
        """As a text; null for what could not be measured."""
        return json.dumps(_plain({**asdict(self), "iou": self.iou}), indent=1, allow_nan=False)


def count(prepared: Prepared, overlaps: tuple[Overlap | None, ...]) -> Numbers:
    """Work out all numbers; `overlaps` are those of the V cameras."""
    found, fit = prepared.found, prepared.fit
    fitting = reprojection(found)
    names, width = prepared.calibration.names, len(prepared.calibration.names)
    turned, moved = per_camera(fit, "camera_turned", width), per_camera(fit, "camera_moved", width)
    sure = np.isfinite(found.errors) & (np.nan_to_num(found.points2d[..., 2]) >= SURE)
    distances = _distances(prepared)
    cameras = tuple(
        CameraNumbers(
            name=name,
            found=int(prepared.seen[:, view].sum()),
            reprojection=fitting.per_camera[view],
            reprojection_used=median(found.errors[:, view][(found.used & sure)[:, view]]),
            dropped=1 - _share(found.used[:, view][sure[:, view]]),
            iou=getattr(overlaps[view], "iou", math.nan),
            inside=getattr(overlaps[view], "inside", math.nan),
            height=getattr(overlaps[view], "height", math.nan),
            turned=turned[view],
            moved=moved[view],
        )
        for view, name in enumerate(names)
    )
    landmarks = tuple(
        LandmarkNumbers(
            name=name,
            reprojection=fitting.per_landmark[joint],
            found=_share(np.isfinite(found.points3d[:, joint, 0])),
            distance=_MM * _mean(distances[name]) if name in distances else math.nan,
        )
        for joint, name in enumerate(prepared.landmarks.points)
    )
    return Numbers(
        name=prepared.name,
        frames=len(prepared.times),
        seconds=float(np.ptp(prepared.times)) if len(prepared.times) else 0.0,
        width=prepared.size[0],
        height=prepared.size[1],
        body=prepared.body.name,
        body_height=float(np.ptp(prepared.body.shaped_vertices(prepared.pose.betas).numpy()[:, 1])),
        found=int(prepared.seen.sum()),
        reprojection=fitting.all_views,
        reprojection_used=fitting.used_views,
        agreeing=fitting.agreeing if np.isfinite(fitting.all_views) else math.nan,
        reprojection_before=_single(fit, "reprojection_before"),
        reprojection_after=_single(fit, "reprojection_after"),
        points_found=_share(np.isfinite(found.points3d[..., 0])),
        points_dropped=int(found.dropped.sum()),
        sides_swapped=int(found.swapped.any(-1).sum()),
        distance=_MM * _mean(fit["distances"]) if "distances" in fit else math.nan,
        cameras=cameras,
        landmarks=landmarks,
        bones=tuple(_bone(name, lengths) for name, lengths in bone_lengths(prepared).items()),
        left_out=tuple(map(str, prepared.left_out)),
        notes=prepared.notes,
        settings={str(name): value for name, value in prepared.settings.items()},
    )


def bone_lengths(prepared: Prepared) -> dict[str, np.ndarray]:
    """Metres between the ends of each limb, [F], by name; NaN where either is missing."""
    points, named = prepared.found.points3d, prepared.landmarks.points
    return {
        f"{named[a]} - {named[b]}": np.linalg.norm(points[:, a] - points[:, b], axis=-1)
        for a, b in prepared.landmarks.bones
    }


def per_camera(fit: Any, key: str, count: int) -> np.ndarray:
    """A number of each camera that the fit may have. [V], NaN where it has not"""
    values = np.asarray(fit.get(key, np.nan), np.float64).ravel()
    return values if len(values) == count else np.full(count, np.nan)


def median(values: Any) -> float:
    """Of what is finite; NaN of nothing."""
    values = np.asarray(values, np.float64).ravel()
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def _share(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _single(fit: Any, key: str) -> float:
    return median(fit[key]) if key in fit else math.nan


def _distances(prepared: Prepared) -> dict[str, np.ndarray]:
    if not {"names", "distances"} <= prepared.fit.keys():
        return {}
    return dict(zip(map(str, prepared.fit["names"]), prepared.fit["distances"].T, strict=True))


def _bone(name: str, lengths: np.ndarray) -> BoneNumbers:
    middle, known = median(lengths), lengths[np.isfinite(lengths)]
    if not len(known) or not middle:
        return BoneNumbers(name, middle, math.nan)
    low, high = np.percentile(known, [100 / 6, 500 / 6])
    return BoneNumbers(name, middle, float(high - low) / 2 / middle)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
