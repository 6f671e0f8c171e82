"""Procedural motion: walking, waving, squatting, turning, reaching, dancing, and the limits of the joints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hgg_pyg.body import JOINTS

# The largest angles about the rest pose's x, y and z axes, degrees, low and high, for a left joint. Positive x bends a
# spine forward and a leg backward; negative y brings a left arm forward, negative z lets it hang. An upper arm's roll
# is carried by the elbow (its z): linear blending collapses a shoulder that rolls.
_LIMITS = {
    "pelvis": ((-30, 50), (-40, 40), (-20, 20)),
    "hip": ((-115, 30), (-35, 35), (-20, 50)),
    "knee": ((0, 130), (0, 0), (0, 0)),
    "ankle": ((-35, 40), (-15, 15), (-15, 15)),
    "foot": ((-30, 20), (0, 0), (0, 0)),
    "spine1": ((-10, 30), (-20, 20), (-15, 15)),
    "spine2": ((-10, 25), (-20, 20), (-15, 15)),
    "spine3": ((-10, 20), (-20, 20), (-15, 15)),
    "neck": ((-20, 30), (-30, 30), (-20, 20)),
    "head": ((-20, 25), (-35, 35), (-20, 20)),
    "collar": ((-5, 5), (-15, 10), (-10, 22)),
    "shoulder": ((-35, 35), (-85, 35), (-78, 68)),
    "elbow": ((-15, 15), (-125, 0), (-20, 100)),
    "wrist": ((-40, 40), (-25, 25), (-40, 40)),
    "hand": ((0, 0), (0, 0), (-40, 10)),
}


def joint_limits() -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest Euler angles of every joint, degrees. [J, 3] each"""
    bounds = np.zeros((2, len(JOINTS), 3))
    for joint, name in enumerate(JOINTS):
        low, high = np.array(_LIMITS[name.split("_")[-1]], float).T
        if name.startswith("right"):  # mirrored: rotations about y and z change sign
            low, high = np.array([low[0], -high[1], -high[2]]), np.array([high[0], -low[1], -low[2]])
        bounds[:, joint] = low, high
    return bounds[0], bounds[1]


class Angles:
    """Euler angles of all joints over time, degrees, set joint by joint in the sense of the left side."""

    def __init__(self, count: int) -> None:
        self.values = np.zeros((count, len(JOINTS), 3))

    def add(self, joint: str, x: np.ndarray | float = 0, y: np.ndarray | float = 0, z: np.ndarray | float = 0) -> None:
        """Add to a joint of the trunk, or to the left or right one of a pair ('left_knee'): a right one is mirrored."""
        sign = -1 if joint.startswith("right") else 1
        angles = self.values[:, JOINTS.index(joint)]
        angles[:, 0] += x
        angles[:, 1] += sign * np.asarray(y)
        angles[:, 2] += sign * np.asarray(z)


@dataclass(frozen=True)
class Style:
    """How one person performs one motion."""

    phase: float  # radians
    vigour: float  # about 1
    lead: str  # the side that leads: "left" or "right"
    extra: np.ndarray  # [8] numbers in [0, 1] that each motion uses as it likes

    @property
    def trail(self) -> str:
        """The other side."""
        return "right" if self.lead == "left" else "left"


Procedure = Callable[[np.ndarray, Style], Angles]
"""Seconds [T] and a style to joint angles."""


def _bump(phase: np.ndarray, center: float, width: float) -> np.ndarray:
    """A smooth periodic bump of height 1 at `center`; phase, center and width in cycles."""
    distance = (phase - center + 0.5) % 1 - 0.5
    return np.exp(-0.5 * (distance / width) ** 2)


def _hang_arms(angles: Angles, elbow: float = 18) -> None:
    for side in ("left", "right"):
        angles.add(f"{side}_collar", z=-4)
        angles.add(f"{side}_shoulder", y=-4, z=-68)
        angles.add(f"{side}_elbow", y=-elbow)


def _legs(angles: Angles, cycle: np.ndarray, stride: float, lift: float) -> None:
    """Both legs of a gait, angles like those of normal walking; cycle 0 is the left heel's strike."""
    for side, phase in (("left", cycle % 1), ("right", (cycle + 0.5) % 1)):
        angles.add(f"{side}_hip", x=-stride * (8 + 21 * np.cos(2 * np.pi * phase)))
        angles.add(f"{side}_knee", x=lift * (6 + 12 * _bump(phase, 0.14, 0.07) + 52 * _bump(phase, 0.72, 0.095)))
        angles.add(f"{side}_ankle", x=stride * (-4 + 18 * _bump(phase, 0.63, 0.06) - 5 * _bump(phase, 0.42, 0.1)))
        angles.add(f"{side}_foot", x=-stride * 18 * _bump(phase, 0.55, 0.05))


def walk(time: np.ndarray, style: Style) -> Angles:
    """Walking on the spot, arms swinging against the legs."""
    angles = Angles(len(time))
    cycle = time * (0.75 + 0.25 * style.extra[0]) + style.phase / (2 * np.pi)
    swing = np.cos(2 * np.pi * cycle)
    _legs(angles, cycle, style.vigour, 0.85 + 0.15 * style.vigour)
    bent = 15 + 45 * style.extra[1]
    _hang_arms(angles, elbow=bent)
    for side, sign in (("left", 1), ("right", -1)):
        forward = -sign * swing * style.vigour  # the arm of the leg that is behind goes forward
        angles.add(f"{side}_shoulder", y=-24 * forward)
        angles.add(f"{side}_elbow", y=-10 - 10 * forward)
    angles.add("pelvis", x=2, y=-5 * swing, z=2 * np.sin(2 * np.pi * cycle))
    for joint in ("spine1", "spine2", "spine3"):
        angles.add(joint, x=1, y=4 * swing)
    angles.add("head", y=-4 * swing)
    return angles


def turn(time: np.ndarray, style: Style) -> Angles:
    """Small steps on the spot, hands on the hips or loose: what the legs do while the whole person turns."""
    angles = Angles(len(time))
    cycle = time * 1.0 + style.phase / (2 * np.pi)
    _legs(angles, cycle, 0.35, 0.6)
    _hang_arms(angles)
    akimbo = style.extra[0]
    for side in ("left", "right"):
        angles.add(f"{side}_shoulder", y=16 * akimbo, z=24 * akimbo)
        angles.add(f"{side}_elbow", y=-75 * akimbo)
    angles.add("head", y=22 * np.sin(2 * np.pi * 0.3 * time + style.phase))
    return angles


def wave(time: np.ndarray, style: Style) -> Angles:
    """One hand waves; the other hangs, or waves too."""
    angles = Angles(len(time))
    _hang_arms(angles)
    both = style.extra[0] > 0.75
    swing = np.sin(2 * np.pi * (0.9 + 0.4 * style.extra[1]) * time + style.phase)
    for side in (style.lead, style.trail) if both else (style.lead,):
        angles.add(f"{side}_collar", z=8)
        angles.add(f"{side}_shoulder", y=-6, z=68 + 25 * style.extra[2] + 5 * swing)
        angles.add(f"{side}_elbow", y=0, z=62 + 22 * swing * style.vigour)
        angles.add(f"{side}_wrist", z=12 * swing)
    angles.add("head", y=6 * (1 if style.lead == "left" else -1), z=5 * swing)
    sway = np.sin(2 * np.pi * 0.35 * time + style.phase)
    angles.add("spine2", y=5 * sway, z=4 * sway)
    angles.add("pelvis", y=4 * sway)
    angles.add("left_hip", y=-4 * sway, z=6)
    angles.add("right_hip", y=4 * sway, z=6)
    return angles


def squat(time: np.ndarray, style: Style) -> Angles:
    """Knee bends, the arms stretched forward or folded."""
    angles = Angles(len(time))
    depth = (0.5 - 0.5 * np.cos(2 * np.pi * 0.42 * time + style.phase)) * (0.7 + 0.3 * style.extra[0])
    _hang_arms(angles)
    angles.add("pelvis", x=26 * depth)
    for side in ("left", "right"):
        angles.add(f"{side}_hip", x=-104 * depth, y=12 * depth, z=5 + 3 * depth)
        angles.add(f"{side}_knee", x=4 + 108 * depth)
        angles.add(f"{side}_ankle", x=-30 * depth)
        angles.add(f"{side}_shoulder", y=-74 * depth, z=58 * depth)
        angles.add(f"{side}_elbow", y=-(10 + 70 * (style.extra[1] > 0.6)) * depth + 12 * depth)
    angles.add("spine1", x=10 * depth)
    angles.add("spine2", x=6 * depth)
    angles.add("head", x=-12 * depth)
    return angles


def reach(time: np.ndarray, style: Style) -> Angles:
    """One arm reaches up, sideways and forward in turn, the trunk leaning after it."""
    angles = Angles(len(time))
    _hang_arms(angles)
    lift = 0.5 + 0.5 * np.sin(2 * np.pi * 0.4 * time + style.phase)
    ahead = 0.5 + 0.5 * np.sin(2 * np.pi * 0.27 * time + 1.7 * style.phase)
    second = 0.75 * lift if style.extra[0] > 0.6 else 0.35 * (1 - lift)
    for side, share in ((style.lead, lift), (style.trail, second)):
        angles.add(f"{side}_collar", z=20 * share)
        angles.add(f"{side}_shoulder", y=-45 * ahead * share, z=122 * share * style.vigour)
        angles.add(f"{side}_elbow", y=6 * share)
    sign = 1 if style.lead == "left" else -1
    for joint in ("spine1", "spine2", "spine3"):
        angles.add(joint, x=5 * ahead, y=-6 * sign * ahead, z=5 * sign * (lift - 0.6))
    angles.add("head", x=-14 * lift, y=12 * sign * ahead)
    angles.add(f"{style.trail}_hip", x=8 * lift, z=5 + 6 * lift)
    angles.add(f"{style.lead}_hip", x=-22 * ahead, z=5)
    angles.add(f"{style.lead}_knee", x=30 * ahead)
    angles.add(f"{style.lead}_ankle", x=-8 * ahead)
    return angles


def dance(time: np.ndarray, style: Style) -> Angles:
    """Hips, arms and knees to a beat."""
    angles = Angles(len(time))
    beat = 2 * np.pi * (0.55 + 0.2 * style.extra[0]) * time + style.phase
    s, c, slow = np.sin(beat), np.cos(beat), np.sin(0.5 * beat)
    angles.add("pelvis", y=14 * s, z=7 * c * style.vigour)
    angles.add("spine1", y=-8 * s, z=-5 * c)
    angles.add("spine2", y=-9 * s, z=-5 * c)
    angles.add("spine3", x=6 * slow, y=-6 * s)
    angles.add("head", y=14 * slow, z=6 * c)
    kick = np.clip(s, 0, 1) ** 2 * (20 + 38 * style.extra[1])
    step = np.clip(-s, 0, 1) ** 2 * 34
    for side, raised in ((style.lead, kick), (style.trail, step)):
        angles.add(f"{side}_hip", x=-10 - raised, z=8 + 0.4 * raised)
        angles.add(f"{side}_knee", x=18 + 1.3 * raised)
        angles.add(f"{side}_ankle", x=-8 + 0.2 * raised)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm = sign * s
        angles.add(f"{side}_collar", z=5 * arm)
        angles.add(f"{side}_shoulder", y=-22 - 18 * sign * c, z=-22 + (34 + 24 * style.extra[2]) * arm)
        angles.add(f"{side}_elbow", y=-52 + 24 * c, z=20 + 26 * arm * style.extra[3])
        angles.add(f"{side}_wrist", z=15 * c)
    return angles


PROCEDURES: dict[str, Procedure] = {
    "walk": walk,
    "wave": wave,
    "squat": squat,
    "turn": turn,
    "reach": reach,
    "dance": dance,
}
