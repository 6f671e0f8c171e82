"""The .toml of Pose2Sim, Caliscope, AniPose and FreeMoCap: one table a camera.

matrix, distortions (k1 k2 p1 p2 [k3]), rotation (Rodrigues), translation, size; cameras at the top, or under `cameras`
as Caliscope's camera_array.toml has them. World to camera, OpenCV's axes, the middle of the first pixel is 0. Pose2Sim
and Caliscope write metres; AniPose and FreeMoCap write what their board was measured in, mostly millimetres.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hgg_pyg.data.calibration import Entry, require
from hgg_pyg.io.limits import read_text
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat
from hgg_pyg.prepare.calibrations.values import counted_from_zero, rotation
from hgg_pyg.types import UserError

_EXPECTED = "a .toml with one table a camera"


def claims(files: Sequence[Path]) -> list[Path]:
    """TOML with cameras in it, so that a Config.toml beside them is passed over; a damaged or a lone one is taken."""
    found = [path for path in files if path.suffix.lower() == ".toml"]
    return found if len(found) < 2 else [path for path in found if _holds_cameras(path)]


def _holds_cameras(path: Path) -> bool:
    try:
        return bool(_cameras(_content(path)))
    except UserError:
        return True


def read(files: Sequence[Path]) -> list[Entry]:
    """The cameras that stand somewhere: Caliscope also lists those of which it knows the lens only.

    Raises:
        UserError: not TOML, no camera, a key missing, a fisheye lens, or as `numbers`.
    """
    entries = []
    for path in files:
        content = _content(path)
        cameras = _cameras(content)
        if not cameras:
            raise UserError(
                f"{path}: expected {_EXPECTED} (matrix, distortions, rotation, translation), "
                f"found {shown(', '.join(content), 200) or 'nothing'}"
            )
        placed = {key: camera for key, camera in cameras.items() if {"rotation", "translation"} & camera.keys()}
        entries += [_entry(f"{path}: [{key}]", key, camera) for key, camera in (placed or cameras).items()]
    return entries


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, _EXPECTED))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: expected {_EXPECTED}, found what is not TOML ({shown(error, 100)})") from None


def _cameras(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Tables of cameras by their keys: `cam01`, or `cameras.0`."""
    nested = content.get("cameras")
    inner = {f"cameras.{key}": table for key, table in nested.items()} if isinstance(nested, dict) else {}
    return {
        key: table
        for key, table in {**content, **inner}.items()
        if isinstance(table, dict) and "matrix" in table and not table.get("ignore", False)
    }


def _entry(where: str, key: str, camera: dict[str, Any]) -> Entry:
    if camera.get("fisheye", False):
        raise UserError(f"{where}: expected a lens of OpenCV's k1 k2 p1 p2 k3, found fisheye = true: undistort first")
    # Caliscope calls the camera of table [cameras.0] cam_0, and so its video.
    own = f"cam_{camera.get('cam_id', key.removeprefix('cameras.'))}" if key.startswith("cameras.") else key
    R, T = require(where, camera, "rotation"), require(where, camera, "translation")
    return Entry(
        str(camera.get("name", own)),
        where,
        counted_from_zero(where, "matrix", camera["matrix"]),
        rotation(where, "rotation", R),
        T,
        camera.get("distortions", ()),
        camera.get("size"),
        ("matrix", "rotation", "translation"),
    )


FORMAT = CalibrationFormat(
    name="toml",
    summary="the .toml of Pose2Sim, Caliscope, AniPose and FreeMoCap",
    unit="m",
    claims=claims,
    read=read,
)
