"""The images that a fit compares with: read once, shrunk for coarse steps, some of them held back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.data.clips import Target, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.people import shows_anyone
from hgg_pyg.data.variety import resized
from hgg_pyg.data.windows import person_windows
from hgg_pyg.types import BodyPose, Cameras, UserError

CLOSE = 160  # pixels, the side of the squares in which poses alone are found: a centimetre each


@dataclass(frozen=True)
class Observations:
    """Images of T frames by V cameras."""

    cameras: Cameras  # [T, V]
    rgb: Tensor  # [T, V, H, W, 3] on white
    alpha: Tensor  # [T, V, H, W, 1]
    numbers: tuple[int, ...]  # T, of the frames

    def shrunk(self, longest: int) -> Observations:
        """The same, each block of n x n pixels become one, for the smallest n that brings the longest side there."""
        block = -(-max(self.cameras.width, self.cameras.height) // longest)
        if block == 1:
            return self
        width, height = -(-self.cameras.width // block), -(-self.cameras.height // block)
        Ks = self.cameras.Ks.clone()
        Ks[..., :2, :] /= block
        cameras = replace(self.cameras, Ks=Ks, width=width, height=height)
        return replace(self, cameras=cameras, rgb=_shrink(self.rgb, block, 1.0), alpha=_shrink(self.alpha, block, 0.0))

    def cameras_of(self, frames: list[int], views: list[int]) -> Cameras:
        """Those of some images, by position, each for a scene of its own. [len(frames), 1]"""
        cameras = self.cameras
        viewmats, Ks = cameras.viewmats[frames, views], cameras.Ks[frames, views]
        return replace(cameras, viewmats=viewmats[:, None], Ks=Ks[:, None])

    @property
    def person(self) -> float:
        """Pixels of the person in an image, in the mean."""
        return max(float(self.alpha.mean()) * self.cameras.width * self.cameras.height, 1.0)


def observe(source: FrameSource, frames: Sequence[int], cameras: Sequence[int], device: torch.device) -> Observations:
    """Read the images of some frames (by position) from some cameras (by position).

    Raises:
        UserError: a file is broken, or the masks of a frame show nobody.
    """
    capture = source.capture
    views, rgb, alpha = zip(*(load_target(capture, Target(frame, tuple(cameras))) for frame in frames), strict=True)
    for frame, masks in zip(frames, alpha, strict=True):
        if not shows_anyone(masks):
            where = f"{capture.root}: frame {capture.frames[frame]}"
            raise UserError(f"{where}: expected masks of its input cameras that show the person, found nobody in them")
    numbers = tuple(capture.frames[frame] for frame in frames)
    return Observations(
        Cameras.stack(views).to(device), torch.stack(rgb).to(device), torch.stack(alpha).to(device), numbers
    )


def observe_closely(
    source: FrameSource, frames: Sequence[int], cameras: Sequence[int], device: torch.device
) -> Observations:
    """The same, of squares around the person, `CLOSE` pixels wide or as wide as the largest of them is in its file.

    Raises:
        UserError: as `observe`.
    """
    capture = source.capture.select(list(frames))
    whole = resized(capture, max(capture.file_size))
    windows = person_windows(source.body, capture.poses, whole.cameras)
    side = min(CLOSE, math.ceil(windows[..., 2].max()))
    near = replace(source, capture=resized(capture, side, windows))
    return observe(near, range(len(frames)), cameras, device)


def check_poses(source: FrameSource, frames: Sequence[int], poses: BodyPose) -> None:
    """Refuse poses that are no numbers.

    Raises:
        UserError: the frame and the field.
    """
    for name in ("global_orient", "body_pose", "transl"):
        bad = (~getattr(poses, name).isfinite()).any(1).nonzero().flatten().tolist()
        if bad:
            where = f"{source.capture.root}: frame {source.capture.frames[frames[bad[0]]]}"
            raise UserError(f"{where}: {name}: expected finite numbers, found NaN or infinity")
    if not poses.betas.isfinite().all():
        raise UserError(f"{source.capture.root}: betas: expected finite numbers, found NaN or infinity")


def _shrink(images: Tensor, block: int, beyond: float) -> Tensor:
    """Means over blocks; what lies beyond the image has one value. [T, V, H, W, C] -> [T, V, ceil H/n, ceil W/n, C]"""
    frames, views, height, width, channels = images.shape
    flat = images.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    flat = F.pad(flat, (0, -width % block, 0, -height % block), value=beyond)
    return F.avg_pool2d(flat, block).permute(0, 2, 3, 1).unflatten(0, (frames, views)).contiguous()
