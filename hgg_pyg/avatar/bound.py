"""An animatable person as the network gives one: bound to the vertices of a body model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from hgg_pyg.avatar.avatar import Avatar, Seen
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.body import BodyModel, pose_gaussians
from hgg_pyg.types import BodyPose, Gaussians


@dataclass(frozen=True)
class BoundAvatar:
    """Gaussians in the rest pose of a person's shape, each bound to a vertex of the body."""

    gaussians: Gaussians  # [M] canonical space
    binding: Tensor  # [M] vertex ids
    betas: Tensor  # [B]

    def repose(self, body: BodyModel, pose: BodyPose) -> Gaussians:
        """The avatar in T poses (Eq. 1); the shape stays the avatar's own. -> Gaussians [T, M]"""
        own = replace(pose, betas=self.betas)
        return pose_gaussians(self.gaussians, body.maps(own), self.binding)

    def to(self, device: str | torch.device) -> BoundAvatar:
        """A copy on a device."""
        return BoundAvatar(self.gaussians.to(device), self.binding.to(device), self.betas.to(device))

    @torch.no_grad()
    def rig(
        self,
        body: BodyModel,
        seen: Seen,
        motions: Sequence[Motion] = (),
        about: Mapping[str, str] = MappingProxyType({}),
    ) -> Avatar:
        """The same with the weights and joints of the body, which is not needed any more.

        What a body has besides is dropped: pose blend shapes, which `dropped` measures, and expressions.

        Args:
            body: that it is bound to, on its device.
            seen: from where the images were taken that it was made of.
            motions: that come with it, for the body's joints.
            about: where it comes from, and licences.
        """
        rows, binding = self.binding.unique(return_inverse=True)
        skeleton = Skeleton(
            names=body.joint_names, parents=tuple(body.parents.tolist()), joints=body.rest_joints(self.betas)
        )
        gaussians = replace(self.gaussians, features=None)
        return Avatar(gaussians, binding, body.weights[rows], skeleton, self.betas, seen, tuple(motions), about)

    @torch.no_grad()
    def dropped(self, body: BodyModel, pose: BodyPose) -> Tensor:
        """How far the body's pose blend shapes move the Gaussians in T poses, which an avatar of its own lacks.

        Returns:
            [T, M] metres; zeros for a body that has none.
        """
        if not body.posedirs.shape[0]:
            return self.gaussians.means.new_zeros(len(pose), len(self.gaussians))
        _, bends = body.bend(replace(pose, expression=None), body.rest_joints(self.betas))
        return (bends @ body.posedirs).view(len(pose), -1, 3).norm(dim=-1)[:, self.binding]
