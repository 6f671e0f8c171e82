"""AMASS and its like: an .npz with a row of SMPL's, SMPL-H's or SMPL-X's parameters for each frame."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from hgg_pyg.avatar.motions.clip import USUAL_FPS, Clip, checked, checked_count, checked_fps
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.smpl import JOINTS_BY_WIDTH, smpl_clip
from hgg_pyg.io.npz import load_npz
from hgg_pyg.types import UserError

log = logging.getLogger(__name__)
_EXPECTED = "an .npz archive of SMPL's parameters"
_RATES = ("mocap_framerate", "mocap_frame_rate", "framerate", "frame_rate", "fps")
# The ways in which parts are named; each part: its keys, its width or widths, whether it must be there.
_WHOLE = (("poses", tuple(JOINTS_BY_WIDTH)),)
_AMASS = (("root_orient", (3,)), ("pose_body", (63, 69)))
_SMPLX = (("global_orient", (3,)), ("body_pose", (63, 69)))
_FACES = {
    "root_orient": (("pose_jaw", 3), ("pose_eye", 6)),
    "global_orient": (("jaw_pose", 3), ("leye_pose", 3), ("reye_pose", 3)),
}
_HANDS = {"root_orient": (("pose_hand", 90),), "global_orient": (("left_hand_pose", 45), ("right_hand_pose", 45))}
_PLACES = ("trans", "transl")
_KEYS = {
    *(key for part in (_WHOLE, _AMASS, _SMPLX) for key, _ in part),
    *(key for parts in (*_FACES.values(), *_HANDS.values()) for key, _ in parts),
    *_PLACES,
    *_RATES,
}


def read_smpl_npz(path: Path) -> Clip:
    """Read an .npz of T frames; radians and metres.

    It has poses (T, 66, 72, 156 or 165), or root_orient and pose_body as AMASS, or global_orient and body_pose as
    smplx; trans or transl (T, 3); and may have mocap_framerate or mocap_frame_rate, 30 if not, and SMPL-X's hands and
    face. Hands given as components of somebody's body are at rest. Shapes are not read: legs count as long as the
    default body's. The world's up is y or z, along which the person stands; z, as in AMASS, for one that lies across.

    Raises:
        UserError: no such file, damaged, a key is missing or of the wrong shape, or numbers are not finite.
    """
    arrays = load_npz(path, _KEYS, frozenset(), _EXPECTED)
    layout = next((part for part in (_WHOLE, _AMASS, _SMPLX) if all(key in arrays for key, _ in part)), None)
    place = next((key for key in _PLACES if key in arrays), None)
    if layout is None or place is None:
        wanted = "poses, or root_orient and pose_body, or global_orient and body_pose; and trans or transl"
        found = ", ".join(sorted(arrays)) or "none of them"
        raise UserError(f"{path}: expected the keys {wanted}; found {found}")
    where = str(path)
    parts = [checked(where, key, arrays[key], (None, None)) for key, _ in layout]
    frames = checked_count(where, len(parts[0]))
    for (key, widths), part in zip(layout, parts, strict=True):
        if len(part) != frames or part.shape[1] not in widths:
            expected = " or ".join(f"({frames}, {width})" for width in widths)
            raise UserError(f"{path}: key '{key}': expected shape {expected}, found {part.shape}")
    if layout is not _WHOLE:
        parts += _rest_of_smplx(path, arrays, layout[0][0], frames, parts[1].shape[1])
    poses = np.concatenate(parts, 1)
    transl = checked(where, place, arrays[place], (frames, 3))
    key = next((key for key in _RATES if key in arrays), None)
    if key is None:
        log.info("%s: no %s: %g frames per second are taken", path, _RATES[0], USUAL_FPS)
        fps = USUAL_FPS
    else:
        fps = checked_fps(where, f"key '{key}'", float(checked(where, key, np.reshape(arrays[key], -1)[:1], (1,))[0]))
    return smpl_clip(path.stem, fps, poses, transl, "z")


def _rest_of_smplx(path: Path, arrays: dict[str, np.ndarray], style: str, frames: int, width: int) -> list[np.ndarray]:
    """Face and hands after the root and 21 joints; those that are not there, or are components, at rest."""
    if width == 69:
        return []
    found = []
    for key, wide in (*_FACES[style], *_HANDS[style]):
        part = checked(str(path), key, arrays[key], (frames, None)) if key in arrays else np.zeros((frames, wide))
        if part.shape[1] != wide:
            log.info("%s: key '%s': %d components instead of joints: these hands are at rest", path, key, part.shape[1])
            part = np.zeros((frames, wide))
        found.append(part)
    return found


FORMAT = MotionFormat(
    "AMASS, SMPL, SMPL-X",
    "an .npz with poses and trans, or global_orient, body_pose and transl",
    lambda path: path.suffix.casefold() == ".npz",
    read_smpl_npz,
)
