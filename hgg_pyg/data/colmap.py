"""COLMAP's cameras.txt and images.txt: https://colmap.github.io/format.html.

World to camera, OpenCV's axes, the corner of the first pixel is 0, as ours. Quaternions wxyz. The unit is whatever the
reconstruction came out in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import Entry, numbers
from hgg_pyg.io.limits import read_text
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_FILES = ("cameras", "images")
_Lens = Callable[..., tuple[list[float], list[float]]]
# The parameters of each model that is one of OpenCV's, as fx fy cx cy and k1 k2 p1 p2 k3 k4 k5 k6
_MODELS: dict[str, tuple[int, _Lens]] = {
    "SIMPLE_PINHOLE": (3, lambda f, cx, cy: ([f, f, cx, cy], [])),
    "PINHOLE": (4, lambda fx, fy, cx, cy: ([fx, fy, cx, cy], [])),
    "SIMPLE_RADIAL": (4, lambda f, cx, cy, k: ([f, f, cx, cy], [k, 0, 0, 0])),
    "RADIAL": (5, lambda f, cx, cy, k1, k2: ([f, f, cx, cy], [k1, k2, 0, 0])),
    "OPENCV": (8, lambda fx, fy, cx, cy, *bends: ([fx, fy, cx, cy], [*bends])),
    "FULL_OPENCV": (12, lambda fx, fy, cx, cy, *bends: ([fx, fy, cx, cy], [*bends])),
}


@dataclass(frozen=True)
class Lens:
    """A line of cameras.txt."""

    where: str  # file and line, for messages
    model: str
    values: Sequence[str]  # width, height and parameters


@dataclass(frozen=True)
class Shot:
    """The first of an image's two lines in images.txt."""

    where: str
    words: Sequence[str]  # IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME

    @property
    def name(self) -> str:
        """The image's, which may be a path."""
        return self.words[9].strip().replace("\\", "/")

    @property
    def lens(self) -> str:
        """The identifier of its camera."""
        return self.words[8]


def read_colmap(folder: Path) -> tuple[dict[str, Lens], list[Shot]]:
    """The cameras by their identifiers, and the images, of a folder with cameras.txt and images.txt.

    Raises:
        UserError: binary files, one of the two is missing, a line that is not COLMAP's, a model that is none of
            OpenCV's, no image.
    """
    texts = []
    for part in _FILES:
        path = folder / f"{part}.txt"
        if not path.is_file():
            binary = path.with_suffix(".bin").is_file()
            advice = "; colmap model_converter --output_type TXT writes it" if binary else ""
            raise UserError(f"{path}: expected COLMAP's text, found {path.stem + '.bin' if binary else 'none'}{advice}")
        texts.append(path)
    return _lenses(texts[0]), _shots(texts[1])


def _lenses(path: Path) -> dict[str, Lens]:
    found = {}
    for number, line in enumerate(read_text(path, "COLMAP's cameras").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}: line {number}"
        if len(words) < 5:
            raise UserError(f"{where}: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS, found {shown(line)!r}")
        if words[1] not in _MODELS:
            raise UserError(
                f"{where}: expected a lens of OpenCV's k1 k2 p1 p2 k3 ({', '.join(_MODELS)}), found "
                f"{shown(words[1])}: undistort first (colmap image_undistorter)"
            )
        found[words[0]] = Lens(where, words[1], words[2:])
    return found


def _shots(path: Path) -> list[Shot]:
    """The second line of an image, its points, may be empty."""
    lines = enumerate(read_text(path, "COLMAP's images").splitlines(), 1)
    found = []
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            expected = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of points"
            raise UserError(f"{path}: line {number}: expected {expected}; found {shown(line)!r}")
        found.append(Shot(f"{path}: line {number}", words))
        next(lines, None)
    if not found:
        raise UserError(f"{path}: expected an image, found none")
    return found


def entry_of(shot: Shot, name: str, lenses: Mapping[str, Lens]) -> Entry:
    """An image as a camera, in COLMAP's unit; `make_calibration` checks it.

    Raises:
        UserError: its camera is unknown, or has another number of parameters; a quaternion that is none.
    """
    if shot.lens not in lenses:
        raise UserError(
            f"{shot.where}: expected a camera of cameras.txt ({shown(', '.join(lenses))}), found {shot.lens}"
        )
    found = lenses[shot.lens]
    count, lens = _MODELS[found.model]
    width, height, *parameters = numbers(found.where, found.model, found.values, count + 2).tolist()
    (fx, fy, cx, cy), bends = lens(*parameters)
    quaternion = numbers(shot.where, "QW QX QY QZ", shot.words[1:5], 4)
    if not 0.9 < np.linalg.norm(quaternion) < 1.1:
        raise UserError(f"{shot.where}: expected QW QX QY QZ of length 1, found {quaternion.tolist()}")
    return Entry(
        name,
        f"{shot.where}: camera '{name}'",
        [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
        Rotation.from_quat(quaternion[[1, 2, 3, 0]]).as_matrix(),
        shot.words[5:8],
        bends,
        (width, height),
        ("PARAMS", "QW QX QY QZ", "TX TY TZ"),
    )
