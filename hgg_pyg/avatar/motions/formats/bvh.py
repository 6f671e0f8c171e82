"""BVH: a skeleton with its rest offsets, then rows of Euler angles; of CMU, Mixamo, Bandai Namco and their like."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions.clip import MOST, Clip, checked_count, checked_fps
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.skeletons import SourceSkeleton, clip_of
from hgg_pyg.io.limits import read_text
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

log = logging.getLogger(__name__)
_EXPECTED = "a BVH file"
_MOST_JOINTS = 1000
_LONGEST_HIERARCHY = 2**20  # characters: five times what 1000 joints with their braces take
_MOST_ROTATIONS = 10_000_000  # of joints in all frames: three times what 64 MiB of usual numbers hold
_CHANNELS = re.compile("([xyz])(position|rotation)")
_JUMP = 10.0  # degrees that a first frame must be from the second, and four times its further steps, to be a T-pose


@dataclass
class _Hierarchy:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)  # of each joint, in the order of a row: xposition, ...


def read_bvh(path: Path) -> Clip:
    """Read a BVH file of any unit; the axis along which its rest pose stands is up.

    Rest poses may be T-poses or others that stand, or Bandai Namco's, which is none of a person. From the root to the
    pelvis, places in a row take the place of offsets; below it bones keep their length. A first frame that is far from
    the next ones, as the T-pose that the CMU recordings were given, is left out.

    Raises:
        UserError: no such file, not BVH, cut off, numbers missing or wrong, joints of no family that is known, or a
            rest pose that does not stand.
    """
    text = read_text(path, _EXPECTED)
    head, mark, body = (*re.split(r"(?im)^[ \t]*(MOTION)[ \t\r]*$", text, maxsplit=1), "", "")[:3]
    if not mark:
        raise UserError(f"{path}: expected {_EXPECTED} with HIERARCHY and MOTION, found no line MOTION: it is cut off")
    if len(head) > _LONGEST_HIERARCHY:
        raise UserError(
            f"{path}: expected at most {_LONGEST_HIERARCHY:,} characters before the line MOTION, found {len(head):,}"
        )
    hierarchy = _read_hierarchy(path, head)
    fps, rows = _read_rows(path, body, len(hierarchy.names), sum(map(len, hierarchy.channels)))
    local, shifts, column = [], {}, 0
    source = SourceSkeleton(tuple(hierarchy.names), tuple(hierarchy.parents), np.array(hierarchy.offsets))
    for joint, channels in enumerate(hierarchy.channels):
        values = dict(zip(channels, rows[:, column : column + len(channels)].T, strict=True))
        column += len(channels)
        turned = [name for name in channels if name.endswith("rotation")]
        if turned:
            order = "".join(name[0].upper() for name in turned)
            angles = np.stack([values[name] for name in turned], 1)
            local.append(Rotation.from_euler(order, angles if len(turned) > 1 else angles[:, 0], degrees=True))
        else:
            local.append(Rotation.from_quat(np.tile([0.0, 0, 0, 1], (len(rows), 1))))
        if any(name.endswith("position") for name in channels):
            still = source.offsets[joint]
            places = [values.get(f"{axis}position", np.full(len(rows), still[k])) for k, axis in enumerate("xyz")]
            shifts[joint] = np.stack(places, 1)
    start = _first_frame(path, local)
    local = [rotation[start:] for rotation in local]
    return clip_of(path.stem, str(path), fps, source, local, {j: shift[start:] for j, shift in shifts.items()})


def _read_hierarchy(path: Path, text: str) -> _Hierarchy:
    found, open_joints, inside = _Hierarchy(), [], False  # None among open joints: the end of a limb
    lines = [line.strip() for line in re.sub(r"[{}]", r"\n\g<0>\n", text).splitlines() if line.strip()]
    if not lines or lines[0].upper() != "HIERARCHY":
        raise UserError(
            f"{path}: expected HIERARCHY in the first line, found {shown(lines[0] if lines else 'nothing')}"
        )
    waiting: int | None = None
    for line in lines[1:]:
        word, rest = [*line.split(None, 1), ""][:2]
        word = word.upper()
        joint = open_joints[-1] if open_joints else None
        if word in ("ROOT", "JOINT"):
            if (word == "ROOT") != (not found.names) or (word == "JOINT" and joint is None):
                raise UserError(f"{path}: expected one ROOT and the JOINTs inside it, found {shown(line)} elsewhere")
            if len(found.names) == _MOST_JOINTS:
                raise UserError(f"{path}: expected at most {_MOST_JOINTS} joints, found more")
            waiting, inside = len(found.names), True
            found.names.append(rest)
            found.parents.append(-1 if joint is None else joint)
            found.offsets.append([0.0] * 3)
            found.channels.append([])
        elif word == "END":
            waiting = None
        elif word == "{":
            open_joints.append(waiting)
            waiting = None
        elif word == "}":
            if not open_joints:
                raise UserError(f"{path}: expected a {{ for every }}, found one }} more")
            open_joints.pop()
        elif word in ("OFFSET", "CHANNELS"):
            if joint is not None:
                values = _offset(path, rest) if word == "OFFSET" else _channels(path, rest)
                (found.offsets if word == "OFFSET" else found.channels)[joint] = values  # pyright: ignore
        else:
            raise UserError(f"{path}: expected ROOT, JOINT, End Site, OFFSET or CHANNELS, found {shown(line)}")
    if open_joints or not inside:
        raise UserError(
            f"{path}: expected a ROOT and a }} for every {{, found {len(open_joints)} still open: it is cut off"
        )
    return found


def _offset(path: Path, text: str) -> list[float]:
    values = _numbers(text.split())
    if values is None or len(values) != 3:
        raise UserError(f"{path}: expected OFFSET with three finite numbers within {MOST:,.0f}, found {shown(text)}")
    return values.tolist()


def _channels(path: Path, text: str) -> list[str]:
    count, *names = text.split() or [""]
    names = [name.casefold() for name in names]
    if count != str(len(names)) or len(set(names)) < len(names) or not all(map(_CHANNELS.fullmatch, names)):
        raise UserError(
            f"{path}: expected CHANNELS with their number and as many different names such as Xposition and Zrotation, "
            f"found {shown(text)}"
        )
    return names


def _read_rows(path: Path, text: str, joints: int, width: int) -> tuple[float, np.ndarray]:
    """Frames per second, and a row of numbers for each frame. [T, width]"""
    lines = [line for line in text.splitlines() if line.strip()]
    said = {}
    for line in lines[:2]:
        key, _, value = line.partition(":")
        said[" ".join(key.split()).casefold()] = value.strip()
    frames, times = said.get("frames"), _numbers([said.get("frame time", "")])
    if frames is None or not re.fullmatch(r"\d{1,9}", frames) or times is None:
        raise UserError(f"{path}: expected 'Frames: N' and 'Frame Time: seconds' after MOTION, found {shown(said)}")
    time = float(times[0])
    fps = checked_fps(str(path), f"Frame Time {time:g}", 1 / time if time > 0 else float("inf"))
    count, rows = checked_count(str(path), int(frames)), lines[2:]
    if count != len(rows):
        raise UserError(f"{path}: expected {count} rows as Frames says, found {len(rows)}: it is cut off or damaged")
    if count * joints > _MOST_ROTATIONS:
        raise UserError(
            f"{path}: expected at most {_MOST_ROTATIONS:,} joints in all frames together, found {joints:,} in {count:,}"
        )
    values: list[np.ndarray] = []  # not yet a table: what Frames and CHANNELS promise may not be there
    for frame, line in enumerate(rows):
        row = _numbers(line.split())
        if row is None or len(row) != width:
            raise UserError(
                f"{path}: frame {frame}: expected {width} finite numbers within {MOST:,.0f}, found {len(line.split())} "
                f"words: {shown(line, 40)}"
            )
        values.append(row)
    return fps, np.stack(values)


def _numbers(words: list[str]) -> np.ndarray | None:
    """Words as numbers, None if one is none, not finite or too large."""
    try:
        values = np.array(words, dtype=np.float64)
    except (ValueError, OverflowError):
        return None
    return values if np.isfinite(values).all() and abs(values).max(initial=0) <= MOST else None


def _first_frame(path: Path, local: list[Rotation]) -> int:
    """1 where the first frame is a pose of its own, else 0."""
    if len(local[0]) < 4:
        return 0
    steps = np.max([(joint[:3].inv() * joint[1:4]).magnitude() for joint in local], 0)
    if np.degrees(steps[0]) < _JUMP or steps[0] < 4 * steps[1:].max():
        return 0
    log.info("%s: 1 frame left out: the first is %.0f degrees from the second", path, np.degrees(steps[0]))
    return 1


FORMAT = MotionFormat(
    "BVH",
    "a .bvh file with joints named as CMU's, Mixamo's or Bandai Namco's",
    lambda path: path.suffix.casefold() == ".bvh",
    read_bvh,
)
