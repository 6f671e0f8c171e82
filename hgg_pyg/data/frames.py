"""Per-frame Gaussians of a capture: from the frozen backbone once, then from disk, keyed by what they depend on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from hgg_pyg.backbones import Backbone, Moment
from hgg_pyg.body import BodyModel
from hgg_pyg.config import config_digest
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.files import write_atomically
from hgg_pyg.types import Gaussians, UserError


@dataclass(frozen=True)
class FrameSource:
    """Gaussians of any frame of one capture: from the cache, else from the backbone and into the cache.

    All but the means are stored in half precision, which is finer than the 8-bit images they come from.
    """

    capture: Capture
    cameras: tuple[int, ...]  # positions of the input cameras
    backbone: Backbone
    body: BodyModel
    cache: Path

    @property
    def folder(self) -> Path:
        """Where this capture's frames are kept: a name that changes with anything they depend on."""
        views = " ".join(self.capture.camera_names[c] for c in self.cameras)
        key = config_digest("frames 1", self.capture.digest, self.backbone.digest, self.body.digest, views)
        return self.cache / f"{self.capture.name}-{key}"

    def path(self, frame: int) -> Path:
        """The file of a frame (by position). It exists only when it is whole."""
        return self.folder / f"{self.capture.frames[frame]:08d}.safetensors"

    def load(self, frame: int) -> Gaussians:
        """Gaussians of a frame (by position), features included. [M]"""
        try:
            stored = load_file(self.path(frame))
        except (FileNotFoundError, SafetensorError):
            self.compute(frame)
            stored = load_file(self.path(frame))
        return Gaussians(**{name: tensor.float() for name, tensor in stored.items()})

    def compute(self, frame: int) -> None:
        """Run the backbone on a frame and store what it gives.

        Raises:
            UserError: as `predict`.
        """
        gaussians = self.predict(frame)
        tensors = {f.name: getattr(gaussians, f.name) for f in fields(Gaussians)}
        stored = {n: (t if n == "means" else t.half()).contiguous() for n, t in tensors.items() if t is not None}
        write_atomically(self.path(frame), lambda path: save_file(stored, path))

    def predict(self, frame: int) -> Gaussians:
        """The backbone's Gaussians of a frame (by position), past the cache. [M]

        Raises:
            UserError: no pixel of the person is seen.
        """
        capture, cameras = self.capture, list(self.cameras)
        posed = self.body.pose(capture.poses[[frame]])

        def read() -> tuple[Tensor, Tensor]:
            images = torch.from_numpy(np.stack([capture.image(frame, c) for c in cameras]))
            return images, torch.from_numpy(np.stack([capture.mask(frame, c) for c in cameras]))

        gaussians = self.backbone(
            Moment(
                subject=capture.name,
                frame=capture.frames[frame],
                cameras=capture.cameras[cameras],
                vertices=posed.vertices[0],
                transforms=posed.transforms[0],
                faces=self.body.faces,
                read=read,
            )
        )
        if len(gaussians) == 0:
            path = capture.mask_paths[frame][cameras[0]]
            raise UserError(f"{path}: expected a person in the masks of frame {capture.frames[frame]}, found none")
        return gaussians


def frame_sources(
    captures: Sequence[Capture], input_views: int, backbone: Backbone, body: BodyModel, cache: Path
) -> tuple[FrameSource, ...]:
    """Sources of captures, each with its own evenly spread input cameras.

    Raises:
        UserError: a capture has fewer cameras than `input_views`, or the backbone needs another number of them.
    """
    if backbone.views not in (None, input_views):
        raise UserError(f"clip.input_views: this backbone takes {backbone.views} views, found {input_views}")
    return tuple(FrameSource(c, spread_cameras(c, input_views), backbone, body, cache) for c in captures)


def compute_missing(sources: Sequence[FrameSource], frames: Iterable[tuple[int, int]] | None = None) -> int:
    """Fill the caches, with a progress bar, on as many threads as torch uses (ray casting and torch drop the GIL).

    Args:
        sources: the captures.
        frames: pairs of source and frame position; every frame of every source by default.

    Returns:
        how many frames were computed.
    """
    wanted = frames or [(s, f) for s, source in enumerate(sources) for f in range(len(source.capture.frames))]
    missing = [(s, f) for s, f in wanted if not sources[s].path(f).is_file()]
    if missing:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            work = pool.map(lambda item: sources[item[0]].compute(item[1]), missing)
            for _ in tqdm(work, total=len(missing), desc="per-frame Gaussians", unit="frame"):
                pass
    return len(missing)
