"""A motion that an avatar can perform."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from hgg_pyg.types import BodyPose, UserError

MOST_FRAMES = 1_000_000
"""Nine hours of video."""
SLOWEST, FASTEST = 0.1, 10_000.0
"""Frames per second of motions."""


@dataclass(frozen=True)
class Motion:
    """T poses of one skeleton, evenly spaced in time; y up, axis-angle in radians, translations as smplx has them.

    Raises:
        ValueError: shapes do not fit, there is no frame, or the rate is beyond 0.1 to 10,000.
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
        if not SLOWEST <= self.fps <= FASTEST:
            raise ValueError(f"Motion {self.name}: fps: expected {SLOWEST:g} to {FASTEST:,.0f}, found {self.fps:g}")

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

    def at(self, fps: float) -> Motion:
        """The same motion with so many frames per second, from its first frame to its last.

        Raises:
            UserError: they are beyond 0.1 to 10,000, or would be more than a million frames.
        """
        if not SLOWEST <= fps <= FASTEST:
            raise UserError(f"fps: expected {SLOWEST:g} to {FASTEST:,.0f} frames per second, found {fps:g}")
        if fps == self.fps:
            return self
        last = (len(self) - 1) / self.fps
        count = int(last * fps + 1e-6) + 1
        if count > MOST_FRAMES:
            raise UserError(f"fps: expected at most {MOST_FRAMES:,} frames, found {count:,} of {last:.1f} seconds")
        return replace(self.sample(np.arange(count) / fps), fps=float(fps))

    def sample(self, times: np.ndarray) -> Motion:
        """The poses at any times: rotations by spherical, places by linear interpolation.

        Args:
            times: [N] seconds from the first frame; those beyond an end show that end. What comes back keeps the frames
                per second of this motion.
        """
        if len(self) == 1:
            first = torch.zeros(len(times), dtype=torch.int64)
            return replace(self, **{name: getattr(self, name)[first] for name in _VALUES})
        own = np.arange(len(self)) / self.fps
        times = np.clip(times, 0, own[-1])
        joints = torch.cat([self.global_orient, self.body_pose], 1).reshape(len(self), -1, 3).double().numpy()
        turned = np.stack(
            [Slerp(own, Rotation.from_rotvec(joint))(times).as_rotvec() for joint in joints.swapaxes(0, 1)]
        )
        turned = torch.from_numpy(turned.swapaxes(0, 1).reshape(len(times), -1)).to(self.body_pose)
        transl = [np.interp(times, own, axis) for axis in self.transl.double().numpy().T]
        return replace(
            self,
            global_orient=turned[:, :3],
            body_pose=turned[:, 3:],
            transl=torch.from_numpy(np.stack(transl, 1)).to(self.transl),
        )

    def at_frames(self, frames: np.ndarray) -> Motion:
        """Some of the frames by position, in any order and as often as they are named."""
        chosen = torch.from_numpy(frames)
        return replace(self, **{name: getattr(self, name)[chosen] for name in _VALUES})

    def first(self, count: int) -> Motion:
        """At most so many frames from the beginning."""
        return replace(self, **{name: getattr(self, name)[:count] for name in _VALUES})


_VALUES = ("global_orient", "body_pose", "transl")
