"""How far the views of some cameras disagree about what they see, whatever the unit of their calibration.

A landmark's point is where it lies least off all views' rays, by least squares; a camera's error is the median, over
landmarks, of how far from the landmark it sees that point, as a share of its image's longer side. Nothing is dropped as
an outlier but by the median: what one camera says must count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.rays import normalised, project, rays

_FRAMES = 150  # that are looked at, in a row, so that one camera can be tried a few frames later
_MOST = 300  # landmarks of them
_ROUNDS = 4  # of reweighting
_WORST = 0.5  # of the longer side: farther off is not worse, and behind a camera is as bad
_SOFT = 0.02  # of the longer side, where Cauchy's weights are a half


@dataclass(frozen=True, eq=False)
class Views:
    """Landmarks and the cameras that see them."""

    points2d: np.ndarray  # [F, V, J, 3]
    calibration: Calibration
    sizes: tuple[tuple[int, int], ...]  # V
    partners: tuple[int, ...] | None = None  # J, each landmark's on the other side of the body; None: not known

    @property
    def sides(self) -> np.ndarray:
        """Longer side of each camera's images. [V] pixels"""
        return np.array([max(size) for size in self.sizes], np.float64)

    def seen_by(self, cameras: list[int]) -> Views:
        """Some of the cameras."""
        sizes = tuple(self.sizes[camera] for camera in cameras)
        return Views(self.points2d[:, cameras], self.calibration.select(cameras), sizes, self.partners)

    def with_cameras(self, **changes: np.ndarray) -> Views:
        """With other K, R, T or distortion."""
        return replace(self, calibration=replace(self.calibration, **changes))


def surest_part(views: Views, least_confidence: float) -> Views:
    """The frames in a row in which views see most surely; landmarks that are less sure become NaN."""
    sure = np.isfinite(views.points2d[..., :2]).all(-1) & (np.nan_to_num(views.points2d[..., 2]) >= least_confidence)
    points2d = np.where(sure[..., None], views.points2d, np.nan)
    total = np.cumsum(np.append(0, sure.sum((1, 2))))
    start = int(np.argmax(total[_FRAMES:] - total[:-_FRAMES])) if len(points2d) > _FRAMES else 0
    return replace(views, points2d=points2d[start : start + _FRAMES])


def _sampled(views: Views) -> Views:
    """The landmarks that most views see, as many frames of one landmark; few enough to try much on them."""
    count = np.isfinite(views.points2d[..., 0]).sum(1)
    frames, joints = np.nonzero(count >= 2)
    order = np.argsort(-count[frames, joints], kind="stable")
    best = order[: max(_MOST, int((count == count.max()).sum()))]
    kept = best[np.unique(np.linspace(0, len(best) - 1, min(len(best), _MOST)).round().astype(int))]
    return replace(views, points2d=views.points2d[frames[kept], :, joints[kept]][:, :, None])


def disagreement(views: Views) -> np.ndarray:
    """Each camera's error, see above. [V] shares of the longer side; NaN where a camera sees nothing with others"""
    views = _sampled(views)
    off = errors_of(views, points_of(views))
    errors = np.full(off.shape[1], np.nan)
    for camera in range(off.shape[1]):
        own = off[:, camera][np.isfinite(off[:, camera])]
        if len(own):
            errors[camera] = np.median(own)
    return errors


def extent(views: Views, good: float) -> float:
    """How far apart the two farthest landmarks of a frame are, the median over frames; NaN where none has two.

    Args:
        views: in any unit, which the result is in too.
        good: share of the longer side by which views may be off a landmark's point for it to count.
    """
    points = points_of(views)
    off = errors_of(views, points)
    agree = (np.nan_to_num(off, nan=0).max(1) < good) & np.isfinite(points[..., 0])
    apart = [
        float(np.linalg.norm(frame[:, None] - frame[None], axis=-1).max())
        for frame in (points[number][row] for number, row in enumerate(agree))
        if len(frame) > 1
    ]
    return float(np.median(apart)) if apart else float("nan")


def points_of(views: Views) -> np.ndarray:
    """Where each landmark lies. [F, J, 3] in the unit of the calibration; NaN where fewer than two views see it"""
    plane = normalised(views.points2d[..., :2], views.calibration)
    centres, towards = rays(plane, views.calibration)
    there = np.isfinite(plane[..., 0])
    towards = np.where(there[..., None], towards, 0)
    # Distance to a ray: (1 - d d^T)(X - c), of which the squares are summed
    across = np.eye(3) - towards[..., :, None] * towards[..., None, :]
    weights = there.astype(np.float64)
    points = np.full((*plane.shape[:1], *plane.shape[2:3], 3), np.nan)
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            normal = np.einsum("fvj,fvjab->fjab", weights, across)
            target = np.einsum("fvj,fvjab,vb->fja", weights, across, centres, optimize=True)
            scale = np.trace(normal, axis1=-2, axis2=-1)[..., None, None]
            points = np.linalg.solve(normal + 1e-12 * (scale + 1) * np.eye(3), target[..., None])[..., 0]
            distance = np.linalg.norm(points[:, None] - centres[:, None], axis=-1)
            # Metres across a ray count as pixels do: by their distance
            off = np.nan_to_num(errors_of(views, points), nan=_WORST)
            weights = np.where(there, 1 / (1 + (off / _SOFT) ** 2) / np.maximum(distance, 1e-9) ** 2, 0)
            weights /= np.maximum(weights.max(1, keepdims=True), 1e-300)
    return np.where((there.sum(1) >= 2)[..., None], points, np.nan)


def errors_of(views: Views, points: np.ndarray) -> np.ndarray:
    """Distances of landmarks and points in each image. [F, V, J] shares of the longer side, NaN where none was seen"""
    pixels = views.points2d[..., :2]
    off = np.linalg.norm(project(points, views.calibration) - pixels, axis=-1) / views.sides[:, None]
    there = np.isfinite(pixels).all(-1) & np.isfinite(points[:, None, :, 0])
    return np.where(there, np.nan_to_num(np.minimum(off, _WORST), nan=_WORST), np.nan)
