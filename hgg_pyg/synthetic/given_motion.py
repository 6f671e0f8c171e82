"""What a synthetic person performs when motions are given: a few seconds of one of them, on the spot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions import Clip, retarget
from hgg_pyg.avatar.skeleton import Skeleton as AvatarSkeleton
from hgg_pyg.synthetic.motion import Performance
from hgg_pyg.synthetic.skeleton import Skeleton


def perform(clip: Clip, skeleton: Skeleton, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Equal steps through a clip, or as much of it as a performance of ours lasts, from a random moment on.

    The pelvis stays above the origin: a ring of cameras around a longer way would show a small person. It goes up and
    down as the clip's, and the person faces a random direction at first.

    Args:
        clip: of anybody.
        skeleton: who performs it.
        frames: F.
        rng: for the moment and the direction.

    Returns:
        axis-angle of the joints, the root's first [F, J, 3], and how far up they are shifted, metres [F]; on which
        height the ground is, is for the figure to say.

    Raises:
        UserError: the skeleton is not SMPL's.
    """
    own = AvatarSkeleton(skeleton.names, tuple(skeleton.parents.tolist()), torch.from_numpy(skeleton.joints))
    motion = retarget(clip, own)
    last = (len(motion) - 1) / motion.fps
    seconds = min(last, Performance.seconds)
    start, heading = rng.uniform(0, 1) * (last - seconds), rng.uniform(-np.pi, np.pi)
    found = motion.sample(start + seconds * (np.arange(frames) + 0.5) / frames)
    angles = torch.cat([found.global_orient, found.body_pose], 1).double().numpy().reshape(frames, -1, 3)
    turn = Rotation.from_rotvec([0, heading, 0])
    angles[:, 0] = (turn * Rotation.from_rotvec(angles[:, 0])).as_rotvec()
    return angles, found.transl[:, 1].double().numpy()


def named(motions: Sequence[str]) -> list[str]:
    """The motions that were asked for, and what is in those that are files, so that others under their names show."""
    return [f"{name} {_digest(Path(name))}".strip() for name in motions]


def _digest(path: Path) -> str:
    """16 digits of the contents of a file, or of all files of a folder; nothing for what is neither."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        if not file.is_file():
            return ""
        with file.open("rb") as content:
            total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()[:16]
