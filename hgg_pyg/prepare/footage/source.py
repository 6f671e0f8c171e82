"""What one camera filmed, a video or a folder of images; finding them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hgg_pyg.data.layouts.base import list_folders, scan
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.footage.clock import Timeline
from hgg_pyg.types import UserError

VIDEO_SUFFIXES = (
    "mp4", "mov", "m4v", "mkv", "webm", "avi", "mts", "m2ts", "ts", "mpg", "mpeg", "3gp", "wmv", "ogv"
)  # fmt: skip

log = logging.getLogger("hgg_pyg")


class Source(Protocol):
    """What one camera filmed."""

    @property
    def camera(self) -> str:
        """The camera's name."""
        ...

    @property
    def path(self) -> Path:
        """The video, or the folder."""
        ...

    def timeline(self) -> Timeline:
        """When its frames were taken.

        Raises:
            UserError: there is nothing that can be decoded.
        """
        ...

    def images(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Decode some of the frames, in their order; those that are broken do not come.

        Args:
            wanted: numbers of frames of the timeline, increasing.

        Yields:
            A frame's number and its upright image [H, W, 3] uint8.
        """
        ...

    def stamp(self) -> str:
        """What tells whether its files are still the same: their sizes and times of change."""
        ...


def find_videos(paths: Sequence[Path]) -> dict[str, Path]:
    """Video files by camera, whose name is the file's without its ending.

    Args:
        paths: files, or one folder of them.

    Raises:
        UserError: a path is not there, a folder has no video in it, or two videos have one camera's name.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.is_file():
                raise UserError(f"--videos {path}: expected a video or a folder of videos, found nothing there")
            files.append(path)
            continue
        found = sorted(
            path / name
            for name in scan(path)
            if not name.startswith(".") and name.rpartition(".")[2].lower() in VIDEO_SUFFIXES
        )
        if not found:
            said = ", ".join(map(shown, sorted(scan(path))[:3])) or "no files"
            raise UserError(f"--videos {path}: expected videos (.{', .'.join(VIDEO_SUFFIXES[:4])}, ...), found {said}")
        files += found
    cameras: dict[str, Path] = {}
    for file in files:
        if file.stem in cameras:
            raise UserError(f"--videos: expected one video for each camera, found {cameras[file.stem]} and {file}")
        cameras[file.stem] = file
    return dict(sorted(cameras.items()))


def find_image_folders(folder: Path) -> dict[str, Path]:
    """Folders of images by camera, whose name is the folder's.

    Raises:
        UserError: the folder is not there, or no folder in it holds files.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder}: expected a folder with a folder of images for each camera, found none")
    cameras = {name: folder / name for name in list_folders(folder) if scan(folder / name)}
    if not cameras:
        found = ", ".join(map(shown, sorted(scan(folder))[:3])) or "nothing"
        raise UserError(f"--images {folder}: expected a folder of images for each camera, cam01/000.jpg; found {found}")
    return cameras
