"""An avatar in one pose after the other, as fast as it can be posed."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.avatar import Avatar
from hgg_pyg.body import BodyModel, pose_gaussians
from hgg_pyg.types import BodyPose, Gaussians


class Animator:
    """Poses an avatar like `Avatar.repose`, without gradients; what all poses share is computed once.

    Args:
        avatar: on the body's device.
        body: of any shape; the avatar has its own.
        compiled: skin in one step that `torch.compile` makes, for half a minute, at the first pose and once for each
            other number of frames, or of values of expression. On a GPU it saves hundreds of launches per frame; on
            a CPU it needs a C++ compiler.
    """

    def __init__(self, avatar: Avatar, body: BodyModel, compiled: bool = False) -> None:
        self.avatar, self.body = avatar, body
        with torch.no_grad():
            self._joints = body.rest_joints(avatar.betas)
        self._skin = torch.compile(self._maps_to_gaussians, dynamic=False) if compiled else self._maps_to_gaussians

    @torch.no_grad()
    def __call__(self, pose: BodyPose) -> Gaussians:
        """The avatar in T poses; their shape is not used. -> Gaussians [T, M]

        Raises:
            UserError: the pose is for another number of joints, or has more values of expression than the body.
        """
        joint_transforms, bends = self.body.bend(pose, self._joints)
        means, quats = self._skin(joint_transforms, bends, pose.transl)
        own = self.avatar.gaussians
        return Gaussians(
            means,
            quats,
            *(x.expand(len(pose), *x.shape) for x in (own.scales, own.opacities, own.colors)),
        )

    def _maps_to_gaussians(self, joint_transforms: Tensor, bends: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        vertex_transforms = self.body.vertex_transforms(joint_transforms, bends, transl)
        posed = pose_gaussians(self.avatar.gaussians, vertex_transforms, self.avatar.binding)
        return posed.means, posed.quats
