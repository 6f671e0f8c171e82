"""Our own motions: on the spot, and as if they had no end, for their last frame leads to the first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions.clip import USUAL_FPS, Clip, checked_count
from hgg_pyg.avatar.motions.procedural import Angles, Style, dance, joint_limits, walk, wave
from hgg_pyg.avatar.motions.smpl import smpl_clip

_TURN = 6.0  # seconds of one turn of the turntable


def _style(*extra: float) -> Style:
    return Style(phase=0.0, vigour=1.0, lead="right", extra=np.array([*extra, *[0.5] * 8])[:8])


def _stand(time: np.ndarray, style: Style) -> Angles:
    angles = Angles(len(time))
    for side in ("left", "right"):
        angles.add(f"{side}_shoulder", y=-4, z=-52)
        angles.add(f"{side}_elbow", y=-14)
        angles.add(f"{side}_hip", z=3)
    return angles


# Seconds of one round, chosen so that all that swings comes back; and what is done meanwhile.
_OWN: dict[str, tuple[float, Callable[[np.ndarray, Style], Angles], Style]] = {
    "walk": (1.0, walk, _style(1.0, 0.1)),  # one cycle a second
    "wave": (1 / 0.35, wave, _style(0.0, 0.375)),  # the hand swings three times while the trunk sways once
    "dance": (2 / 0.6, dance, _style(0.25)),  # two beats
    "turntable": (_TURN, _stand, _style()),
}
OWN_MOTIONS = tuple(_OWN)
"""Names of our own motions."""


def own_clip(name: str, fps: float = USUAL_FPS) -> Clip:
    """One of our own motions, once round.

    Args:
        name: one of `OWN_MOTIONS`.
        fps: frames per second; a round is up to half a frame faster or slower, so that it takes a whole number of them.
    """
    seconds, procedure, style = _OWN[name]
    frames = checked_count(name, max(1, round(seconds * fps)))
    time = np.arange(frames) * (seconds / frames)
    angles = np.clip(procedure(time, style).values, *joint_limits())
    poses = Rotation.from_euler("xyz", angles.reshape(-1, 3), degrees=True).as_rotvec().reshape(frames, -1)
    if name == "turntable":
        poses[:, 1] = 2 * np.pi * np.arange(frames) / frames
    return smpl_clip(name, float(fps), poses, np.zeros((frames, 3)), "y", own=True)
