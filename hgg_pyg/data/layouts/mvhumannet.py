"""The layout of MVHumanNet: an outfit filmed by one of its two rigs, with SMPL poses, SMPL-X poses, or both."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration, Entry, make_calibration, numbers, require
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.layouts.base import (
    FrameNames,
    Layout,
    PoseTable,
    Recording,
    list_files,
    list_folders,
    no_images,
    subject_name,
)
from hgg_pyg.data.layouts.mvhumannet_poses import pose_kinds, read_poses
from hgg_pyg.data.layouts.mvhumannet_rewritten import rewrite_poses
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.pickles import load_pickle
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

EXTRINSICS = "camera_extrinsics.json"
INTRINSICS = "camera_intrinsics.json"
SCALE = "camera_scale.pkl"
_PLACES = (("images_lr", "fmask_lr"), ("images", "fmask"))  # as the data set is distributed; as it is described
_IMAGE = FrameNames("0005_img.jpg", "_img")
_MASK = FrameNames("0005_img_fmask.png", "_img_fmask")
_KEY = re.compile(r"(?:\d+_)+([0-9A-Za-z]+)\.(?:png|jpg|jpeg)")
_KEYS = ("intrinsics", "rotation", "translation")
_OUTFIT = re.compile(r"(\d{6})(?!\d)")


@dataclass(frozen=True)
class _Rig:
    """One of the two rigs. Its cameras' names tell it: the outfit's number may be lost when a folder is renamed."""

    cameras: re.Pattern[str]
    size: tuple[int, int]  # (width, height) that K is for, whatever the size of the images


_RIG_48 = _Rig(re.compile(r"CC[0-9A-Za-z]+"), (4096, 3000))
_RIG_16 = _Rig(re.compile(r"\d+"), (2448, 2048))
_MOVED, _MOVED_FROM = "CC32871A041", 100066  # camera 41 looks elsewhere than its extrinsics say, from this outfit on


def read_mvhumannet(folder: Path, body: BodyModel) -> Recording:
    """Read one outfit.

    ::

        images_lr/<cam>/0005_img.jpg          ticks 5, 10, 15, ...; or images/
        fmask_lr/<cam>/0005_img_fmask.png     8 bit, 0..255; or fmask/
        camera_intrinsics.json                {intrinsics: 3x3, dist: up to 5}, of all cameras, at the calibrated size
        camera_extrinsics.json                {1_<cam>.png or 0_0_<cam>.png: {rotation: 3x3, translation: 3}}
        camera_scale.pkl                      a float: x_cam = R X + translation / 1000 * scale, metres
        smpl_param/, smplx/smpl/              poses, see `read_poses`

    Args:
        folder: the outfit's folder.
        body: that its poses are for.

    Raises:
        UserError: a file is missing or damaged, cameras of no rig or of both, as `make_calibration` and `read_poses`.
    """
    entries = _read_cameras(folder)
    places = next((pair for pair in _PLACES if all((folder / part).is_dir() for part in pair)), _PLACES[0])
    unknown = sorted(set(list_folders(folder / places[0])) - {entry.name for entry in entries})
    left_out = [LeftOut("camera", tuple(unknown), f"no entry in {EXTRINSICS}")] if unknown else []
    outfit = _OUTFIT.match(subject_name(folder)) or _OUTFIT.match(folder.resolve().name)
    right = [entry for entry in entries if entry.name != _MOVED]
    if outfit and int(outfit[1]) >= _MOVED_FROM and 0 < len(right) < len(entries):
        entries = right
        reason = f"the data set's extrinsics of camera 41 are wrong from outfit {_MOVED_FROM} on"
        left_out.append(LeftOut("camera", (_MOVED,), reason))
    calibration = make_calibration(entries)
    images, masks = (
        tuple(list_files(folder / place / name, names) for name in calibration.names)
        for place, names in zip(places, (_IMAGE, _MASK), strict=True)
    )
    ticks = sorted(set().union(*(listing.names for listing in images)))
    if not ticks:
        raise no_images(str(folder), f"{places[0]}/{calibration.names[0]}/{_IMAGE.example}", images)
    poses, damaged = read_poses(folder, body, ticks, calibration.origin)
    spoilt = {int(tick) for item in damaged for tick in item.names}
    return Recording(
        calibration=calibration,
        # Frames that are counted as damaged are not to be counted once more as frames without a pose.
        images=tuple(listing.without(spoilt) for listing in images),
        masks=masks,
        poses=poses,
        left_out=(*left_out, *damaged),
    )


def rewrite_mvhumannet(folder: Path, body: BodyModel, poses: PoseTable) -> dict[str, bytes]:
    """The files of an outfit's folder with other poses of the frames that were read, see `rewrite_poses`.

    Raises:
        UserError: as `read_mvhumannet`.
    """
    recording = read_mvhumannet(folder, body)
    return rewrite_poses(folder, body, recording.poses, poses, recording.calibration.origin)


def rewrite_mvhumannet_cameras(folder: Path, calibration: Calibration) -> dict[str, bytes]:
    """The file of the extrinsics with cameras in other places.

    Raises:
        UserError: as `read_mvhumannet`.
    """
    content, scale = read_json_object(folder / EXTRINSICS, "cameras"), _read_scale(folder / SCALE)
    keys = {match[1]: key for key in content if (match := _KEY.fullmatch(key))}
    for camera, name in enumerate(calibration.names):
        entry, (R, T) = content[keys[name]], calibration.of_files(camera)
        for key, values in (("rotation", R), ("translation", T * 1000 / scale)):
            entry[key] = values.reshape(np.shape(entry[key])).tolist()
    return {EXTRINSICS: json.dumps(content, indent=1).encode()}


def _read_cameras(folder: Path) -> list[Entry]:
    """All cameras of the outfit's rig, at its calibrated size, in metres."""
    path, scale = folder / EXTRINSICS, _read_scale(folder / SCALE)
    expected = "{camera: {rotation, translation}}"
    content = read_json_object(path, expected)
    if not content:
        raise UserError(f"{path}: expected {expected}, found {{}}")
    keys: dict[str, str] = {}
    for key in content:
        if not (match := _KEY.fullmatch(key)):
            raise UserError(
                f"{path}: key '{shown(key)}': expected 1_<camera>.png, 0_0_<camera>.png or 0_1_<camera>.png"
            )
        if match[1] in keys:
            raise UserError(f"{path}: expected every camera once, found '{shown(keys[match[1]])}' and '{shown(key)}'")
        keys[match[1]] = key
    size = _rig(path, list(keys)).size
    K, distortion = _read_intrinsics(folder / INTRINSICS, size)
    entries = []
    for name, key in keys.items():
        where, camera = f"{path}: camera '{key}'", content[key]
        if not isinstance(camera, dict):
            raise UserError(f"{where}: expected {{rotation, translation}}, found {shown(camera)}")
        R = numbers(where, "rotation", require(where, camera, "rotation"), 9)
        T = numbers(where, "translation", require(where, camera, "translation"), 3) / 1000 * scale
        entries.append(Entry(name, where, K, R, T, distortion, size, _KEYS))
    return entries


def _rig(path: Path, cameras: list[str]) -> _Rig:
    for rig in (_RIG_48, _RIG_16):
        if all(rig.cameras.fullmatch(name) for name in cameras):
            return rig
    known = [name for name in cameras if any(rig.cameras.fullmatch(name) for rig in (_RIG_48, _RIG_16))]
    strange = [name for name in cameras if name not in known]
    found = strange[0] if strange else " and ".join((max(known), min(known)))
    raise UserError(
        f"{path}: expected cameras of one rig, all named like CC32871A004 or all like 22327091, found {found}"
    )


def _read_intrinsics(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """K [9] and up to five coefficients of distortion."""
    content, where = read_json_object(path, "{intrinsics, dist}"), str(path)
    K = numbers(where, "intrinsics", require(where, content, "intrinsics"), 9)
    distortion = numbers(where, "dist", content.get("dist", ()), None)
    # Checked here, so that what is wrong with it is said of this file and not of every camera.
    make_calibration([Entry("any", where, K, np.eye(3), np.zeros(3), distortion, size, _KEYS)])
    middle = K[[2, 5]] / size
    if abs(middle - 0.5).max() > 0.15:  # wrong by a factor, everything would be rendered beside the images
        raise UserError(
            f"{path}: key 'intrinsics': expected K for the {size[0]}x{size[1]} pixels that this rig is calibrated at, "
            f"whatever the size of the images, with its centre near {size[0] // 2}, {size[1] // 2}, "
            f"found {K[2]:g}, {K[5]:g}"
        )
    return K, distortion


def _read_scale(path: Path) -> float:
    scale = load_pickle(path, frozenset(), "one number, the scale of the translations")
    if type(scale) is not float or not 0 < scale < np.inf:
        raise UserError(f"{path}: expected one positive float, the scale of the translations, found {shown(scale)}")
    return scale


def _is_mvhumannet(folder: Path) -> bool:
    # One of its files is enough to be taken for a capture, so that a missing other one is reported, not passed by.
    return any((folder / name).is_file() for name in (EXTRINSICS, INTRINSICS, SCALE))


MVHUMANNET = Layout(
    name="MVHumanNet",
    sign=EXTRINSICS,
    recognises=_is_mvhumannet,
    kinds=pose_kinds,
    read=read_mvhumannet,
    rewrite=rewrite_mvhumannet,
    rewrite_cameras=rewrite_mvhumannet_cameras,
)
