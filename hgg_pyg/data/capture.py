"""A capture: one person filmed by calibrated cameras, a body pose per frame; images are decoded when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.config import config_digest
from hgg_pyg.data.images import Window, read_pixels
from hgg_pyg.data.lens import Lens
from hgg_pyg.types import BodyPose, Cameras


@dataclass(frozen=True)
class ImageFiles:
    """The images, or the masks, of V cameras in F frames."""

    folders: tuple[Path, ...]  # V
    names: tuple[tuple[str, ...], ...]  # V x F; cameras that name their files alike share one row
    labels: bool = False  # masks of body parts: every value but 0 is the person
    white: int | None = (
        None  # of masks of brightness, the value that is all person; None: the largest their files can hold
    )
    inverted: bool = False  # of masks of brightness: black is the person, white the rest

    def path(self, frame: int, camera: int) -> Path:
        """The file of a frame from a camera, both by position."""
        return self.folders[camera] / self.names[camera][frame]

    def select(self, frames: Sequence[int]) -> ImageFiles:
        """Some of the frames, by position."""
        rows = {row: tuple(row[frame] for frame in frames) for row in set(self.names)}
        return replace(self, names=tuple(rows[row] for row in self.names))


@dataclass(frozen=True)
class LeftOut:
    """What a folder has and its capture has not."""

    what: Literal["frame", "camera"]
    names: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        shown = ", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else "")
        return f"{len(self.names)} {self.what}{'s' if len(self.names) > 1 else ''} left out: {self.reason} ({shown})"


@dataclass(frozen=True)
class Capture:
    """F frames of one subject from V cameras, all images of one size."""

    name: str
    root: Path
    layout: str  # which data set's, as it is said to people
    camera_names: tuple[str, ...]  # V
    frames: tuple[int, ...]  # F frame numbers as in the file names, ascending
    cameras: Cameras  # V, of whole images at the size they are read at
    poses: BodyPose  # F rows
    images: ImageFiles
    masks: ImageFiles
    file_size: tuple[int, int]  # (width, height) of the files
    lenses: tuple[Lens, ...] | None  # how the files are distorted; what is read never is
    windows: np.ndarray | None  # [F, V, 3] left, top and side of the square around the person; None: whole images
    window_size: int  # pixels, width and height of a square when it is read
    left_out: tuple[LeftOut, ...]
    digest: str  # of everything a result computed from this capture depends on: the key of a cache
    listing: str  # a digest of the names and sizes of its files, the same wherever they were copied to

    def size(self) -> tuple[int, int]:
        """(width, height) of what `image` and `mask` return."""
        whole = (self.cameras.width, self.cameras.height)
        return whole if self.windows is None else (self.window_size, self.window_size)

    def views(self, frame: int, cameras: Sequence[int]) -> Cameras:
        """Some cameras (by position) as `image` and `mask` show a frame (by position)."""
        chosen = self.cameras[list(cameras)]
        if self.windows is None:
            return chosen
        # From pixels of the image as it would be read whole, to the file's, to those of the square.
        stretch = np.divide(self.file_size, (self.cameras.width, self.cameras.height))
        windows = self.windows[frame, list(cameras)]
        zoom = self.window_size / windows[:, 2]
        change = np.tile(np.eye(3), (len(windows), 1, 1))
        change[:, 0, 0], change[:, 1, 1] = zoom * stretch[0], zoom * stretch[1]
        change[:, :2, 2] = -zoom[:, None] * windows[:, :2]
        Ks = torch.from_numpy(change) @ chosen.Ks.double()
        return replace(chosen, Ks=Ks.to(chosen.Ks), width=self.window_size, height=self.window_size)

    def image(self, frame: int, camera: int) -> np.ndarray:
        """The colours of a frame (by position, not number) from a camera. [H, W, 3] float32 in [0, 1]

        Raises:
            UserError: the file is broken, or of another size.
        """
        return self._read(self.images, "RGB", frame, camera)

    def mask(self, frame: int, camera: int) -> np.ndarray:
        """How much of each pixel the person covers. [H, W] float32 in [0, 1]

        Raises:
            UserError: the file is broken, or of another size.
        """
        return self._read(self.masks, "labels" if self.masks.labels else "L", frame, camera)

    def select(self, frames: Sequence[int]) -> Capture:
        """Some of the frames, by position."""
        kept = list(frames)
        return replace(
            self,
            digest=config_digest(self.digest, str(kept)),
            frames=tuple(self.frames[frame] for frame in kept),
            poses=self.poses[kept],
            images=self.images.select(kept),
            masks=self.masks.select(kept),
            windows=None if self.windows is None else self.windows[kept],
        )

    def with_poses(self, poses: BodyPose) -> Capture:
        """The same images with other poses of all frames.

        Raises:
            ValueError: of another number of frames.
        """
        if len(poses) != len(self.frames):
            raise ValueError(f"poses: expected those of {len(self.frames)} frames, found {len(poses)}")
        parts = (poses.betas, poses.global_orient, poses.body_pose, poses.transl, poses.expression)
        return replace(self, poses=poses.detach(), digest=self._digest_with(parts))

    def with_viewmats(self, viewmats: Tensor) -> Capture:
        """The same images from cameras that stand elsewhere. viewmats: [V, 4, 4] world to camera"""
        return replace(
            self, cameras=replace(self.cameras, viewmats=viewmats.detach()), digest=self._digest_with((viewmats,))
        )

    def _digest_with(self, parts: Sequence[Tensor | None]) -> str:
        numbers = b"".join(part.detach().cpu().numpy().tobytes() for part in parts if part is not None)
        return config_digest(self.digest, hashlib.sha256(numbers).hexdigest())

    def _read(self, files: ImageFiles, mode: Literal["RGB", "L", "labels"], frame: int, camera: int) -> np.ndarray:
        window = None
        if self.windows is not None:
            left, top, side = self.windows[frame, camera].tolist()
            window = Window(left, top, side, side)
        lens = None if self.lenses is None else self.lenses[camera]
        path = files.path(frame, camera)
        return read_pixels(path, mode, self.file_size, self.size(), window, lens, files.white, files.inverted)
