"""Where cameras stand, from the landmarks of a person who walks about before all of them.

Two views give the essential matrix of how their cameras stand to one another (D. Nister, An efficient solution to the
five-point relative pose problem, PAMI 2004), by RANSAC, since landmarks are wrong at times. Points that they agree on
place the other cameras, one by one; then everything is moved together, see bundle.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hgg_pyg.data.calibration import Calibration, Entry, make_calibration
from hgg_pyg.prepare.bundle import FIXED, FREE, Bundle, adjusted
from hgg_pyg.prepare.calibrations.board_cameras import BoardLens
from hgg_pyg.prepare.calibrations.disagreement import Views, disagreement, errors_of, points_of
from hgg_pyg.prepare.calibrations.person_frame import in_persons_frame
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.rays import normalised
from hgg_pyg.types import UserError

_FEWEST = 60  # landmarks that two cameras must see together
_PAIRS = 12  # of cameras from which everything is tried to begin
_NEAR = 0.01  # of the focal length or the longer side, 17 pixels of 1700: landmarks within it are right
_MOST = 1500  # landmarks that are moved together with the cameras
_SOFT = 0.003  # of the focal length, 5 pixels of 1700: where errors begin to count less than their square
_GOOD = 0.015  # of the longer side: cameras that leave more are not to be had from this person
_HEIGHTS = (0.5, 2.6)  # metres


@dataclass(frozen=True, eq=False)
class FoundCameras:
    """What a person's landmarks say of the cameras."""

    calibration: Calibration  # metres by the person's height, y up
    error: tuple[float, ...]  # V, median pixels between landmarks and points
    used: int  # landmarks, each seen by two cameras or more


def lenses_only(lenses: Mapping[str, BoardLens]) -> Calibration:
    """Lenses as a calibration whose cameras stand anywhere, for `cameras_from_landmarks` to place."""
    return make_calibration(
        [
            Entry(name, f"camera '{name}'", lens.K, np.eye(3), [float(number), 0, 0], lens.distortion, lens.size)
            for number, (name, lens) in enumerate(lenses.items())
        ]
    )


def cameras_from_landmarks(
    calibration: Calibration,
    points2d: np.ndarray,
    landmarks: LandmarkSet,
    height: float,
    least_confidence: float = 0.5,
) -> FoundCameras:
    """Place V cameras by a person who is seen in all of them at the same moments.

    Args:
        calibration: lenses of V cameras, K in pixels of the landmarks; R and T are not looked at.
        points2d: [F, V, J, 3] x and y in pixels, confidence; NaN where missing.
        landmarks: J points, with shoulders, hips, knees and ankles.
        height: the person's, metres.
        least_confidence: of landmarks that are looked at.

    Raises:
        UserError: a height that no person has, a camera that sees too little together with others, or landmarks that
            no placing of the cameras explains.
    """
    if not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
        raise UserError(f"--height: expected metres, {_HEIGHTS[0]} to {_HEIGHTS[1]}, found {height:g}")
    sure = np.isfinite(points2d[..., :2]).all(-1) & (np.nan_to_num(points2d[..., 2]) >= least_confidence)
    frames, joints = np.nonzero(sure.sum(1) >= 2)
    every = np.where(sure[..., None], points2d, np.nan)[frames, :, joints]  # N V 3
    _refuse_lonely(calibration, np.isfinite(every[..., 0]))
    kept = np.unique(np.linspace(0, len(every) - 1, min(len(every), _MOST)).round().astype(int))
    sample = every[kept]
    placed = _begin(calibration, sample)
    for _ in range(2):  # the second time without what is off after the first
        points, right = _points(placed, sample)
        placed = _together(placed, np.where(right[..., None], sample, np.nan), points)
    views = _views(placed, every)
    errors, longest = disagreement(views), max(map(max, views.sizes))
    if not np.nanmean(errors) < _GOOD:
        raise UserError(
            "cameras cannot be placed by this person: landmarks and their points stay "
            f"{np.nanmean(errors) * longest:.0f} pixels apart; do the videos show the same moments (--offset), does "
            "the person walk about, and is each camera's lens its own?"
        )
    points3d = np.full((len(points2d), points2d.shape[2], 3), np.nan)
    points, right = _points(placed, every)
    points3d[frames, joints] = np.where((right.sum(1) >= 2)[:, None], points, np.nan)
    final, _ = in_persons_frame(placed, points3d, landmarks, height)
    return FoundCameras(final, tuple((errors * views.sides).tolist()), int((right.sum(1) >= 2).sum()))


def _together(calibration: Calibration, sample: np.ndarray, points: np.ndarray) -> Calibration:
    """Cameras moved together with the points; the first stays, and how large everything is, is free.

    sample: [N, V, 3]; points: [N, 3].
    """
    plane = normalised(sample[:, :, None, :2], calibration)[:, :, 0]
    known = np.isfinite(points).all(1) & (np.isfinite(plane).all(-1).sum(1) >= 2)
    begin = Bundle(plane[known], calibration.R, calibration.T, points[known])
    spread = np.full((len(calibration.names), 6), FREE)
    spread[0] = FIXED
    sure = np.clip(np.nan_to_num(sample[known, :, 2]), 0.05, 1)
    moved = adjusted(begin, np.full(len(spread), _SOFT), spread, sure)
    return replace(calibration, R=moved.R, T=moved.T)


def _refuse_lonely(calibration: Calibration, seen: np.ndarray) -> None:
    """Each camera must see much together with another. [N, V]"""
    together = seen.T.astype(int) @ seen.astype(int)
    np.fill_diagonal(together, 0)
    most = together.max(1)
    lonely = int(np.argmin(most))
    if most[lonely] < _FEWEST:
        raise UserError(
            f"camera '{calibration.names[lonely]}': expected to see the person together with another camera, at least "
            f"{_FEWEST} landmarks; found {most[lonely]}"
        )


def _begin(calibration: Calibration, sample: np.ndarray) -> Calibration:
    """The cameras as they stand when all are placed from the best pair. sample: [N, V, 3]"""
    plane = normalised(sample[:, :, None, :2], calibration)[:, :, 0]
    starts = []
    for a, b in combinations(range(len(calibration.names)), 2):
        start = _pair(plane[:, a], plane[:, b])
        if start is not None:
            starts.append((start[0], a, b, start[1], start[2]))
    starts.sort(key=lambda start: -start[0])
    tried = [_grown(calibration, sample, plane, *start[1:]) for start in starts[:_PAIRS]]
    found = [(error, number) for number, (error, _) in enumerate(tried) if np.isfinite(error)]
    if not found:
        raise UserError(
            "cameras cannot be placed by this person: no two views agree about how their cameras stand; do the videos "
            "show the same moments (--offset), and does the person walk about?"
        )
    return tried[min(found)[1]][1]


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
    """How good a pair of views is to begin with, and R [3, 3] and T [3] of the second; [N, 2] on their planes."""
    cv2 = opencv("--height: to place cameras")
    both = np.isfinite(first).all(1) & np.isfinite(second).all(1)
    if both.sum() < _FEWEST:
        return None
    a, b = first[both], second[both]
    essential, inliers = cv2.findEssentialMat(a, b, np.eye(3), cv2.RANSAC, 0.9999, _NEAR / 2)
    if essential is None or essential.shape != (3, 3):
        return None
    count, R, T, _ = cv2.recoverPose(essential, a, b, np.eye(3), mask=inliers)
    if count < _FEWEST // 2:
        return None
    # Rays that meet at a right angle say most about where they meet
    u, v = (np.concatenate([plane, np.ones((len(plane), 1))], 1) for plane in (a, b))
    cosine = (u * (v @ R)).sum(1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))
    return float(count * np.sqrt(1 - np.median(cosine) ** 2)), R, T.reshape(3)


def _grown(
    calibration: Calibration, sample: np.ndarray, plane: np.ndarray, a: int, b: int, R: np.ndarray, T: np.ndarray
) -> tuple[float, Calibration]:
    """All cameras placed, beginning with a pair; and the mean of their errors, infinite where one cannot be placed."""
    cv2 = opencv("--height: to place cameras")
    placed = {a: (np.eye(3), np.zeros(3)), b: (R, T)}
    while len(placed) < len(calibration.names):
        order = list(placed)
        points, right = _points(_with(calibration.select(order), placed, order), sample[:, order])
        points = np.where((right.sum(1) >= 2)[:, None], points, np.nan)
        best: tuple[int, int, np.ndarray, np.ndarray] | None = None
        for camera in (camera for camera in range(len(calibration.names)) if camera not in placed):
            both = np.isfinite(points[:, 0]) & np.isfinite(plane[:, camera, 0])
            if both.sum() < _FEWEST // 2:
                continue
            done, vector, place, inliers = cv2.solvePnPRansac(
                points[both], plane[both, camera], np.eye(3), None, None, None, False, 500, _NEAR, 0.9999
            )
            count = 0 if not done or inliers is None else len(inliers)
            if count and (best is None or count > best[0]):
                best = count, camera, cv2.Rodrigues(vector)[0], place.reshape(3)
        if best is None:
            return np.inf, calibration
        placed[best[1]] = best[2:]
    order = list(range(len(calibration.names)))
    whole = _with(calibration, placed, order)
    return float(np.nanmean(disagreement(_views(whole, sample)))), whole


def _with(
    calibration: Calibration, placed: Mapping[int, tuple[np.ndarray, np.ndarray]], order: list[int]
) -> Calibration:
    R, T = (np.stack([placed[camera][part] for camera in order]) for part in (0, 1))
    return replace(calibration, R=R, T=T)


def _views(calibration: Calibration, sample: np.ndarray) -> Views:
    sizes = tuple(
        size or (round(2 * K[0, 2]), round(2 * K[1, 2]))
        for size, K in zip(calibration.sizes, calibration.K, strict=True)
    )
    return Views(sample[:, :, None], calibration, sizes)


def _points(calibration: Calibration, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where landmarks lie [N, 3], and in which views they lie there [N, V]; of landmarks [N, V, 3]."""
    views = _views(calibration, sample)
    points = points_of(views)
    return points[:, 0], np.nan_to_num(errors_of(views, points)[:, :, 0], nan=np.inf) < _NEAR
