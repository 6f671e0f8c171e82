"""The layouts of AvatarReX and THuman4, to which people convert captures of their own: one calibration, one .npz."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration, read_calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.layouts.base import FrameNames, Layout, PoseTable, Recording, list_files, list_folders, scan
from hgg_pyg.data.smpl_params import params_kind, read_smpl_params
from hgg_pyg.data.smpl_params_rewritten import rewrite_smpl_params
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.limits import read_text
from hgg_pyg.types import UserError

MISSING_LIST = "missing_img_files.txt"
PARAMS = "smpl_params.npz"
_CALIBRATIONS = ("calibration_full.json", "calibration.json")
_FRAMES = FrameNames("00000000.jpg")

Places = Callable[[Path, str], tuple[Path, Path]]  # subject's folder, camera -> folders of its images and masks


def read_avatarrex(places: Places, folder: Path, body: BodyModel) -> Recording:
    """Read one subject.

    ::

        calibration_full.json      {camera: {K, R, T, imgSize?, distCoeff?}}, or calibration.json
        <camera>/%08d.jpg          images; THuman4: images/<camera>/%08d.jpg
        <camera>/mask/pha/%08d.jpg masks, 8 bit; THuman4: masks/<camera>/%08d.jpg
        smpl_params.npz            SMPL or SMPL-X: row i is frame i, or the i-th of the frame numbers found
        missing_img_files.txt      optional: images known to be missing, a path per line; their frames are left out

    Args:
        places: where the folders of images and masks are.
        folder: the subject's folder.
        body: that its poses are for.

    Raises:
        UserError: as `read_calibration` and `read_smpl_params`, or poses that cannot be told which frames they are of.
    """
    calibration = read_calibration(_calibration_path(folder))
    where = [places(folder, name) for name in calibration.names]
    images, masks = (tuple(list_files(pair[part], _FRAMES) for pair in where) for part in (0, 1))
    unknown = _uncalibrated(places, folder, calibration.names)
    listed = _listed_missing(folder / MISSING_LIST, calibration.names)
    kind, poses = read_smpl_params(folder / PARAMS, body, calibration.origin)
    numbers = sorted(listed.union(*(listing.names for listing in images)))
    return Recording(
        calibration=calibration,
        images=tuple(listing.without(listed) for listing in images),
        masks=masks,
        poses=PoseTable(kind, _numbers_of_rows(folder / PARAMS, len(poses), numbers), poses),
        left_out=(
            *([LeftOut("camera", tuple(unknown), "no calibration")] if unknown else ()),
            *([LeftOut("frame", tuple(map(str, sorted(listed))), f"listed in {MISSING_LIST}")] if listed else ()),
        ),
    )


def rewrite_avatarrex(folder: Path, body: BodyModel, poses: PoseTable) -> dict[str, bytes]:
    """The files of a subject's folder with other poses of the frames that were read: `smpl_params.npz`.

    Raises:
        UserError: as `read_avatarrex`.
    """
    origin = read_calibration(_calibration_path(folder)).origin
    return {PARAMS: rewrite_smpl_params(folder / PARAMS, body, poses, origin)}


def rewrite_avatarrex_cameras(folder: Path, calibration: Calibration) -> dict[str, bytes]:
    """The file of the calibration with its cameras in other places.

    Raises:
        UserError: as `read_calibration`.
    """
    path = _calibration_path(folder)
    content = read_json_object(path, "cameras")
    for camera, name in enumerate(calibration.names):
        for key, values in zip("RT", calibration.of_files(camera), strict=True):
            content[name][key] = values.reshape(np.shape(content[name][key])).tolist()
    return {path.name: json.dumps(content, indent=1).encode()}


def _uncalibrated(places: Places, folder: Path, names: Sequence[str]) -> list[str]:
    """Folders beside those of cameras that have images and masks as well."""
    beside = places(folder, "any")[0].parent
    parts = {name.split("/")[0] for name in names}
    others = [name for name in list_folders(beside) if name not in parts]
    return [name for name in others if all(any(map(_FRAMES.parse, scan(part))) for part in places(folder, name))]


def _numbers_of_rows(path: Path, rows: int, numbers: Sequence[int]) -> tuple[int, ...]:
    """The data sets number rows like frames; a capture whose numbers start elsewhere has a row for each frame."""
    if not numbers or rows > numbers[-1]:
        return tuple(range(rows))
    if rows == len(numbers):
        return tuple(numbers)
    raise UserError(
        f"{path}: expected a row for each frame: {numbers[-1] + 1}, up to the last frame number, or {len(numbers)}, "
        f"one for each number found among the images (those listed in {MISSING_LIST} included); found {rows} rows"
    )


def _calibration_path(folder: Path) -> Path:
    for name in _CALIBRATIONS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: expected {' or '.join(_CALIBRATIONS)}, found neither")


def _listed_missing(path: Path, cameras: Sequence[str]) -> set[int]:
    """Frame numbers with an image listed as missing; lines about cameras that are not calibrated do not matter."""
    if not os.path.lexists(path):
        return set()
    missing: set[int] = set()
    for count, line in enumerate(read_text(path, "a list of images that are missing").splitlines(), 1):
        parts = line.strip().replace("\\", "/").split("/")
        if parts == [""]:
            continue
        parsed = _FRAMES.parse(parts[-1])
        if parsed is None or len(parts) < 2:
            raise UserError(f"{path}: line {count}: expected <camera>/00000000.jpg, found {line.strip()[:60]!r}")
        if any(part in cameras for part in parts[:-1]):
            missing.add(parsed[1])
    return missing


def _has_some(folder: Path) -> bool:
    # One of its files is enough to be taken for a capture, so that a missing other one is reported, not passed by.
    return any((folder / name).is_file() for name in (*_CALIBRATIONS, PARAMS))


def _is_thuman4(folder: Path) -> bool:
    return _has_some(folder) and (folder / "images").is_dir()


def _is_avatarrex(folder: Path) -> bool:
    return _has_some(folder) and not (folder / "images").is_dir()


def _kinds(folder: Path) -> tuple[str, ...]:
    return (params_kind(folder / PARAMS),)


AVATARREX = Layout(
    name="AvatarReX",
    sign="calibration_full.json",
    recognises=_is_avatarrex,
    kinds=_kinds,
    read=partial(read_avatarrex, lambda folder, camera: (folder / camera, folder / camera / "mask" / "pha")),
    rewrite=rewrite_avatarrex,
    rewrite_cameras=rewrite_avatarrex_cameras,
)
THUMAN4 = Layout(
    name="THuman4",
    sign="calibration.json and images/",
    recognises=_is_thuman4,
    kinds=_kinds,
    read=partial(read_avatarrex, lambda folder, camera: (folder / "images" / camera, folder / "masks" / camera)),
    rewrite=rewrite_avatarrex,
    rewrite_cameras=rewrite_avatarrex_cameras,
)
