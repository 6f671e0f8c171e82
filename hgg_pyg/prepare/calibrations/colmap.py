"""COLMAP's cameras.txt and images.txt, of one image a camera.

World to camera, OpenCV's axes, the corner of the first pixel is 0, as ours. Quaternions wxyz. The unit is whatever the
reconstruction came out in. https://colmap.github.io/format.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import Entry, numbers
from hgg_pyg.io.limits import read_text
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat
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


def claims(files: Sequence[Path]) -> list[Path]:
    """Files called cameras or images, .txt or .bin."""
    return [path for path in files if path.stem.lower() in _FILES and path.suffix.lower() in (".txt", ".bin")]


def read(files: Sequence[Path]) -> list[Entry]:
    """One camera an image, called by the image, or by its folder where each image has one of its own.

    Raises:
        UserError: binary files, one of the two is missing, a line that is not COLMAP's, a model that is none of
            OpenCV's, an image of an unknown camera.
    """
    folder = files[0].parent
    texts = []
    for part in _FILES:
        path = folder / f"{part}.txt"
        if not path.is_file():
            binary = path.with_suffix(".bin").is_file()
            advice = "; colmap model_converter --output_type TXT writes it" if binary else ""
            raise UserError(f"{path}: expected COLMAP's text, found {path.stem + '.bin' if binary else 'none'}{advice}")
        texts.append(path)
    lenses = _lenses(texts[0])
    images = _images(texts[1])
    names = _names([words[9] for _, words in images])
    return [
        _entry(f"{texts[1]}: line {line}", name, words, lenses)
        for name, (line, words) in zip(names, images, strict=True)
    ]


def _lenses(path: Path) -> dict[str, tuple[str, list[str]]]:
    """By identifier, the place in the file, and model, width, height and parameters."""
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
        found[words[0]] = where, words[1:]
    return found


def _images(path: Path) -> list[tuple[int, list[str]]]:
    """Number and words of the first of each image's two lines; the second, its points, may be empty."""
    lines = enumerate(read_text(path, "COLMAP's images").splitlines(), 1)
    found = []
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            expected = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of points"
            raise UserError(f"{path}: line {number}: expected {expected}; found {shown(line)!r}")
        found.append((number, words))
        next(lines, None)
    if not found:
        raise UserError(f"{path}: expected one image of each camera, found none")
    return found


def _names(images: Sequence[str]) -> list[str]:
    paths = [PurePosixPath(name.strip().replace("\\", "/")) for name in images]
    folders = [path.parent.name for path in paths]
    own = all(folders) and len(set(folders)) == len(folders)
    return folders if own else [path.stem for path in paths]


def _entry(where: str, name: str, words: Sequence[str], lenses: dict[str, tuple[str, list[str]]]) -> Entry:
    if words[8] not in lenses:
        raise UserError(f"{where}: expected a camera of cameras.txt ({shown(', '.join(lenses))}), found {words[8]}")
    at, (model, *values) = lenses[words[8]]
    count, lens = _MODELS[model]
    width, height, *parameters = numbers(at, model, values, count + 2).tolist()
    (fx, fy, cx, cy), bends = lens(*parameters)
    quaternion = numbers(where, "QW QX QY QZ", words[1:5], 4)
    if not 0.9 < np.linalg.norm(quaternion) < 1.1:
        raise UserError(f"{where}: expected QW QX QY QZ of length 1, found {quaternion.tolist()}")
    return Entry(
        name,
        f"{where}: camera '{name}'",
        [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
        Rotation.from_quat(quaternion[[1, 2, 3, 0]]).as_matrix(),
        words[5:8],
        bends,
        (width, height),
        ("PARAMS", "QW QX QY QZ", "TX TY TZ"),
    )


FORMAT = CalibrationFormat(
    name="colmap",
    summary="COLMAP's cameras.txt and images.txt, of one image a camera",
    unit=None,
    claims=claims,
    read=read,
)
