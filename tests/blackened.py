"""Captures with frames in which nobody is seen."""

import shutil
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from hgg_pyg.data.images import header_size


def blacken(subject: Path, frames: Collection[int], cameras: str = "*") -> Path:
    """Make masks of a subject black in some frames, by number, in the cameras that a pattern names."""
    for path in subject.glob(f"{cameras}/mask/pha/*"):
        if int(path.stem) in frames:
            Image.new("L", header_size(path)).save(path)
    return subject


def blackened(captures: Path, folder: Path, frames: Collection[int]) -> Path:
    """A copy of captures without a person in some frames of each subject."""
    shutil.copytree(captures, folder)
    for subject in folder.iterdir():
        blacken(subject, frames)
    return folder
