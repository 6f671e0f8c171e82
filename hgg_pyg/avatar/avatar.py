"""An animatable person."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from hgg_pyg.body import BodyModel, pose_gaussians
from hgg_pyg.types import BodyPose, Gaussians


@dataclass(frozen=True)
class Avatar:
    """Gaussians in the rest pose of a person's shape, each bound to a vertex of the body."""

    gaussians: Gaussians  # [M] canonical space
    binding: Tensor  # [M] vertex ids
    betas: Tensor  # [B]

    def repose(self, body: BodyModel, pose: BodyPose) -> Gaussians:
        """The avatar in T poses (Eq. 1); the shape stays the avatar's own. -> Gaussians [T, M]"""
        own = replace(pose, betas=self.betas)
        return pose_gaussians(self.gaussians, body.maps(own), self.binding)
