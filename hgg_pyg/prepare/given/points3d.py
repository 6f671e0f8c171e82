"""Landmarks in space that somebody brings, as an .npz file.

points3d    [F, J, 3] metres in the world of the calibration; NaN where missing
landmarks   a name of `LANDMARK_SETS`, or [J] names of points
frames      [F] numbers of the frames, of a camera without an offset; without it they are all frames of the footage
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.io.npz import load_npz
from hgg_pyg.prepare.given.landmarks2d import read_frames, read_landmark_set
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.rays import in_cameras, project
from hgg_pyg.types import UserError

_TALL = (0.3, 4.0)  # metres from the lowest to the highest point, or across
_SEEN = 0.2  # share of the points that two cameras must have in their images


@dataclass(frozen=True, eq=False)
class GivenPoints:
    """Points of a person in space."""

    landmarks: LandmarkSet  # J
    points3d: np.ndarray  # [F, J, 3] metres in the world of the calibration, its `origin` subtracted; NaN for missing
    frames: tuple[int, ...]  # F

    def at(self, frames: Sequence[int]) -> np.ndarray:
        """Points of some frames by number, NaN for those that are not there. [F', J, 3]"""
        row = {number: self.points3d[i] for i, number in enumerate(self.frames)}
        nothing = np.full(self.points3d.shape[1:], np.nan)
        return np.stack([row.get(int(number), nothing) for number in frames])


def read_points3d(
    path: Path, calibration: Calibration, sizes: Sequence[tuple[int, int]], count: int | None = None
) -> GivenPoints:
    """Read an .npz file, and hold it against the cameras.

    Args:
        path: see above.
        calibration: V cameras; K in pixels of images of `sizes`.
        sizes: (width, height) of each camera's images.
        count: frames of the footage; None: not known.

    Raises:
        UserError: a key is missing or of another shape, the points are others than the set's, nothing is there, it is
            no person in metres, or lies where fewer than two cameras look.
    """
    keys = ("points3d", "landmarks")
    arrays = load_npz(path, (*keys, "frames"), frozenset(), "landmarks in space", keys)
    points = arrays["points3d"]
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: key 'points3d': expected numbers [frames, points, 3], found {points.dtype} {list(points.shape)}"
        )
    points = points.astype(np.float64)
    landmarks = read_landmark_set(path, arrays["landmarks"], points.shape[1])
    frames = read_frames(path, arrays.get("frames"), len(points), None if count is None else [count], "points3d")
    if np.isinf(points).any():
        raise UserError(f"{path}: key 'points3d': expected finite numbers or NaN, found Inf")
    whole = np.asarray(np.isfinite(points).all(-1))
    if not whole.any():
        raise UserError(f"{path}: key 'points3d': expected points, found only NaN")
    points = np.where(whole[..., None], points, np.nan) - np.array(calibration.origin)
    _check_person(path, points[whole.sum(1) >= 2], whole)
    _check_seen(path, points, calibration, sizes)
    return GivenPoints(landmarks, points, tuple(frames))


def _check_person(path: Path, points: np.ndarray, whole: np.ndarray) -> None:
    if not len(points):
        raise UserError(f"{path}: key 'points3d': expected several points of a frame, found {whole.sum(1).max()}")
    size = float(np.median(np.linalg.norm(np.nanmax(points, 1) - np.nanmin(points, 1), axis=-1)))
    if not _TALL[0] <= size <= _TALL[1]:
        unit = next(
            (unit for scale, unit in ((1e-3, "millimetres"), (1e-2, "centimetres")) if 0.8 < size * scale < 3), ""
        )
        raise UserError(
            f"{path}: key 'points3d': expected a person in metres, found one {size:.4g} across"
            f"{f': {unit}, it seems' if unit else ''}"
        )


def _check_seen(path: Path, points: np.ndarray, calibration: Calibration, sizes: Sequence[tuple[int, int]]) -> None:
    known = np.isfinite(points[..., 0])
    with np.errstate(invalid="ignore"):
        places = project(points, calibration)
        inside = ((places >= 0) & (places <= np.array(sizes)[:, None])).all(-1)
    seen = (inside.sum(1) >= 2)[known].mean()
    if seen < _SEEN:
        depth = np.nanmedian(in_cameras(points, calibration)[..., 2], (0, 2))
        behind = [name for name, z in zip(calibration.names, depth, strict=True) if z <= 0]
        why = f"; {', '.join(behind[:4])} have them behind" if behind else ""
        raise UserError(
            f"{path}: key 'points3d': expected points in the world of the calibration, which two cameras see, found "
            f"{seen:.0%} of them in the images of two{why}: are axes and origin the same?"
        )
