"""What a fit changes: residuals of an avatar's Gaussians, poses of T frames, the shape, and places of cameras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel, pose_gaussians
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.model.residual import apply_residual
from hgg_pyg.types import BodyPose, Cameras, Gaussians

# Shift, rotation, size, opacity, colour: how far one unit of a fit's parameters goes in each
_UNITS = (0.3,) * 3 + (0.5,) * 3 + (1.0,) * 3 + (2.0,) + (0.5,) * 3
_DEGREE = math.pi / 180


class Figure:
    """An avatar in T poses, in parameters that all begin at zero.

    Args:
        avatar: to begin with.
        body: that it is bound to, on its device.
        poses: T, to begin with.
        views: V cameras that see it and are to be fitted, too; 0 if they are where they are said to be.
    """

    def __init__(self, avatar: BoundAvatar, body: BodyModel, poses: BodyPose, views: int = 0) -> None:
        avatar = BoundAvatar(avatar.gaussians.detach(), avatar.binding, avatar.betas.detach())
        self.avatar, self.body, self.poses = avatar, body, poses.detach()
        zeros = avatar.gaussians.means.new_zeros
        self._units = avatar.gaussians.means.new_tensor(_UNITS)
        self.residuals = zeros(len(avatar.gaussians), len(_UNITS))
        """[M, 13] in units of the fit"""
        self.moved = zeros(len(poses), 3 + poses.body_pose.shape[1] + 3)
        """[T, J * 3 + 3] added to axis-angles, degrees, and to translations, metres"""
        self.shape = zeros(len(avatar.betas))
        """[B] added to betas"""
        self.rig = zeros(views, 6)
        """[V, 6] how cameras turn about their own axes, degrees, and move along them, metres"""
        self._rest = body.shaped_vertices(avatar.betas)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All parameters."""
        return self.residuals, self.moved, self.shape, self.rig

    @torch.no_grad()
    def load(self, tensors: Sequence[Tensor]) -> None:
        """Copy values of all parameters."""
        for mine, other in zip(self.tensors(), tensors, strict=True):
            mine.copy_(other)

    def now(self) -> BoundAvatar:
        """The avatar as it is now; where the shape has changed its Gaussians have moved with their vertices."""
        gaussians = self.avatar.gaussians
        if _changed(self.residuals):
            gaussians = apply_residual(gaussians, self.residuals * self._units)
        betas = self.avatar.betas + self.shape
        if _changed(self.shape):
            grown = (self.body.shaped_vertices(betas) - self._rest)[self.avatar.binding]
            gaussians = replace(gaussians, means=gaussians.means + grown)
        return BoundAvatar(gaussians, self.avatar.binding, betas)

    def poses_now(self, rows: Sequence[int] | slice = slice(None)) -> BodyPose:
        """Poses of some of the T frames, with the shape, as they are now."""
        poses, moved = self.poses[rows], self.moved[rows]
        return replace(
            poses,
            betas=self.avatar.betas + self.shape,
            global_orient=poses.global_orient + _DEGREE * moved[:, :3],
            body_pose=poses.body_pose + _DEGREE * moved[:, 3:-3],
            transl=poses.transl + moved[:, -3:],
        )

    def posed(self, rows: Sequence[int]) -> Gaussians:
        """The Gaussians of some of the T frames. [len(rows), M]"""
        avatar = self.now()
        return pose_gaussians(avatar.gaussians, self.body.maps(self.poses_now(rows)), avatar.binding)

    def seen_by(self, cameras: Cameras, views: Sequence[int]) -> Cameras:
        """Cameras where they are now. cameras: [N, 1] or [N], each of the view at its place in `views`"""
        if not _changed(self.rig):
            return cameras
        return replace(cameras, viewmats=moved_viewmats(cameras.viewmats, self.rig[list(views)]))


def moved_viewmats(viewmats: Tensor, changes: Tensor) -> Tensor:
    """World to camera after cameras turned and moved: x = e^turn (R X + T) + shift.

    Args:
        viewmats: [N, 4, 4], or [N, 1, 4, 4]
        changes: [N, 6] turn about the camera's axes, degrees, and shift along them, metres.
    """
    turns = rotation_matrices(_DEGREE * changes[:, None, :3])  # [N, 1, 3, 3]
    last = changes.new_tensor([0.0, 0, 0, 1]).expand(len(changes), 1, 1, 4)
    maps = torch.cat([torch.cat([turns, changes[:, None, 3:, None]], -1), last], -2)
    return maps.view(len(changes), *viewmats.shape[1:-2], 4, 4) @ viewmats


def _changed(values: Tensor) -> bool:
    return values.requires_grad or bool(values.any())
