"""What a format of motion files is: a file of `formats/` that defines a `FORMAT`, or yours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hgg_pyg.avatar.motions.clip import Clip


@dataclass(frozen=True)
class MotionFormat:
    """One way in which motions are stored."""

    name: str
    summary: str
    """what its files are, in a line"""
    recognises: Callable[[Path], bool]
    """whether a file or folder is one of them, by its name or a look at its beginning; it never fails"""
    read: Callable[[Path], Clip]
    """the motion in it; raises `UserError` in one line that names the file"""
