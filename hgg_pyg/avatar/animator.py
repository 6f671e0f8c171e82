"""An avatar in one pose after the other, as fast as it can be posed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.bound import BoundAvatar
from hgg_pyg.body import BodyModel, pose_gaussians
from hgg_pyg.body.blending import blend
from hgg_pyg.types import BodyPose, Gaussians


class Animator:
    """Poses an avatar like its `repose`, without gradients; what all poses share is computed once.

    Args:
        avatar: one with a skeleton of its own, or one that is bound to a body, on the body's device.
        body: of any shape, for a bound avatar, which has its own.
        compiled: skin in one step that `torch.compile` makes, for half a minute, at the first pose and once for each
            other number of frames, or of values of expression. On a GPU it saves hundreds of launches per frame; on
            a CPU it needs a C++ compiler.

    Raises:
        TypeError: a bound avatar without a body.
    """

    def __init__(self, avatar: Avatar | BoundAvatar, body: BodyModel | None = None, compiled: bool = False) -> None:
        self.avatar, self.body = avatar, body
        self._bend, maps = _steps(avatar, body)

        def skin(transforms: Tensor, bends: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
            posed = pose_gaussians(avatar.gaussians, maps(transforms, bends, transl), avatar.binding)
            return posed.means, posed.quats

        self._skin = torch.compile(skin, dynamic=False) if compiled else skin

    @torch.no_grad()
    def __call__(self, pose: BodyPose) -> Gaussians:
        """The avatar in T poses; their shape is not used. -> Gaussians [T, M]

        Raises:
            UserError: the pose is for another number of joints, or has more values of expression than the body.
        """
        means, quats = self._skin(*self._bend(pose), pose.transl)
        own = self.avatar.gaussians
        return Gaussians(
            means,
            quats,
            *(x.expand(len(pose), *x.shape) for x in (own.scales, own.opacities, own.colors)),
        )


Bend = Callable[[BodyPose], tuple[Tensor, Tensor]]
Maps = Callable[[Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def _steps(avatar: Avatar | BoundAvatar, body: BodyModel | None) -> tuple[Bend, Maps]:
    """From a pose to maps of joints and what blend shapes follow; from these and translations to maps of rows."""
    if isinstance(avatar, Avatar):
        skeleton, weights = avatar.skeleton, avatar.weights
        return (
            lambda pose: (skeleton.transforms(pose), pose.transl.new_empty(len(pose), 0)),
            lambda transforms, bends, transl: blend(weights, transforms, transl),
        )
    if body is None:
        raise TypeError("Animator: expected the body that the avatar is bound to, found none")
    joints = body.rest_joints(avatar.betas)
    return (lambda pose: body.bend(pose, joints)), body.vertex_transforms
