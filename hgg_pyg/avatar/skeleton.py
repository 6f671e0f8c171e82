"""The joints that an avatar is moved by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hgg_pyg.body.blending import joint_transforms
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.types import BodyPose, UserError


@dataclass(frozen=True)
class Skeleton:
    """J joints of one person at rest: y up, x to the person's left, facing z, metres."""

    names: tuple[str, ...]  # J
    parents: tuple[int, ...]  # J, each stands before its children; -1 for the first alone
    joints: Tensor  # [J, 3] places at rest

    def __len__(self) -> int:
        """J."""
        return len(self.names)

    def transforms(self, pose: BodyPose) -> Tensor:
        """The joints' maps from the rest pose to T poses but for the translation; shape and face are not used.

        Returns:
            [T, J, 4, 4]

        Raises:
            UserError: the pose is for another number of joints.
        """
        if pose.body_pose.shape[1] != (len(self) - 1) * 3:
            raise UserError(
                f"body_pose: this avatar has {len(self)} joints and expects {(len(self) - 1) * 3} values per frame, "
                f"found {pose.body_pose.shape[1]}"
            )
        angles = torch.cat([pose.global_orient, pose.body_pose], 1).unflatten(1, (-1, 3))
        return joint_transforms(rotation_matrices(angles), self.joints.expand(len(pose), -1, -1), self.parents)
