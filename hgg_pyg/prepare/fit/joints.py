"""How far joints are expected to bend: the prior of poses, by name, for the axes of `body.joint_limits`."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.body.joint_limits import PAST, beyond, joint_limits, of_joint

# Standard deviations in degrees about x, y, z: how much of a bend is expected without being seen.
_SPREAD = {
    "hip": (50, 20, 25), "knee": (60, 4, 4), "ankle": (20, 12, 12), "foot": (8, 3, 3),
    "spine1": (10, 6, 6), "spine2": (8, 6, 6), "spine3": (8, 6, 6), "neck": (8, 10, 6), "head": (12, 20, 10),
    "collar": (3, 4, 4), "shoulder": (40, 45, 55), "elbow": (12, 60, 6), "wrist": (15, 15, 20),
}  # fmt: skip


class JointPrior:
    """What bends are expected of a body's joints but the root.

    Joints without an entry, as of fingers and of the face, stay at rest: they are not free.
    """

    def __init__(self, body: BodyModel) -> None:
        names = body.joint_names[1:]
        spread = torch.tensor([_SPREAD.get(of_joint(name)[0], (0, 0, 0)) for name in names], dtype=torch.float32)
        self.free = spread[:, 0] > 0  # [J - 1] bool
        self._spread, self._limits = torch.deg2rad(spread[self.free]), joint_limits(names)[self.free]

    def cost(self, bends: Tensor) -> Tensor:
        """Half the squared deviations over spread, summed, of the free joints' rotation vectors. [F, B, 3] -> []"""
        past = beyond(bends, self._limits)
        return 0.5 * ((bends / self._spread).square().sum() + (past / PAST).square().sum())
