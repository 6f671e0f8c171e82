"""OpenCV's FileStorage: one file a camera, or one for all.

OpenCV fixes how a matrix is written, not what it is called, so the names that its own samples, ROS and common scripts
use are all known. A file holds one camera (called by its `name`, else by the file), or cameras by name, at the top or
under `cameras`. World to camera, OpenCV's axes; the middle of the first pixel is 0; metres unless the user says else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.data.calibration import Entry, numbers
from hgg_pyg.io.limits import opened
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat
from hgg_pyg.prepare.calibrations.storage import read_storage
from hgg_pyg.prepare.calibrations.values import counted_from_zero, rotation
from hgg_pyg.types import UserError

_K = (
    "K",
    "camera_matrix",
    "cameraMatrix",
    "CameraMatrix",
    "intrinsic_matrix",
    "intrinsics",
    "intrinsic",
    "matrix",
    "M",
)
_DISTORTION = (
    "distortion_coefficients", "distCoeffs", "distCoeff", "dist_coeffs", "dist_coeff", "dist", "distortions",
    "distortion", "Distortion", "D",
)  # fmt: skip
_R = ("R", "rotation_matrix", "rotation", "rot", "Rot", "rvec", "rvecs", "rotation_vector")
_T = ("T", "t", "translation", "translation_vector", "tvec", "tvecs", "trans")
_RT = ("RT", "Rt", "extrinsic", "extrinsics", "extrinsic_matrix", "extrinsicMatrix", "world_to_camera", "pose")
_SIZES = (("image_width", "image_height"), ("width", "height"), ("imageWidth", "imageHeight"), ("W", "H"))
_SIZE = ("image_size", "imageSize", "imgSize", "size", "resolution")
_NAME = ("name", "camera_name", "cameraName", "camera_id", "serial")
_MODEL = ("distortion_model", "camera_model", "model")
_BENDS_OTHERWISE = ("fisheye", "equidistant", "kannala", "omni", "mei")
_TRACES = (b"opencv-matrix", b"opencv_storage", b"%YAML", b"camera_matrix", b"cameraMatrix")
_LOOKED_AT = 64 * 1024  # bytes at the beginning


def is_storage(path: Path) -> bool:
    """Whether OpenCV seems to have written a file."""
    try:
        with opened(path, "a file") as file:
            beginning = file.read(_LOOKED_AT)
    except (OSError, UserError):
        return False
    return any(trace in beginning for trace in _TRACES)


def claims(files: Sequence[Path]) -> list[Path]:
    """Files of OpenCV's, and all .yml, but those of EasyMocap's names."""
    endings = (".yml", ".yaml", ".xml", ".json")
    return [
        path
        for path in files
        if path.suffix.lower() in endings
        and not path.stem.lower().endswith(("intri", "extri"))
        and (path.suffix.lower() in endings[:2] or is_storage(path))
    ]


def read(files: Sequence[Path]) -> list[Entry]:
    """The cameras of each file.

    Raises:
        UserError: no file of FileStorage, a camera without K, R or T, a fisheye lens, or as `numbers`.
    """
    return [_entry(name, where, camera) for path in files for name, where, camera in _cameras(path)]


def _cameras(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, place and content of each camera of a file."""
    content = read_storage(path)
    if _first(content, _K) is not None:
        yield str(_value(content, _NAME, path.stem)), str(path), content
        return
    cameras = content.get("cameras", content)
    if isinstance(cameras, list):
        cameras = {
            str(_value(camera, _NAME, number) if isinstance(camera, dict) else number): camera
            for number, camera in enumerate(cameras)
        }
    found = {
        name: camera
        for name, camera in (cameras.items() if isinstance(cameras, dict) else ())
        if isinstance(camera, dict) and _first(camera, _K) is not None
    }
    if not found:
        raise UserError(
            f"{path}: expected a camera's K ({', '.join(_K[:3])}), or cameras by name; "
            f"found {shown(', '.join(content), 200) or 'nothing'}"
        )
    for name, camera in found.items():
        yield str(_value(camera, _NAME, name)), f"{path}: camera '{name}'", camera


def _entry(name: str, where: str, camera: dict[str, Any]) -> Entry:
    model = str(_value(camera, _MODEL, "")).lower()
    if any(word in model for word in _BENDS_OTHERWISE) or camera.get("fisheye") in (1, True, "true"):
        raise UserError(f"{where}: expected a lens of OpenCV's k1 k2 p1 p2 k3, found a fisheye: undistort first")
    key = _first(camera, _K) or _K[0]
    R_key, T_key, R, T = _extrinsics(where, camera)
    return Entry(
        name,
        where,
        counted_from_zero(where, key, camera[key]),
        R,
        T,
        _value(camera, _DISTORTION, ()),
        _size(camera),
        (key, R_key, T_key),
    )


def _extrinsics(where: str, camera: dict[str, Any]) -> tuple[str, str, np.ndarray, Any]:
    """What the file calls R and T, and they."""
    R, T = _first(camera, _R), _first(camera, _T)
    if R is not None and T is not None:
        return R, T, rotation(where, R, camera[R]), camera[T]
    both = _first(camera, _RT)
    if both is None:
        raise UserError(
            f"{where}: expected {_R[0]} and {_T[0]} (or rvec and tvec) of a camera in the world, found "
            f"{shown(', '.join(camera), 200)}: intrinsics alone do not say where it stands"
        )
    values = numbers(where, both, camera[both], None)
    if len(values) not in (12, 16):
        raise UserError(f"{where}: key '{both}': expected a matrix of 3 x 4 or 4 x 4, found {len(values)} numbers")
    matrix = values.reshape(-1, 4)
    return both, both, matrix[:3, :3], matrix[:3, 3]


def _size(camera: dict[str, Any]) -> Any:
    for width, height in _SIZES:
        if width in camera and height in camera:
            return camera[width], camera[height]
    return _value(camera, _SIZE, None)


def _first(content: dict[str, Any], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if key in content), None)


def _value(content: dict[str, Any], keys: Sequence[str], default: Any) -> Any:
    key = _first(content, keys)
    return default if key is None else content[key]


FORMAT = CalibrationFormat(
    name="opencv",
    summary="OpenCV's FileStorage, .yml, .xml or .json, one file a camera or one for all",
    unit="m",
    claims=claims,
    read=read,
)
