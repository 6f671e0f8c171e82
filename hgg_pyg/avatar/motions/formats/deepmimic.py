"""DeepMimic's JSON: rows of a duration, the root's place, and rotations of its humanoid's joints."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions.clip import Clip, checked, checked_count, checked_fps
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.skeletons import SourceSkeleton, clip_of
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.limits import opened
from hgg_pyg.types import UserError

_EXPECTED = "DeepMimic's {Loop, Frames: [[duration, root, joints], ...]}"
# Its humanoid, x forward, y up, z to the right: parent and place in its frame, metres. A row has 4 numbers for a joint,
# a quaternion wxyz, 1 for knees and elbows, an angle about z, and none for wrists.
_JOINTS = {
    "root": (None, (0, 0, 0), 4),
    "chest": ("root", (0, 0.236151, 0), 4),
    "neck": ("chest", (0, 0.223894, 0), 4),
    "right_hip": ("root", (0, 0, 0.084887), 4),
    "right_knee": ("right_hip", (0, -0.421546, 0), 1),
    "right_ankle": ("right_knee", (0, -0.40987, 0), 4),
    "right_shoulder": ("chest", (-0.02405, 0.2435, 0.18311), 4),
    "right_elbow": ("right_shoulder", (0, -0.274788, 0), 1),
    "right_wrist": ("right_elbow", (0, -0.258947, 0), 0),
    "left_hip": ("root", (0, 0, -0.084887), 4),
    "left_knee": ("left_hip", (0, -0.421546, 0), 1),
    "left_ankle": ("left_knee", (0, -0.40987, 0), 4),
    "left_shoulder": ("chest", (-0.02405, 0.2435, -0.18311), 4),
    "left_elbow": ("left_shoulder", (0, -0.274788, 0), 1),
    "left_wrist": ("left_elbow", (0, -0.258947, 0), 0),
}
_WIDTH = 4 + sum(width for *_, width in _JOINTS.values())
_SKELETON = SourceSkeleton(
    tuple(_JOINTS),
    tuple(-1 if parent is None else list(_JOINTS).index(parent) for parent, *_ in _JOINTS.values()),
    np.array([place for _, place, _ in _JOINTS.values()], float),
)


def read_deepmimic(path: Path) -> Clip:
    """Read a motion of DeepMimic's humanoid: 44 numbers for a frame, of which all but the last take as long.

    Raises:
        UserError: no such file, another character's, frames of different durations, or quaternions of length zero.
    """
    content = read_json_object(path, _EXPECTED)
    if "Frames" not in content:
        raise UserError(f"{path}: key 'Frames' is missing; found {', '.join(list(content)[:12]) or 'no keys'}")
    rows = checked(str(path), "Frames", content["Frames"], (None, _WIDTH))
    checked_count(str(path), len(rows))
    durations = rows[:-1, 0] if len(rows) > 1 else rows[:, 0]  # the last frame's may be anything
    if not durations.min() > 0 or np.ptp(durations) > 0.01 * durations[0]:
        raise UserError(
            f"{path}: key 'Frames': expected durations of one length, more than 0 seconds, "
            f"found {durations.min():g} to {durations.max():g}"
        )
    fps = checked_fps(str(path), f"a duration of {durations[0]:g}", 1 / float(durations.mean()))
    local, column = [], 4
    for name, (_, _, width) in _JOINTS.items():
        values = rows[:, column : column + width]
        column += width
        if width == 4:
            if not np.linalg.norm(values, axis=1).min() > 1e-3:
                raise UserError(f"{path}: {name}: expected quaternions of length 1, found one of length 0")
            local.append(Rotation.from_quat(np.roll(values, -1, 1)))
        else:
            angles = values[:, 0] if width else np.zeros(len(rows))
            local.append(Rotation.from_rotvec(angles[:, None] * [0, 0, 1]))
    return clip_of(path.stem, str(path), fps, _SKELETON, local, {0: rows[:, 1:4]})


def _recognises(path: Path) -> bool:
    if path.suffix.casefold() not in (".json", ".txt"):
        return False
    with suppress(UserError, OSError), opened(path, _EXPECTED) as file:
        return b'"Frames"' in file.read(1 << 16)
    return False


FORMAT = MotionFormat("DeepMimic", "a .json or .txt file with Frames of its humanoid", _recognises, read_deepmimic)
