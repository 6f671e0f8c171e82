"""How far joints bend: the prior of poses and the limits of joints, by name, for the axes of SMPL's rest pose.

With arms spread, x points to the person's left, y up, z forward. A joint's rotation vector about x bends knees and
hips, about y it bends elbows, about z it lowers arms. Right sides are the mirror image: y and z change their signs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hgg_pyg.body import BodyModel

# Standard deviations in degrees about x, y, z: how much of a bend is expected without being seen.
_SPREAD = {
    "hip": (50, 20, 25), "knee": (60, 4, 4), "ankle": (20, 12, 12), "foot": (8, 3, 3),
    "spine1": (10, 6, 6), "spine2": (8, 6, 6), "spine3": (8, 6, 6), "neck": (8, 10, 6), "head": (12, 20, 10),
    "collar": (3, 4, 4), "shoulder": (40, 45, 55), "elbow": (12, 60, 6), "wrist": (15, 15, 20),
}  # fmt: skip
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
_PAST = math.radians(4)  # standard deviation of what goes beyond a limit


def _of_joint(name: str) -> tuple[str, bool]:
    """The name without its side, and whether it is on the right."""
    return name.removeprefix("left_").removeprefix("right_"), name.startswith("right_")


class JointPrior:
    """What bends are expected of a body's joints but the root.

    Joints without an entry, as of fingers and of the face, stay at rest: they are not free.
    """

    def __init__(self, body: BodyModel) -> None:
        names = body.joint_names[1:]
        spread, low, high = (torch.zeros(len(names), 3) for _ in range(3))
        for row, name in enumerate(names):
            plain, right = _of_joint(name)
            if plain not in _SPREAD:
                continue
            spread[row] = torch.tensor(_SPREAD[plain])
            limits = torch.tensor(_LIMITS[plain], dtype=torch.float32)
            if right:
                limits[1:] = -limits[1:].flip(1)
            low[row], high[row] = limits.T
        self.free = spread[:, 0] > 0  # [J - 1] bool
        self._spread, self._low, self._high = (torch.deg2rad(part[self.free]) for part in (spread, low, high))

    def cost(self, bends: Tensor) -> Tensor:
        """Half the squared deviations over spread, summed, of the free joints' rotation vectors. [F, B, 3] -> []"""
        past = (self._low - bends).clamp_min(0) + (bends - self._high).clamp_min(0)
        return 0.5 * ((bends / self._spread).square().sum() + (past / _PAST).square().sum())
