"""A capture beside a film of an avatar: what the person did, where one of its cameras stood, and what that saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hgg_pyg.avatar.motion import Motion
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.avatar.upright import upright_motion
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.types import Cameras, UserError


@dataclass(frozen=True)
class Filmed:
    """One camera's film of a person, in the upright world of motions."""

    capture: Capture
    camera: int  # by position
    motion: Motion  # as long as the capture, with as many frames per second
    size: tuple[int, int]  # width and height of the pictures, in which the camera's images are as large as they can be

    @property
    def camera_name(self) -> str:
        """What the capture calls the camera."""
        return self.capture.camera_names[self.camera]

    def cameras(self, count: int) -> Cameras:
        """The camera for each of so many pictures, which stays where it is."""
        own, world = self.capture.cameras[[self.camera]], self.motion.from_world
        assert world is not None
        left, top, width, height = self._place()
        fit = torch.tensor([[width / own.width, 0, left], [0, height / own.height, top], [0, 0, 1]])
        viewmats = own.viewmats.float() @ torch.linalg.inv(world)
        return Cameras(viewmats.expand(count, 4, 4), (fit @ own.Ks.float()).expand(count, 3, 3), *self.size)

    def pictures(self, fps: float, count: int, background: Tensor | None = None) -> Iterator[np.ndarray]:
        """What the camera saw, cut out by the masks.

        Args:
            fps: of the film; each picture is the image nearest in time.
            count: of pictures; the last image stays where there are more.
            background: [3] colour; None for transparent pictures.

        Yields:
            [H, W, 3] uint8, or [H, W, 4] where they are transparent.

        Raises:
            UserError: a file is broken.
        """
        shown, last = -1, len(self.capture.frames) - 1
        picture = np.empty(0)
        for number in range(count):
            frame = min(round(number * self.motion.fps / fps), last)
            if frame != shown:
                shown, picture = frame, self._picture(frame, background)
            yield picture

    def _place(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of an image in a picture."""
        own, (width, height) = self.capture.cameras, self.size
        scale = min(width / own.width, height / own.height)
        across, down = max(1, round(own.width * scale)), max(1, round(own.height * scale))
        return (width - across) // 2, (height - down) // 2, across, down

    def _picture(self, frame: int, background: Tensor | None) -> np.ndarray:
        rgb, alpha = self.capture.image(frame, self.camera), self.capture.mask(frame, self.camera)[..., None]
        left, top, across, down = self._place()
        parts = np.concatenate([rgb * alpha, alpha], -1)  # what is mixed with its neighbours has to be of weight alpha
        resized = [
            np.asarray(Image.fromarray(part).resize((across, down), Image.Resampling.BILINEAR))
            for part in np.moveaxis(parts, -1, 0)
        ]
        whole = np.zeros((self.size[1], self.size[0], 4), np.float32)
        whole[top : top + down, left : left + across] = np.stack(resized, -1)
        rgb, alpha = whole[..., :3], whole[..., 3:]
        if background is None:
            shown = np.concatenate([rgb / alpha.clip(1e-6), alpha], -1)
        else:
            shown = rgb + (1 - alpha) * background.numpy()
        return (shown.clip(0, 1) * 255).round().astype(np.uint8)


def film_of(
    capture: Capture, name: str | None, skeleton: Skeleton, fps: float, size: tuple[int, int] | None = None
) -> Filmed:
    """What one camera of a capture filmed.

    Args:
        capture: read whole, not cropped.
        name: of the camera; by default the one most in front of the person.
        skeleton: of who is to move like the person.
        fps: frames per second of the capture.
        size: width and height of the pictures; by default those of the capture's images.

    Raises:
        UserError: the capture has no such camera, or is of another body.
    """
    names = capture.camera_names
    if name is not None and name not in names:
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise UserError(f"--view: expected a camera of {capture.root} ({listed}), found {name!r}")
    camera = spread_cameras(capture, 1)[0] if name is None else names.index(name)
    motion = upright_motion("captured", fps, replace(capture.poses, expression=None), skeleton)
    return Filmed(capture, camera, motion, size or capture.size())
