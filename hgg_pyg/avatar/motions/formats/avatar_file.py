"""Our own .avatar files: the first of the motions that come with somebody, such as what they did when filmed."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.avatar.file import SUFFIX, read_avatar
from hgg_pyg.avatar.motions.clip import Clip, checked_count, checked_fps, stack_rotations, world_rotations
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.body import JOINTS, SMPLX_JOINTS
from hgg_pyg.types import UserError

log = logging.getLogger(__name__)


def read_avatar_motion(path: Path) -> Clip:
    """Read the first motion in a file of ours; its legs are as long as that avatar's.

    Raises:
        UserError: no such file, no avatar, one without motions, or its skeleton is not SMPL's.
    """
    avatar = read_avatar(path)
    if not avatar.motions:
        raise UserError(f"{path}: expected an avatar with a motion, found one without: name a motion of ours instead")
    motion, names = avatar.motions[0], avatar.skeleton.names
    if len(avatar.motions) > 1:
        log.info("%s: %s of its %d motions is taken, the first", path, motion.name, len(avatar.motions))
    places = avatar.skeleton.joints.double().numpy()
    known = [joint for joint, name in enumerate(names) if name in SMPLX_JOINTS or name in JOINTS]
    left = [names.index(f"left_{joint}") for joint in ("hip", "knee", "ankle") if f"left_{joint}" in names]
    if names[0] != "pelvis" or len(left) < 3:
        raise UserError(f"{path}: expected a skeleton of SMPL's joints, found {', '.join(names[:6])}")
    leg = sum(float(np.linalg.norm(places[a] - places[b])) for a, b in pairwise(left))
    if not 0 < leg < np.inf:
        raise UserError(f"{path}: expected a left hip, knee and ankle in three places, found them in one")
    frames = checked_count(str(path), len(motion))
    angles = torch.cat([motion.global_orient, motion.body_pose], 1).double().numpy().reshape(frames, -1, 3)
    if not np.isfinite(angles).all() or not motion.transl.isfinite().all():
        raise UserError(f"{path}: motion {motion.name}: expected finite numbers, found NaN or infinity")
    world = world_rotations(angles, list(avatar.skeleton.parents))
    return Clip(
        motion.name,
        checked_fps(str(path), "fps", motion.fps),
        tuple(names[joint] for joint in known),
        stack_rotations([world[joint] for joint in known]),
        places[0] + motion.transl.double().numpy(),
        leg,
    )


FORMAT = MotionFormat(
    "avatar",
    f"a {SUFFIX} file, of which the first motion is taken",
    lambda path: path.suffix.casefold() == SUFFIX,
    read_avatar_motion,
)
