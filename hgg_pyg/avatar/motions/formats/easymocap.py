"""EasyMocap's JSON: a file with several frames, or a folder with a file for each."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions.clip import USUAL_FPS, Clip, checked, checked_count
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.smpl import JOINTS_BY_WIDTH, smpl_clip, usual_pelvis
from hgg_pyg.io.json_files import read_json
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

log = logging.getLogger(__name__)
_EXPECTED = "EasyMocap's [{id, Rh, Th, poses}], a person each"
_WITHOUT_ROOT = (63, 69)  # numbers of SMPL-X's and SMPL's joints but the root
# Of SMPL-H and SMPL-X with components for their hands: how many of the numbers are the body's.
_WITH_COMPONENTS = {75: 63, 78: 66, 84: 63, 87: 66}


def read_easymocap(path: Path) -> Clip:
    """Read one person, the first of the first frame with anybody, in all frames that have them; radians and metres.

    A frame is [{id, Rh (1, 3), Th (1, 3), poses (1, N)}], or {annots: that}, and [] where nobody was seen. N is 72 for
    SMPL, 78 for SMPL-H, 87 for SMPL-X, and three less where the root's zeros are left out. A single file may have
    several rows, or an entry for each frame. V = R(Rh) LBS(poses) + Th turns a person about the origin; the pelvis is
    taken to be where the default body has it. Hands, stored as components, and faces are at rest. 30 frames per second
    are taken. The world's up is y or z, along which the person stands; z for one that lies across.

    Raises:
        UserError: nothing to read, a key is missing or of the wrong shape, or numbers are not finite.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.casefold() == ".json")
        if not files:
            raise UserError(f"{path}: expected a .json file for each frame, found none")
        checked_count(str(path), len(files))
        frames = [(file, _people(file, nobody=True)) for file in files]
        first = next((people[0] for _, people in frames if people), None)
        if first is None:
            raise UserError(f"{path}: expected {_EXPECTED}, found nobody in any of {len(files)} files")
        who = first.get("id")
        rows = [(file, person) for file, people in frames for person in people if person.get("id") == who]
        if len(rows) < len(files):
            log.warning(
                "%s: %d of %d frames left out: they have no person %s",
                path,
                len(files) - len(rows),
                len(files),
                shown(who),
            )
    else:
        people = _people(path)
        who, frames = people[0].get("id"), [(path, people)]
        rows = [(path, person) for person in people if person.get("id") == who]
    if others := {str(person.get("id")) for _, people in frames for person in people if person.get("id") != who}:
        log.info("%s: person %s is taken, the first; %d more are in it", path, shown(who), len(others))
    values = [_rows(file, person) for file, person in rows]
    widths = {poses.shape[1] for _, _, poses in values}
    if len(widths) > 1:
        raise UserError(f"{path}: key 'poses': expected as many numbers in every frame, found {sorted(widths)}")
    turns, shifts, poses = (np.concatenate(column) for column in zip(*values, strict=True))
    checked_count(str(path), len(turns))
    turn = Rotation.from_rotvec(turns)
    poses[:, :3] = (turn * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
    log.info("%s: no frames per second in EasyMocap's files: %g are taken", path, USUAL_FPS)
    return smpl_clip(path.stem, USUAL_FPS, poses, shifts + turn.apply(usual_pelvis()), "z")


def _people(path: Path, nobody: bool = False) -> list[dict[str, Any]]:
    content = read_json(path, _EXPECTED)
    if isinstance(content, dict):
        content = content.get("annots", [content])
    if (
        not isinstance(content, list)
        or not (content or nobody)
        or not all(isinstance(person, dict) for person in content)
    ):
        raise UserError(f"{path}: expected {_EXPECTED}, found {shown(content)}")
    for person in content:
        if not isinstance(person.get("id"), int | str | None):  # NaN is nobody, not even themselves
            raise UserError(f"{path}: key 'id': expected a whole number or a name, found {shown(person['id'])}")
    return content


def _rows(path: Path, person: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rh [T, 3], Th [T, 3], and poses with the root's [T, 66] or wider."""
    for key in ("Rh", "Th", "poses"):
        if key not in person:
            found = ", ".join(shown(key, 20) for key in list(person)[:12]) or "no keys"
            raise UserError(f"{path}: key '{key}' is missing; found {found}")
    where = str(path)
    Rh, Th, poses = (_table(person[key]) for key in ("Rh", "Th", "poses"))
    turns = checked(where, "Rh", Rh, (None, 3))
    shifts, poses = checked(where, "Th", Th, (len(turns), 3)), checked(where, "poses", poses, (len(turns), None))
    poses = poses[:, : _WITH_COMPONENTS.get(poses.shape[1], poses.shape[1])]
    if poses.shape[1] in _WITHOUT_ROOT:
        poses = np.concatenate([np.zeros((len(poses), 3)), poses], 1)
    if poses.shape[1] not in JOINTS_BY_WIDTH:
        raise UserError(f"{path}: key 'poses': expected 72, 78 or 87 numbers for a frame, found {poses.shape[1]}")
    return turns, shifts, poses


def _table(value: Any) -> Any:
    """A row of numbers as a table of one row."""
    return [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value


def _recognises(path: Path) -> bool:
    if path.is_dir():
        with suppress(OSError):  # a folder that cannot be looked into
            return any(file.suffix.casefold() == ".json" for file in path.iterdir())
        return False
    return path.suffix.casefold() == ".json"


FORMAT = MotionFormat(
    "EasyMocap",
    "a .json file, or a folder of them, one for each frame, with Rh, Th and poses",
    _recognises,
    read_easymocap,
)
