"""How far joints bend, by name, for the axes of SMPL's rest pose.

With arms spread, x points to the person's left, y up, z forward. A joint's rotation vector about x bends knees and
hips, about y it bends elbows, about z it lowers arms. Right sides are the mirror image: y and z change their signs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Degrees about x, y, z on the left side, from and to.
_LIMITS = {
    "knee": ((-5, 150), (-15, 15), (-15, 15)),
    "elbow": ((-90, 90), (-155, 8), (-40, 40)),
    "hip": ((-130, 50), (-50, 50), (-40, 70)),
    "ankle": ((-50, 45), (-35, 35), (-35, 35)),
    "spine1": ((-25, 40), (-25, 25), (-20, 20)),
    "spine2": ((-15, 30), (-25, 25), (-20, 20)),
    "spine3": ((-15, 30), (-25, 25), (-20, 20)),
    "neck": ((-40, 40), (-50, 50), (-35, 35)),
    "head": ((-35, 35), (-50, 50), (-30, 30)),
    "collar": ((-20, 20), (-25, 25), (-15, 40)),
    "shoulder": ((-100, 100), (-130, 60), (-100, 110)),
    "wrist": ((-50, 50), (-40, 40), (-80, 80)),
    "foot": ((-30, 30), (-8, 8), (-8, 8)),
}

PAST = math.radians(4)
"""Standard deviation of what goes beyond a limit, radians."""


def of_joint(name: str) -> tuple[str, bool]:
    """The name of a joint without its side, and whether it is on the right."""
    return name.removeprefix("left_").removeprefix("right_"), name.startswith("right_")


def joint_limits(names: Sequence[str]) -> Tensor:
    """From where to where the rotation vectors of joints go, about x, y and z.

    Args:
        names: of J joints.

    Returns:
        [J, 3, 2] radians, without limits for joints that are not listed here, as of fingers and of the face.
    """
    limits = torch.tensor([-math.inf, math.inf]).repeat(len(names), 3, 1)
    for row, name in enumerate(names):
        plain, right = of_joint(name)
        if plain in _LIMITS:
            limits[row] = torch.tensor(_LIMITS[plain], dtype=torch.float32)
            if right:
                limits[row, 1:] = -limits[row, 1:].flip(1)
    return torch.deg2rad(limits)


def beyond(bends: Tensor, limits: Tensor) -> Tensor:
    """How far rotation vectors lie outside of their limits. [..., J, 3] by [J, 3, 2] -> [..., J, 3], 0 within"""
    return (limits[..., 0] - bends).clamp_min(0) + (bends - limits[..., 1]).clamp_min(0)
