"""What a fit changes: residuals of an avatar's Gaussians, poses of T frames, and the shape."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel, pose_gaussians
from hgg_pyg.model.residual import apply_residual
from hgg_pyg.types import BodyPose, Gaussians

# Shift, rotation, size, opacity, colour: how far one unit of a fit's parameters goes in each
_UNITS = (0.3,) * 3 + (0.5,) * 3 + (1.0,) * 3 + (2.0,) + (0.5,) * 3


class Figure:
    """An avatar in T poses, in parameters that all begin at zero.

    Args:
        avatar: to begin with.
        body: that it is bound to, on its device.
        poses: T, to begin with.
    """

    def __init__(self, avatar: BoundAvatar, body: BodyModel, poses: BodyPose) -> None:
        avatar = BoundAvatar(avatar.gaussians.detach(), avatar.binding, avatar.betas.detach())
        self.avatar, self.body, self.poses = avatar, body, poses.detach()
        zeros = avatar.gaussians.means.new_zeros
        self.units = avatar.gaussians.means.new_tensor(_UNITS)
        self.residuals = zeros(len(avatar.gaussians), len(_UNITS))
        """[M, 13] in units of the fit"""
        self.degrees = zeros(len(poses), 3 + poses.body_pose.shape[1])
        """[T, J * 3] added to axis-angles"""
        self.metres = zeros(len(poses), 3)
        """[T, 3] added to translations"""
        self.shape = zeros(len(avatar.betas))
        """[B] added to betas"""
        self._rest = body.shaped_vertices(avatar.betas)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All parameters."""
        return self.residuals, self.degrees, self.metres, self.shape

    def load(self, tensors: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
        """Copy values of all parameters."""
        with torch.no_grad():
            for mine, other in zip(self.tensors(), tensors, strict=True):
                mine.copy_(other)

    def now(self) -> BoundAvatar:
        """The avatar as it is now; its Gaussians move along with the shape."""
        gaussians = apply_residual(self.avatar.gaussians, self.residuals * self.units)
        betas = self.avatar.betas + self.shape
        if self.shape.requires_grad or bool(self.shape.any()):
            moved = (self.body.shaped_vertices(betas) - self._rest)[self.avatar.binding]
            gaussians = replace(gaussians, means=gaussians.means + moved)
        return BoundAvatar(gaussians, self.avatar.binding, betas)

    def poses_now(self, rows: list[int] | slice = slice(None)) -> BodyPose:
        """Poses of some of the T frames, with the shape, as they are now."""
        poses, turned = self.poses[rows], self.degrees[rows] * (math.pi / 180)
        return replace(
            poses,
            betas=self.avatar.betas + self.shape,
            global_orient=poses.global_orient + turned[:, :3],
            body_pose=poses.body_pose + turned[:, 3:],
            transl=poses.transl + self.metres[rows],
        )

    def posed(self, rows: list[int]) -> Gaussians:
        """The Gaussians of some of the T frames. [len(rows), M]"""
        avatar = self.now()
        return pose_gaussians(avatar.gaussians, self.body.maps(self.poses_now(rows)), avatar.binding)
