"""An animatable person who needs no body model: what is kept in a file, moved and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from hgg_pyg.avatar.motion import Motion
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.body.blending import blend
from hgg_pyg.body.skinning import pose_gaussians
from hgg_pyg.types import BodyPose, Gaussians


@dataclass(frozen=True)
class Seen:
    """From where the images were taken that an avatar was made of: how fine what it shows can be.

    A pixel of them spans distance / focal metres of the person.
    """

    focal: float  # pixels
    distance: float  # metres


@dataclass(frozen=True)
class Avatar:
    """Gaussians in the rest pose of a person's shape, which follow the joints of a skeleton.

    Raises:
        ValueError: shapes do not fit one another.
    """

    gaussians: Gaussians  # [M] y up, x to the person's left, facing z, metres; colours [M, 3], no features
    binding: Tensor  # [M] int64, the row of `weights` that each Gaussian has
    weights: Tensor  # [R, J] how much each row follows each joint; rows sum to 1
    skeleton: Skeleton  # J
    betas: Tensor  # [B] the shape as the body model has it that the person was seen with
    seen: Seen
    motions: tuple[Motion, ...] = ()  # such as what the person did when filmed
    about: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # where it comes from, licences

    def __post_init__(self) -> None:
        rows, joints = self.weights.shape
        if tuple(self.binding.shape) != (len(self.gaussians),):
            raise ValueError(f"Avatar.binding: expected ({len(self.gaussians)},), found {tuple(self.binding.shape)}")
        if joints != len(self.skeleton):
            raise ValueError(f"Avatar.weights: expected {len(self.skeleton)} joints, found {joints}")
        if len(self.binding) and not 0 <= int(self.binding.min()) <= int(self.binding.max()) < rows:
            raise ValueError(f"Avatar.binding: expected 0 to {rows - 1}, found {int(self.binding.max())}")

    def __len__(self) -> int:
        """M."""
        return len(self.gaussians)

    def repose(self, pose: BodyPose) -> Gaussians:
        """The avatar in T poses (Eq. 1); the shape stays its own, a face stays at rest. -> Gaussians [T, M]

        Raises:
            UserError: the pose is for another number of joints.
        """
        maps = blend(self.weights, self.skeleton.transforms(pose), pose.transl)
        return pose_gaussians(self.gaussians, maps, self.binding)

    def motion(self, name: str) -> Motion | None:
        """The motion of this name that comes with it."""
        return next((motion for motion in self.motions if motion.name == name), None)

    def to(self, device: str | torch.device) -> Avatar:
        """A copy on a device."""
        return replace(
            self,
            gaussians=self.gaussians.to(device),
            binding=self.binding.to(device),
            weights=self.weights.to(device),
            skeleton=replace(self.skeleton, joints=self.skeleton.joints.to(device)),
            betas=self.betas.to(device),
        )

    def save(self, path: Path) -> None:
        """Write it into one file, see `avatar.file`.

        Raises:
            UserError: the file cannot be written, or a number of the avatar is NaN, infinite or beyond 1e9.
        """
        from hgg_pyg.avatar.file import write_avatar

        write_avatar(path, self)

    @classmethod
    def load(cls, path: Path) -> Avatar:
        """Read what `save` wrote.

        Raises:
            UserError: no such file, not an avatar, one of a later version, or a damaged one.
        """
        from hgg_pyg.avatar.file import read_avatar

        return read_avatar(path)
