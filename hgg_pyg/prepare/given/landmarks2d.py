"""Landmarks in images that somebody brings, as an .npz file or as the JSON files of OpenPose and MMPose.

They belong to the frames of each camera's own footage, counted from 0, and are in pixels of it: upright, at its full
size, with pixel centres at +0.5. The .npz file has

    points2d    [F, V, J, 3] or [V, F, J, 3]: x, y and confidence from 0 to 1 (more counts as 1); NaN or confidence 0
                where missing; or [.., 2] without confidence
    cameras     [V] names, as the calibration has them, in any order
    landmarks   a name of `LANDMARK_SETS`, or [J] names of points
    axes        "FVJ" or "VFJ"; needed only where F = V, else the axis as long as `cameras` is V
    frames      [F] numbers of the frames; without it they are all frames of the footage
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.io.npz import load_npz
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.given.keypoint_json import find_json, read_json_people
from hgg_pyg.prepare.landmark_sets import LANDMARK_SETS, MEDIAPIPE_33, OPENPOSE_25, LandmarkSet
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.types import UserError

EXPECTED = "landmarks in images"
_KEYS = ("points2d", "cameras", "landmarks", "axes", "frames")
_SUREST = 10  # the peaks of heat maps go beyond 1, AlphaPose's to 6; percents do further
_INSIDE = 0.5  # share of the landmarks that must be in the image: people stand at edges, units are off by hundreds
_LAST_CHARACTER = 0x10FFFF  # of Unicode
_KNOWN = {*MEDIAPIPE_33.points, *OPENPOSE_25.points}
_FEWEST = 4  # points of names that we know: shoulders and hips


@dataclass(frozen=True, eq=False)
class GivenLandmarks:
    """People in the images of V cameras."""

    landmarks: LandmarkSet  # J
    people: tuple[Mapping[int, np.ndarray], ...]  # V, by frame number of the camera's footage [N, J, 3]

    def sightings(self, frames: np.ndarray, scales: Sequence[tuple[float, float]]) -> list[list[list[Sighting]]]:
        """What a landmark network would find at F moments.

        Args:
            frames: [F, V] which frame of each camera's footage.
            scales: of V cameras, pixels of the filed images for one of the footage, along x and y.

        Returns:
            F x V x N
        """
        return [
            [
                [Sighting(one * (*scale, 1.0)) for one in people.get(int(number), ())]
                for people, number, scale in zip(self.people, row, scales, strict=True)
            ]
            for row in frames
        ]

    def missing(self, frames: np.ndarray) -> np.ndarray:
        """Of which images there is nothing, found or not. [F, V] -> [F, V] bool"""
        return np.array([[int(n) not in people for n, people in zip(row, self.people, strict=True)] for row in frames])


def read_landmarks(
    path: Path, cameras: Sequence[str], sizes: Sequence[tuple[int, int]], counts: Sequence[int] | None = None
) -> GivenLandmarks:
    """Read an .npz file, or a folder with the JSON files of each camera.

    Args:
        path: see above, and `keypoint_json`.
        cameras: V names, in the order of the calibration.
        sizes: (width, height) of each camera's footage.
        counts: frames of each camera's footage; None: not known.

    Raises:
        UserError: the file or a key is missing or of another shape, cameras are unknown or missing, the points are
            others than the set's, frames are others than the footage's, coordinates are no pixels of the images, or
            confidences are not from 0 to 1.
    """
    if path.is_dir():
        found = find_json(path, cameras)
        landmarks, people = read_json_people(found, path)
    else:
        landmarks, people = _read_npz(path, cameras, counts)
    for name, size, by_frame in zip(cameras, sizes, people, strict=True):
        where = f"{path}: camera '{name}'"
        everyone = [one for one in by_frame.values() if len(one)]
        if everyone:
            _check_pixels(where, np.concatenate(everyone), size)
    given = tuple({number: _tidy(one) for number, one in by_frame.items()} for by_frame in people)
    if not any(len(one) for by_frame in given for one in by_frame.values()):
        raise UserError(f"{path}: expected landmarks of somebody, found none: all are NaN, or of confidence 0")
    if counts is not None:
        for name, by_frame, count in zip(cameras, given, counts, strict=True):
            if by_frame and max(by_frame) >= count:
                raise UserError(
                    f"{path}: camera '{name}': expected frames from 0 to {count - 1}, as its footage has, found "
                    f"{max(by_frame)}"
                )
    return GivenLandmarks(landmarks, given)


def _read_npz(
    path: Path, cameras: Sequence[str], counts: Sequence[int] | None
) -> tuple[LandmarkSet, list[dict[int, np.ndarray]]]:
    arrays = load_npz(path, _KEYS, frozenset(), EXPECTED, ("points2d", "cameras", "landmarks"))
    points = arrays["points2d"]
    if points.ndim != 4 or points.shape[3] not in (2, 3) or points.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: key 'points2d': expected numbers [frames, cameras, points, 3], found {points.dtype} "
            f"{list(points.shape)}"
        )
    names = _texts(path, "cameras", arrays["cameras"])
    landmarks = read_landmark_set(path, arrays["landmarks"], points.shape[2])
    points = _frames_first(path, points, len(names), arrays.get("axes")).astype(np.float64)
    _check_cameras(path, names, cameras)
    if points.shape[3] == 2:
        points = np.concatenate([points, np.ones_like(points[..., :1])], 3)
    frames = read_frames(path, arrays.get("frames"), len(points), counts, "points2d")
    return landmarks, [
        {number: points[row, names.index(name)][None] for row, number in enumerate(frames)} for name in cameras
    ]


def read_landmark_set(path: Path, value: np.ndarray, count: int) -> LandmarkSet:
    """The points that a file says it has.

    Args:
        path: the file.
        value: of its key 'landmarks': a name, or [J] names of points.
        count: J, as its other arrays have it.

    Raises:
        UserError: an unknown name, a name twice, too few that a body is fitted to, or another number of them.
    """
    known = ", ".join(LANDMARK_SETS)
    texts = _texts(path, "landmarks", value)
    if value.size == 1 and count != 1:
        found = LANDMARK_SETS.get(texts[0].lower())
        if found is None:
            raise UserError(
                f"{path}: key 'landmarks': expected one of {known}, or a name for each point; found {shown(texts[0])!r}"
            )
        if len(found) != count:
            raise UserError(f"{path}: expected {len(found)} points, as {found.name} has, found {count}")
        return found
    if len(texts) != count:
        raise UserError(f"{path}: key 'landmarks': expected a name for each of {count} points, found {len(texts)}")
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise UserError(f"{path}: key 'landmarks': expected every name once, found {shown(twice[0])!r} twice")
    if sum(text in _KNOWN for text in texts) < _FEWEST:
        raise UserError(
            f"{path}: key 'landmarks': expected names such as left_shoulder and right_hip, found "
            f"{shown(', '.join(texts))}"
        )
    return LandmarkSet("given", tuple(texts))


def read_frames(path: Path, value: np.ndarray | None, rows: int, counts: Sequence[int] | None, key: str) -> list[int]:
    """Which frames the rows of an array are.

    Args:
        path: the file.
        value: of its key 'frames'; None: it has none.
        rows: F.
        counts: frames that there are, of each camera; None: not known.
        key: of the array.

    Raises:
        UserError: not a number for each row, not different ones, or none given and not as many as there are frames.
    """
    if value is None:
        if counts is not None and rows not in counts:
            there = " or ".join(map(str, sorted(set(counts))[:4]))
            raise UserError(
                f"{path}: key '{key}': expected {there} frames, as the footage has, found {rows}; say which they "
                "are by the key 'frames'"
            )
        return list(range(rows))
    if value.shape != (rows,) or value.dtype.kind not in "iu" or value.min(initial=0) < 0:
        raise UserError(
            f"{path}: key 'frames': expected {rows} whole numbers from 0, one for each frame of '{key}', found "
            f"{value.dtype} {list(value.shape)}{', some below 0' if value.dtype.kind in 'iu' and value.size else ''}"
        )
    if len(np.unique(value)) != rows:
        raise UserError(f"{path}: key 'frames': expected different numbers, found some twice")
    return value.tolist()


def _texts(path: Path, key: str, value: np.ndarray) -> list[str]:
    if value.dtype.kind not in "US" or value.ndim > 1 or not value.size:
        raise UserError(f"{path}: key '{key}': expected text, found {value.dtype} {list(value.shape)}")
    flat = np.atleast_1d(value)
    if flat.dtype.kind == "S":
        return [one.decode("utf-8", "replace") for one in flat.tolist()]
    codes = np.ascontiguousarray(flat.astype(flat.dtype.newbyteorder("="))).view(np.uint32)
    if (codes > _LAST_CHARACTER).any() or ((codes >= 0xD800) & (codes < 0xE000)).any():
        raise UserError(f"{path}: key '{key}': expected text, found what is no character")
    return flat.tolist()


def _frames_first(path: Path, points: np.ndarray, views: int, axes: np.ndarray | None) -> np.ndarray:
    """[F, V, J, C] of an array of either order."""
    if axes is not None:
        said = "".join(_texts(path, "axes", axes)).upper()
        if said[:3] not in ("FVJ", "VFJ"):
            raise UserError(f"{path}: key 'axes': expected FVJ or VFJ, found {shown(said)!r}")
        camera_axis = said.index("V")
    else:
        fits = [axis for axis in (0, 1) if points.shape[axis] == views]
        if len(fits) == 2:
            raise UserError(f"{path}: key 'axes' is missing: with {views} frames of {views} cameras, say FVJ or VFJ")
        camera_axis = fits[0] if fits else -1
    if camera_axis < 0 or points.shape[camera_axis] != views:
        raise UserError(
            f"{path}: key 'points2d': expected one axis of {views}, as many as 'cameras', found {list(points.shape)}"
        )
    return points if camera_axis == 1 else points.swapaxes(0, 1)


def _check_cameras(path: Path, names: Sequence[str], cameras: Sequence[str]) -> None:
    expected = f"the cameras of the calibration, {', '.join(cameras)}"
    for name in names:
        if name not in cameras:
            raise UserError(f"{path}: key 'cameras': expected {expected}; found {shown(name)!r}")
        if names.count(name) > 1:
            raise UserError(f"{path}: key 'cameras': expected every camera once, found '{name}' twice")
    for name in cameras:
        if name not in names:
            raise UserError(f"{path}: key 'cameras': expected {expected}; '{name}' is missing")


def _check_pixels(where: str, points: np.ndarray, size: tuple[int, int]) -> None:
    """[N, J, 3]"""
    confidence = points[..., 2]
    if np.isinf(points).any():
        raise UserError(f"{where}: expected finite numbers or NaN, found Inf")
    sure = confidence[np.isfinite(confidence)]
    if len(sure) and (sure.max() > _SUREST or sure.min() < -1):
        wrong = sure.max() if sure.max() > _SUREST else sure.min()
        raise UserError(f"{where}: expected confidences from 0 to 1, found {wrong:.4g}")
    seen = points[np.isfinite(points).all(-1) & (confidence > 0)][:, :2]
    if not len(seen):
        return
    inside = ((seen >= 0) & (seen <= size)).all(1).mean()
    least, most = seen.min(0), seen.max(0)
    if inside < _INSIDE or most.max() <= 2:
        why = ""
        if abs(seen).max() <= 2:
            why = "; are they shares of the width and height? multiply by them"
        raise UserError(
            f"{where}: expected pixels of images of {size[0]}x{size[1]}, found x from {least[0]:.4g} to {most[0]:.4g} "
            f"and y from {least[1]:.4g} to {most[1]:.4g}{why}"
        )


def _tidy(people: np.ndarray) -> np.ndarray:
    """Confidences from 0 to 1, and what is missing NaN with confidence 0; nobody where nothing is there. [N, J, 3]"""
    confidence = np.clip(np.nan_to_num(people[..., 2]), 0, 1)
    there = np.isfinite(people[..., :2]).all(-1) & (confidence > 0)
    points = np.where(there[..., None], people[..., :2], np.nan)
    tidy = np.concatenate([points, np.where(there, confidence, 0)[..., None]], -1)
    return tidy[there.any(1)]
