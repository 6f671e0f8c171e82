"""A motion that an avatar can perform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hgg_pyg.types import BodyPose


@dataclass(frozen=True)
class Motion:
    """T poses of one skeleton, evenly spaced in time; y up, axis-angle in radians, translations as smplx has them.

    Raises:
        ValueError: shapes do not fit, there is no frame, or the rate is not a positive number.
    """

    name: str
    fps: float  # frames per second
    global_orient: Tensor  # [T, 3]
    body_pose: Tensor  # [T, (J - 1) * 3]
    transl: Tensor  # [T, 3] metres
    from_world: Tensor | None = None  # [4, 4] from the world that the motion was captured in to this one

    def __post_init__(self) -> None:
        _ = self.pose(torch.zeros(0))
        if not len(self):
            raise ValueError(f"Motion {self.name}: expected frames, found none")
        if not 0 < self.fps < 1e6:
            raise ValueError(f"Motion {self.name}: fps: expected a positive number, found {self.fps:g}")

    def __len__(self) -> int:
        """T."""
        return len(self.transl)

    @property
    def seconds(self) -> float:
        """How long it lasts, the last frame as long as the others."""
        return len(self) / self.fps

    def pose(self, betas: Tensor) -> BodyPose:
        """The poses, for a person of this shape."""
        return BodyPose(betas, self.global_orient, self.body_pose, self.transl)
