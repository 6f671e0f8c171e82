"""A body in T frames by rotation matrices: what corrections are added to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.body.blending import joint_transforms
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.types import BodyPose


@dataclass(frozen=True)
class Stance:
    """Shape, rotations and places of a body over T frames."""

    body: BodyModel
    betas: Tensor  # [B]
    rotations: Tensor  # [T, J, 3, 3] of each joint in its parent's frame
    transl: Tensor  # [T, 3] metres

    @staticmethod
    def of(body: BodyModel, poses: BodyPose) -> Stance:
        """That of poses; the face is at rest."""
        turns = torch.cat([poses.global_orient, poses.body_pose], 1)
        return Stance(body, poses.betas, rotation_matrices(turns.view(len(poses), -1, 3)), poses.transl)

    @cached_property
    def joints_at_rest(self) -> Tensor:
        """[J, 3] metres"""
        return self.body.rest_joints(self.betas)

    @cached_property
    def maps(self) -> Tensor:
        """The joints' maps from the rest pose to the world, but for the translation. [T, J, 4, 4]"""
        joints = self.joints_at_rest.expand(len(self.rotations), -1, -1)
        return joint_transforms(self.rotations, joints, self.body.chain)

    @cached_property
    def joints(self) -> Tensor:
        """Places of the joints. [T, J, 3] metres"""
        maps = self.maps
        return (maps[..., :3, :3] @ self.joints_at_rest[..., None])[..., 0] + maps[..., :3, 3] + self.transl[:, None]

    def detach(self) -> Stance:
        """The same, through which no gradient passes."""
        return Stance(self.body, self.betas.detach(), self.rotations.detach(), self.transl.detach())

    def turned(self, turn: Tensor, shift: Tensor, betas: Tensor) -> Stance:
        """After corrections: R exp(turn), the root moved in its own axes, another shape.

        Args:
            turn: [T, J, 3] radians, in each joint's own axes.
            shift: [T, 3] metres, in the root's axes.
            betas: [B] to be added.
        """
        rotations = self.rotations @ rotation_matrices(turn)
        moved = self.transl + (self.rotations[:, 0] @ shift[..., None])[..., 0]
        return replace(self, betas=self.betas + betas, rotations=rotations, transl=moved)


def corrected(poses: BodyPose, start: Stance, end: Stance) -> BodyPose:
    """Poses after corrections that led from their own stance to another; joints that were not turned stay to the bit.

    Args:
        poses: T frames.
        start: `Stance.of` them.
        end: after corrections.
    """
    turns = axis_angle(end.rotations)
    before = torch.cat([poses.global_orient, poses.body_pose], 1).view_as(turns)
    same = (start.rotations == end.rotations).all(-1).all(-1)
    turns = torch.where(same[..., None], before, turns)
    return replace(
        poses, betas=end.betas, global_orient=turns[:, 0], body_pose=turns[:, 1:].flatten(1), transl=end.transl
    )


def axis_angle(rotations: Tensor) -> Tensor:
    """Rotation matrices to axis times angle, radians, the angle at most pi. [..., 3, 3] -> [..., 3]"""
    quaternion = matrix_to_quaternion(rotations)
    sine = quaternion[..., 1:].norm(dim=-1, keepdim=True)
    half = torch.atan2(sine, quaternion[..., :1])
    # 2 half / sin(half), which is 2 where both are zero.
    return quaternion[..., 1:] * torch.where(sine > 1e-6, 2 * half / sine.clamp_min(1e-6), 2.0)
