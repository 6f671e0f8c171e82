"""People in JSON files as OpenPose and MMPose write them: found in a folder by the names of the cameras.

OpenPose, AlphaPose and Pose2Sim write a file a frame, `*_keypoints.json` or `*_000012.json`, in a folder a camera,
whose name is the camera's or begins with it, as `cam01_json`: {"people": [{"pose_keypoints_2d": [x, y, c, ...]}]}.
MMPose writes a file a camera, `cam01.json`: [{"frame_id", "instances": [{"keypoints": [[x, y]], "keypoint_scores":
[c]}]}], or that under "instance_info". The one counts frames from 0 and the other from 1, so the first one's number is
taken for the first frame of the footage; without "frame_id" the frames are all of it.

Which points they are is told by their number: 17 COCO, 25 OpenPose, 26 Halpe (Pose2Sim's usual). Pixels count from 0,
so half a pixel is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.data.layouts.base import FrameNames, list_files, list_folders, scan
from hgg_pyg.io.json_files import read_json, read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.landmark_sets import COCO_17, HALPE_26, OPENPOSE_25, LandmarkSet
from hgg_pyg.types import UserError

_SETS = {len(known): known for known in (COCO_17, OPENPOSE_25, HALPE_26)}
_NAMES = (
    FrameNames("cam01_000000000012_keypoints.json", tail="_keypoints", suffixes=("json",)),
    FrameNames("cam01_000012.json", suffixes=("json",)),
)
_OPENPOSE = '{"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}]}'
_MMPOSE = '[{"frame_id", "instances": [{"keypoints", "keypoint_scores"}]}]'
_CENTRE = 0.5  # pixels, where the middle of the first one is

People = dict[int, np.ndarray]


def find_json(folder: Path, cameras: Sequence[str]) -> list[Path]:
    """The folder, or the file, of each camera.

    Raises:
        UserError: a camera has none, or several.
    """
    there = [*list_folders(folder), *(name for name in scan(folder) if name.lower().endswith(".json"))]
    found = []
    for camera in cameras:
        fits = [name for name in there if name in (camera, f"{camera}.json")]
        fits = fits or [name for name in there if name.startswith(camera) and not name[len(camera)].isalnum()]
        if len(fits) != 1:
            expected = f"one folder or file of landmarks for camera '{camera}', {camera}_json or {camera}.json"
            raise UserError(
                f"{folder}: expected {expected}; found {shown(', '.join(sorted(fits or there)), 200) or 'nothing'}"
            )
        found.append(folder / fits[0])
    return found


def read_json_people(paths: Sequence[Path], where: Path) -> tuple[LandmarkSet, list[People]]:
    """The people of each camera, by frame.

    Args:
        paths: of V cameras, see `find_json`.
        where: the folder of all, for messages.

    Returns:
        The set that all of them have, and V times {frame: [N, J, 3]}.

    Raises:
        UserError: a file is no such JSON, nobody is in any of them, or the numbers of points differ or are of no set.
    """
    people = [_openpose(path) if path.is_dir() else _mmpose(path) for path in paths]
    first: tuple[int, Path] | None = None
    for path, by_frame in zip(paths, people, strict=True):
        for one in by_frame.values():
            if not len(one):
                continue
            first = first or (one.shape[1], path)
            if one.shape[1] != first[0]:
                raise UserError(f"{path}: expected {first[0]} points, as in {first[1]}, found {one.shape[1]}")
    if first is None:
        raise UserError(f"{where}: expected people in the landmarks of at least one camera, found nobody")
    landmarks = _SETS.get(first[0])
    if landmarks is None:
        known = ", ".join(f"{count} ({one.name})" for count, one in _SETS.items())
        raise UserError(f"{first[1]}: expected people of so many points: {known}; found {first[0]}")
    empty = np.zeros((0, len(landmarks), 3))
    return landmarks, [{number: one if len(one) else empty for number, one in by_frame.items()} for by_frame in people]


def _openpose(folder: Path) -> People:
    listing = next((one for names in _NAMES if (one := list_files(folder, names)).names), None)
    if listing is None:
        raise UserError(f"{folder}: expected files such as {_NAMES[0].example} or {_NAMES[1].example}, found none")
    found = {}
    for number, name in sorted(listing.names.items()):
        path = folder / name
        record = read_json_object(path, _OPENPOSE)
        people = record.get("people")
        if not isinstance(people, list) or not all(isinstance(one, dict) for one in people):
            raise UserError(f"{path}: expected {_OPENPOSE}, found {shown(', '.join(record)) or 'no keys'}")
        rows = [_numbers(path, one.get("pose_keypoints_2d", ())) for one in people]
        if any(len(row) % 3 for row in rows):
            raise UserError(f"{path}: key 'pose_keypoints_2d': expected three numbers a point, found {len(rows[0])}")
        found[number] = _stack(path, [row.reshape(-1, 3) for row in rows if len(row)])
    return found


def _mmpose(path: Path) -> People:
    record = read_json(path, _MMPOSE)
    frames = record.get("instance_info") if isinstance(record, dict) else record
    if not isinstance(frames, list) or not all(isinstance(one, dict) and "instances" in one for one in frames):
        raise UserError(f"{path}: expected {_MMPOSE}, or {{instance_info: that}}; found {shown(record)}")
    found, first = {}, None
    for row, frame in enumerate(frames):
        number, people = frame.get("frame_id", row), frame["instances"]
        if not isinstance(number, int) or not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
            raise UserError(f"{path}: expected {_MMPOSE}, found {shown(frame)}")
        first = number if first is None else first
        found[number - first] = _stack(path, [_instance(path, one) for one in people])
    if min(found, default=0) < 0:
        raise UserError(f"{path}: key 'frame_id': expected increasing numbers, found {min(found) + (first or 0)}")
    return found


def _instance(path: Path, person: dict[str, Any]) -> np.ndarray:
    points, scores = (_numbers(path, person.get(key)) for key in ("keypoints", "keypoint_scores"))
    if len(points) != 2 * len(scores):
        raise UserError(f"{path}: expected two numbers in 'keypoints' for each of {len(scores)} in 'keypoint_scores'")
    return np.concatenate([points.reshape(-1, 2), scores[:, None]], 1)


def _numbers(path: Path, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise UserError(f"{path}: expected the numbers of keypoints, found {shown(values)}") from None


def _stack(path: Path, people: list[np.ndarray]) -> np.ndarray:
    if not people:
        return np.zeros((0, 0, 3))
    if len({len(one) for one in people}) > 1:
        raise UserError(f"{path}: expected as many points of all people, found {sorted({len(p) for p in people})}")
    return np.stack(people) + np.array([_CENTRE, _CENTRE, 0])
