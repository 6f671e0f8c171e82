"""COLMAP's cameras.txt and images.txt, of one image a camera; see `hgg_pyg.data.colmap`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from hgg_pyg.data.calibration import Entry
from hgg_pyg.data.colmap import entry_of, read_colmap
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat

_FILES = ("cameras", "images")


def claims(files: Sequence[Path]) -> list[Path]:
    """Files called cameras or images, .txt or .bin."""
    return [path for path in files if path.stem.lower() in _FILES and path.suffix.lower() in (".txt", ".bin")]


def read(files: Sequence[Path]) -> list[Entry]:
    """One camera an image, called by the image, or by its folder where each image has one of its own.

    Raises:
        UserError: binary files, one of the two is missing, a line that is not COLMAP's, a model that is none of
            OpenCV's, an image of an unknown camera.
    """
    lenses, shots = read_colmap(files[0].parent)
    names = _names([shot.name for shot in shots])
    return [entry_of(shot, name, lenses) for name, shot in zip(names, shots, strict=True)]


def _names(images: Sequence[str]) -> list[str]:
    paths = [PurePosixPath(name) for name in images]
    folders = [path.parent.name for path in paths]
    own = all(folders) and len(set(folders)) == len(folders)
    return folders if own else [path.stem for path in paths]


FORMAT = CalibrationFormat(
    name="colmap",
    summary="COLMAP's cameras.txt and images.txt, of one image a camera",
    unit=None,
    claims=claims,
    read=read,
)
