"""Qualisys Track Manager's .qca.txt, an XML file: millimetres, sixty-fourths of a pixel.

`transform` says how a camera lies in the world: r11..r33 are its rotation, written by columns, and x, y, z its place.
Its own axes are x right, y up, z backwards, so y and z are turned to become OpenCV's. `intrinsic` counts in 1/64 pixel
from the middle of the first pixel of the sensor, of which `fov_video` says which part was filmed. Distortion
coefficients are OpenCV's as they are.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hgg_pyg.data.calibration import Entry, numbers
from hgg_pyg.io.limits import opened, read_within
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat
from hgg_pyg.prepare.calibrations.values import counted_from_zero
from hgg_pyg.types import UserError

_EXPECTED = "a calibration of Qualisys Track Manager (XML)"
_LARGEST = 8 * 2**20  # bytes: a hundred cameras have a quarter of one million
_SUBPIXELS = 64
_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


def claims(files: Sequence[Path]) -> list[Path]:
    """Files called .qca.txt, and other .txt and .xml that begin as such."""
    return [path for path in files if path.name.lower().endswith(".qca.txt") or _looks_like_one(path)]


def _looks_like_one(path: Path) -> bool:
    if path.suffix.lower() not in (".txt", ".xml", ".qca"):
        return False
    try:
        with opened(path, _EXPECTED) as file:
            return b"<calibration" in file.read(1024)
    except (OSError, UserError):
        return False


def read(files: Sequence[Path]) -> list[Entry]:
    """The cameras that were calibrated, called by their serial.

    Raises:
        UserError: not XML, no camera, an attribute missing, or as `numbers`.
    """
    return [entry for path in files for entry in _read(path)]


def _read(path: Path) -> list[Entry]:
    try:
        root = ET.fromstring(read_within(path, _LARGEST, _EXPECTED))
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path}: expected {_EXPECTED}, found what is not XML ({shown(error, 100)})") from None
    # A camera that is switched off, or that was not calibrated, is listed without its place.
    cameras = [camera for camera in root.iter("camera") if camera.find("transform") is not None]
    if not cameras:
        raise UserError(f"{path}: expected {_EXPECTED} with calibrated cameras, found none")
    return [_entry(path, number, camera) for number, camera in enumerate(cameras)]


def _entry(path: Path, number: int, camera: ET.Element) -> Entry:
    name = camera.get("serial") or str(number)
    where = f"{path}: camera '{name}'"
    window = _window(where, camera)
    inner = _values(
        where, camera, "intrinsic", ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV"), divisor=_SUBPIXELS
    )
    (skew,) = _values(where, camera, "intrinsic", ("skew",), default=0.0)
    left, top = window[:2] if window is not None else (0.0, 0.0)
    K = [[inner[0], skew / _SUBPIXELS, inner[2] - left], [0, inner[1], inner[3] - top], [0, 0, 1]]
    distortion = _values(
        where,
        camera,
        "intrinsic",
        ("radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2", "radialDistortion3"),
        default=0.0,
    )
    lies = _values(where, camera, "transform", tuple(f"r{i}{j}" for i in "123" for j in "123")).reshape(3, 3)
    R = _TO_OPENCV @ lies
    place = _values(where, camera, "transform", ("x", "y", "z"))
    size = None if window is None else (window[2] - window[0] + 1, window[3] - window[1] + 1)
    keys = ("intrinsic", "transform", "transform")
    return Entry(name, where, counted_from_zero(where, "intrinsic", K), R, -R @ place, distortion, size, keys)


def _window(where: str, camera: ET.Element) -> np.ndarray | None:
    """First column, first row, last column and last row that were filmed; None if the file does not say. [4]"""
    if camera.find("fov_video") is None:
        return None
    window = _values(where, camera, "fov_video", ("left", "top", "right", "bottom"))
    return window if window[2] > window[0] and window[3] > window[1] else None  # all zeros in a camera for markers


def _values(
    where: str,
    camera: ET.Element,
    tag: str,
    keys: Sequence[str],
    default: float | None = None,
    divisor: float = 1.0,
) -> np.ndarray:
    """Attributes of one of a camera's elements. [len(keys)]"""
    element = camera.find(tag)
    if element is None:
        raise UserError(f"{where}: expected <{tag}>, found {shown(', '.join(part.tag for part in camera), 200)}")
    found = [element.get(key, default) for key in keys]
    if None in found:
        missing, there = keys[found.index(None)], shown(", ".join(element.keys()), 200)
        raise UserError(f"{where}: <{tag}>: attribute '{missing}' is missing; found {there or 'none'}")
    return numbers(where, tag, found, len(keys)) / divisor


FORMAT = CalibrationFormat(
    name="qualisys",
    summary="Qualisys Track Manager's .qca.txt",
    unit="mm",
    claims=claims,
    read=read,
)
