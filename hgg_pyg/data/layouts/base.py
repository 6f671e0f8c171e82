"""What a layout is, and what its reader finds in a subject's folder."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.io.limits import read_text
from hgg_pyg.types import BodyPose, UserError

STATED_BODY = "body.txt"
_SAME_SHAPE = 0.1  # betas that differ by more between frames are not one body's
_LARGEST_BETA = 100  # standard deviations; the tallest and the widest people have less than 10
_KINDS = ("smpl", "smplx", "open", "open-smplx")

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk. A new one is a file with one of these, and its name in `layouts/__init__.py`."""

    name: str
    sign: str  # what a subject's folder is known by, for messages
    recognises: Callable[[Path], bool]  # whether a folder is a subject's
    kinds: Callable[[Path], tuple[str, ...]]  # the bodies its poses are for, the one to be preferred first
    read: Callable[[Path, BodyModel], Recording]  # raises UserError
    # A folder's files with other poses of the frames that `read` found, by their path in it; raises UserError
    rewrite: Callable[[Path, BodyModel, PoseTable], dict[str, bytes]]
    # The same with the places and directions of a calibration of the cameras that `read` found; none: they stay
    rewrite_cameras: Callable[[Path, Calibration], dict[str, bytes]] | None = None


@dataclass(frozen=True)
class Listing:
    """The files of one camera, by frame number."""

    folder: Path
    names: Mapping[int, str]
    stamps: Mapping[int, tuple[int, int]]  # size in bytes, time of change in nanoseconds
    unlike: str = ""  # where no file is a frame's: what was expected, and the first name that is there; "" for none

    def without(self, numbers: Collection[int]) -> Listing:
        """The files of all other frames."""
        kept = [number for number in self.names if number not in numbers]
        return replace(self, names={n: self.names[n] for n in kept}, stamps={n: self.stamps[n] for n in kept})


@dataclass(frozen=True)
class FrameNames:
    """How the files of frames are called: a number, what stands behind it, and the kind of file.

    The number may have any number of digits, a word may stand before it, and capitals are as good as small letters.
    """

    example: str  # for messages
    tail: str = ""  # behind the number
    suffixes: tuple[str, ...] = ("jpg", "jpeg", "png")

    def parse(self, name: str) -> tuple[str, int] | None:
        """The word before the number, and the number; None for another name."""
        match = self._pattern.fullmatch(name)
        return (match[1], int(match[2])) if match else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        ends = "|".join(map(re.escape, self.suffixes))
        number = rf"(?!\.)((?:.*[^0-9])?)([0-9]{{1,255}}){re.escape(self.tail)}\.(?:{ends})"
        return re.compile(number, re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class PoseTable:
    """Body poses in the convention of the smplx package, and the frames they belong to."""

    kind: str  # the body they are for: "smpl" or "smplx"
    numbers: tuple[int, ...]
    poses: BodyPose  # a row for each number; a row that is not finite is as good as missing


def changed_rows(before: PoseTable, after: PoseTable) -> list[int]:
    """The rows of a table that are others than in the table before: all of them, where the shape is.

    Raises:
        ValueError: the tables are of different frames.
    """
    if before.numbers != after.numbers:
        raise ValueError(f"poses: expected those of the {len(before.numbers)} frames that were read, found others")
    old, new = before.poses, after.poses
    if not torch.equal(old.betas, new.betas):
        return list(range(len(before.numbers)))
    rows = [
        torch.cat([pose.global_orient, pose.body_pose, pose.transl], 1).nan_to_num(torch.inf) for pose in (old, new)
    ]
    return (rows[0] != rows[1]).any(1).nonzero()[:, 0].tolist()


def shaped_like(values: np.ndarray, old: Any) -> np.ndarray:
    """Numbers in the shape of those that they take the place of, and in their type if it loses nothing of float32."""
    there = np.asarray(old)
    return values.reshape(there.shape).astype(np.result_type(there, np.float32))


@dataclass(frozen=True)
class Recording:
    """A subject as its layout has it; only cameras and poses are already in our conventions."""

    calibration: Calibration  # V
    images: tuple[Listing, ...]  # V
    masks: tuple[Listing, ...]  # V
    poses: PoseTable
    labels: bool = False  # masks of body parts: every value but 0 is the person
    inverted: bool = False  # black is the person in masks, white the rest
    left_out: tuple[LeftOut, ...] = ()


def list_files(folder: Path, names: FrameNames) -> Listing:
    """The files of frames in a folder: those that are called by a number alone, else those with one word before it.

    Where files have different words before their numbers nobody can tell which are meant, and none is taken.

    Raises:
        UserError: the folder cannot be read, or has two files of one frame: which of them is meant nobody can tell.
    """
    stamps = scan(folder)
    parsed = {name: parts for name in sorted(stamps) if (parts := names.parse(name))}
    words = {word for word, _ in parsed.values()}
    word = "" if "" in words or len(words) != 1 else words.pop()
    found: dict[int, str] = {}
    for name, (before, number) in parsed.items():
        if before != word:
            continue
        if (other := found.setdefault(number, name)) != name:
            raise UserError(
                f"{folder}: expected one file for each frame, found {other} and {name}; move one of them, and its "
                "like of other frames, out of the folder"
            )
    unlike = "" if found or not stamps else f"expected names like {names.example}, found {min(stamps)}"
    return Listing(folder, found, {number: stamps[name] for number, name in found.items()}, unlike)


def no_images(where: str, example: str, listings: Sequence[Listing]) -> UserError:
    """What to say where no camera has an image: what was expected, and what the first folder with files has."""
    there = next((f"; {listing.folder}: {listing.unlike}" for listing in listings if listing.unlike), "")
    return UserError(f"{where}: expected images such as {example}, found none of them{there}")


def scan(folder: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of change in nanoseconds of every file in a folder, by name; none if it is not there.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise unreadable(folder, error) from None
    return {entry.name: stamp for entry in names if (stamp := _stamp(entry)) is not None}


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    """Size and time of change of a file; None for what is none: a folder, a link to nowhere or to itself."""
    try:
        status = entry.stat() if entry.is_file() else None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        expected = "expected a file that can be read, found that it cannot"
        raise UserError(f"{entry.path}: {expected} ({error.strerror})") from None
    return None if status is None else (status.st_size, status.st_mtime_ns)


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, such as those of cameras; none if it is not there.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def subject_name(folder: Path) -> str:
    """What a subject is called: the name of its folder, or of the link to it that was given."""
    return Path(os.path.abspath(folder)).name


def unreadable(folder: Path, error: OSError) -> UserError:
    """What to say of a folder that cannot be listed."""
    return UserError(f"{folder}: expected a folder that can be read, found that it cannot ({error.strerror})")


def one_shape(betas: Tensor, where: Path, folder: Path, body: BodyModel) -> Tensor:
    """The one shape of a person whose files may have a shape a frame, with as many values as the body has directions.

    Shapes that differ give their median, with a warning. Values beyond the body's directions are dropped where that is
    exact: all of them are zero, and the poses were not made with our open body, which never had that many.

    Args:
        betas: [F, B], or [1, B]; rows that are not finite do not count.
        where: the file or folder they are from, for messages.
        folder: the subject's.
        body: that is to take the shape.

    Returns:
        [B'], B' at most B.

    Raises:
        UserError: no value, no finite row, a value that no body has, or more values than the body has directions.
    """
    if not betas.shape[1]:
        raise UserError(f"{where}: key 'betas': expected a value for each shape direction of the body, found none")
    betas = betas[betas.isfinite().all(1)]
    if not len(betas):
        raise UserError(f"{where}: key 'betas': expected finite numbers, found NaN or Inf")
    if (largest := float(betas.abs().max())) > _LARGEST_BETA:
        raise UserError(f"{where}: key 'betas': expected at most {_LARGEST_BETA}, as of a person, found {largest:.3g}")
    directions, values = body.shapedirs.shape[-1], betas.shape[1]
    if values > directions:
        ours = stated_kinds(folder, ("smpl", "smplx"))[0].startswith("open")
        if ours or betas[:, directions:].any():
            advice = f"give a body with {values} with --body, or fit the shape with {directions}"
            if ours:
                advice = f"{folder / STATED_BODY} says that they are of our open body: correct it, or keep {directions}"
            raise UserError(
                f"{where}: key 'betas': expected at most {directions} values, one for each shape direction of the body "
                f"{body.name}, found {values}; {advice}"
            )
        log.info("%s: of %d betas the first %d are used, the others are zero", where, values, directions)
        betas = betas[:, :directions]
    shape = betas.quantile(0.5, dim=0)
    if (difference := float((betas - shape).abs().max())) > _SAME_SHAPE:
        log.warning(
            "%s: betas differ between frames, by up to %.2g from their median, which is used", where, difference
        )
    return shape


def with_root(where: str, poses: np.ndarray, others: int) -> np.ndarray:
    """EasyMocap's poses with the root's three numbers, which some of its files leave away: they are zero beside Rh.

    Args:
        where: the file, for messages.
        poses: [3 + others] or [others]
        others: numbers of all joints but the root.

    Returns:
        [3 + others]

    Raises:
        UserError: another number of them.
    """
    if len(poses) not in (others, 3 + others):
        raise UserError(
            f"{where}: key 'poses': expected {3 + others} numbers, or {others} without the root's, found {len(poses)}"
        )
    return np.pad(poses, (3 + others - len(poses), 0))


def stated_kinds(folder: Path, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The bodies that a subject's poses are for: what `body.txt` in its folder says, else what its layout is known for.

    `open` says that they were made with our open bodies, which fit no licensed one; the others name one kind.

    Args:
        folder: the subject's.
        kinds: that the layout is known for, of "smpl" and "smplx".

    Raises:
        UserError: another word is in it, or a kind that the layout's files are not.
    """
    path = folder / STATED_BODY
    if not os.path.lexists(path):
        return kinds
    word = read_text(path, f"one of {', '.join(_KINDS)}").strip()
    if word not in _KINDS:
        raise UserError(f"{path}: expected one of {', '.join(_KINDS)}, found {word[:40]!r}")
    ours = tuple({"smpl": "open", "smplx": "open-smplx"}[kind] for kind in kinds)
    if word == "open":
        return ours
    if word not in (*kinds, *ours):
        raise UserError(f"{path}: says {word}, expected what the poses are for: {' or '.join((*ours, *kinds))}")
    return (word,)
