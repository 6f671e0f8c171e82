"""Per-frame Gaussians of a capture: from the frozen backbone once, then from disk, keyed by what they depend on."""

from __future__ import annotations

import contextlib
import json
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hgg_pyg.backbones import Backbone, Moment
from hgg_pyg.body import BodyModel
from hgg_pyg.config import config_digest
from hgg_pyg.data.capture import Capture, LeftOut
from hgg_pyg.data.choosing import EVEN, choose_frames, looks_of, say_of_one_camera
from hgg_pyg.data.clips import input_range
from hgg_pyg.data.people import NOBODY, frames_with_person, read_masks, shows_person
from hgg_pyg.data.shards import (
    FORMAT,
    FRAMES_PER_SHARD,
    DamagedShard,
    halve,
    read_counts,
    read_frame,
    write_shard,
)
from hgg_pyg.data.views import spread_cameras, upward
from hgg_pyg.io.files import write_text
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.multiview.fronted import FrontedBackbone
from hgg_pyg.types import Gaussians, UserError

ABOUT_FILE = "cache.json"

_COMPUTING = Lock()  # held by a thread that fills a gap it met while reading

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class FrameSource:
    """Gaussians of any frame of one capture: from the cache, else from the backbone and into the cache."""

    capture: Capture
    cameras: tuple[int, ...]  # positions of the input cameras
    backbone: Backbone
    body: BodyModel
    cache: Path
    per_shard: int = FRAMES_PER_SHARD
    stored: Capture | None = None  # the capture with the frames that `usable` left out, as the cache has it

    @property
    def folder(self) -> Path:
        """Where this capture's frames are kept: a name that changes with anything they depend on."""
        form, capture = f"{FORMAT}, {self.per_shard} frames", self.whole.capture
        key = config_digest(form, capture.digest, self.backbone.digest, self.body.digest, " ".join(self.views))
        return self.cache / f"{capture.name}-{key}"

    @property
    def whole(self) -> FrameSource:
        """The same with all frames of the capture."""
        return self if self.stored is None else replace(self, capture=self.stored, stored=None)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The frames that `usable` left out, by reason."""
        return self.capture.left_out[len(self.whole.capture.left_out) :]

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the input cameras."""
        return tuple(self.capture.camera_names[c] for c in self.cameras)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All frames, a few successive ones a file."""
        whole, folder = self.whole, self.folder
        frames = range(len(whole.capture.frames))
        return tuple(Shard(whole, folder, frames[a : a + self.per_shard]) for a in frames[:: self.per_shard])

    def path(self, frame: int) -> Path:
        """The file that holds a frame (by position). It exists only when it is whole."""
        return self._shard(frame).path

    def load(self, frame: int) -> Gaussians:
        """Gaussians of a frame (by position), features included. [M] Threads may call it side by side.

        A shard that is missing is computed; so is a damaged one, and the log says so. M is 0 as of `predict`.

        Raises:
            UserError: a file is broken, or the cache cannot be written.
        """
        shard, number = self._shard(frame), self.capture.frames[frame]
        try:
            return read_frame(shard.path, number)
        except FileNotFoundError:
            pass
        except DamagedShard as error:
            log.warning("%s; it is computed anew", error)
        with _COMPUTING:
            with contextlib.suppress(FileNotFoundError, DamagedShard):  # another thread was here first
                return read_frame(shard.path, number)
            compute_shards([shard], quiet=True)
        return read_frame(shard.path, number)

    def moment(self, frame: int, masks: Tensor | None = None) -> Moment:
        """What the backbone is given of a frame (by position); the masks are read with the images if not given."""
        capture, cameras = self.capture, list(self.cameras)
        posed = self.body.pose(capture.poses[[frame]])

        def read() -> tuple[Tensor, Tensor]:
            images = torch.from_numpy(np.stack([capture.image(frame, c) for c in cameras]))
            return images, read_masks(capture, frame, cameras) if masks is None else masks

        return Moment(
            subject=capture.name,
            frame=capture.frames[frame],
            cameras=capture.views(frame, cameras),
            vertices=posed.vertices[0],
            vertex_transforms=posed.vertex_transforms[0],
            faces=self.body.faces,
            read=read,
            up=torch.from_numpy(upward(capture)).float(),
        )

    @one_thread()
    def predict(self, frame: int) -> Gaussians:
        """The backbone's Gaussians of a frame (by position), past the cache, the same for any number of threads. [M]

        M is 0 where the backbone lacks a file, or its masks show nobody where the body is.

        Raises:
            UserError: a file is broken.
        """
        if self.lacking(frame) is None:
            masks = read_masks(self.capture, frame, self.cameras)
            moment = self.moment(frame, masks)
            if shows_person(masks, moment.vertices, moment.cameras):
                return self.backbone(moment)
        return Gaussians.none(self.backbone.feature_dim)

    def lacking(self, frame: int) -> str | None:
        """What the backbone lacks of a frame (by position), as far as that is known without its images."""
        lacks = self.backbone.lacking(self.capture.name, self.capture.frames[frame])
        if lacks is None and isinstance(self.backbone, FrontedBackbone):
            return self.backbone.unfit(self.moment(frame))
        return lacks

    def predict_all(self, frames: Sequence[int]) -> list[Gaussians]:
        """What `predict` gives of each of some frames, computed side by side.

        Raises:
            UserError: a file is broken.
        """
        with side_by_side(self.backbone) as pool:
            return list(pool.map(self.predict, frames))

    def describe(self) -> None:
        """Say beside the shards what made them, for people who look; nothing reads it."""
        about = {
            "capture": self.capture.name,
            "folder": str(self.capture.root),
            "frames": len(self.capture.frames),
            "frames_per_shard": self.per_shard,
            "image_size": list(self.capture.size()),
            "views": self.views,
            "backbone": f"{type(self.backbone).__name__} {self.backbone.digest}",
            "body": self.body.digest,
            "format": FORMAT,
        }
        file = self.folder / ABOUT_FILE
        write_text(file, json.dumps(about, indent=1))

    def usable(self) -> FrameSource:
        """The same without the frames that have no Gaussians, which `left_out` names; itself where all have some.

        Of frames in the cache only headers are read, of others the masks. There may be no frame left.
        """
        numbers = self.capture.frames
        counts = self._counts()
        unknown = [frame for frame, number in enumerate(numbers) if number not in counts]
        reasons = {frame: self.lacking(frame) for frame in unknown}
        unsure = [frame for frame in unknown if reasons[frame] is None]
        seen = set(frames_with_person(self.capture, self.cameras, self.body, unsure))
        empty: dict[str, list[int]] = {}
        for frame, number in enumerate(numbers):
            if not counts.get(number, frame in seen):
                empty.setdefault(self.lacking(frame) or NOBODY, []).append(frame)
        if not empty:
            return self
        out = [LeftOut("frame", tuple(str(numbers[f]) for f in found), reason) for reason, found in empty.items()]
        lost = set().union(*empty.values())
        capture = self.capture.select([frame for frame in range(len(numbers)) if frame not in lost])
        capture = replace(capture, left_out=(*self.capture.left_out, *out))
        return replace(self, capture=capture, stored=self.whole.capture)

    def _counts(self) -> dict[int, int]:
        """How many Gaussians the frames have that are in the cache, by frame number."""
        counts: dict[int, int] = {}
        for shard in self.shards:
            with contextlib.suppress(FileNotFoundError, DamagedShard):
                counts |= read_counts(shard.path)
        return counts

    def _shard(self, frame: int) -> Shard:
        whole = self.whole
        position = bisect_left(whole.capture.frames, self.capture.frames[frame])
        first = position - position % self.per_shard
        return Shard(whole, self.folder, range(len(whole.capture.frames))[first : first + self.per_shard])


@dataclass(frozen=True)
class Shard:
    """A file with a few successive frames of one source."""

    source: FrameSource
    folder: Path
    frames: range  # positions

    @property
    def path(self) -> Path:
        """The file, named by its first frame's number. It exists only when it is whole."""
        return self.folder / f"{self.source.capture.frames[self.frames[0]]:08d}.safetensors"

    def halved(self, frame: int) -> Gaussians:
        """The backbone's Gaussians of a frame (by position) as they are stored. [M]"""
        return halve(self.source.predict(frame), f"{self.path}: frame {self.source.capture.frames[frame]}")


def check_views(backbone: Backbone, input_views: int) -> None:
    """Refuse another number of input cameras than a backbone takes.

    Raises:
        UserError: it needs another one.
    """
    if backbone.views not in (None, input_views):
        front = "--front makes four views of one: " if isinstance(backbone, FrontedBackbone) else ""
        raise UserError(f"input_views: {front}this backbone takes {backbone.views} views, found {input_views}")


def frame_sources(
    captures: Sequence[Capture], input_views: int, backbone: Backbone, body: BodyModel, cache: Path
) -> tuple[FrameSource, ...]:
    """Sources of captures, each with its own evenly spread input cameras.

    Raises:
        UserError: a capture has fewer cameras than `input_views`, or the backbone needs another number of them.
    """
    check_views(backbone, input_views)
    return tuple(FrameSource(c, spread_cameras(c, input_views), backbone, body, cache) for c in captures)


def input_frames(source: FrameSource, count: int, choose: str = EVEN) -> tuple[int, ...]:
    """T frames, by position, of those that may be input: what evaluation makes avatars of. The first is t0.

    Raises:
        UserError: as `choose_frames`.
    """
    return choose_frames(source.capture, source.cameras, input_range(source.capture), count, choose)


def one_camera_of(sources: Sequence[FrameSource]) -> str:
    """What to expect of sources with one camera each, in a line."""
    return say_of_one_camera([looks_of(s.capture, s.cameras, input_range(s.capture)) for s in sources])


def all_shards(sources: Sequence[FrameSource]) -> list[Shard]:
    """The shards of all sources in their order; sources that share a folder count once."""
    different = {source.folder: source for source in sources}
    return [shard for source in different.values() for shard in source.shards]


def compute_missing(sources: Sequence[FrameSource], share: tuple[int, int] = (0, 1)) -> int:
    """Fill the caches, or a process's share of them, with a progress bar on the first process.

    Args:
        sources: the captures; the same ones, in the same order, on every process.
        share: i, n: shards i, i + n, ... of all of them, so that shares do not depend on what is already there.

    Returns:
        how many frames were computed.

    Raises:
        UserError: a file is broken, or the cache cannot be written.
    """
    index, count = share
    missing = [shard for shard in all_shards(sources)[index::count] if not shard.path.is_file()]
    compute_shards(missing, quiet=index > 0)
    return sum(len(shard.frames) for shard in missing)


def compute_shards(shards: Sequence[Shard], quiet: bool = False) -> None:
    """Compute shards and write them, one after another; stopped at any time, those that are finished stay.

    While this thread writes, others compute, a frame each, so that no frame depends on how many they are.

    Raises:
        UserError: a file is broken, or the cache cannot be written.
    """
    if not shards:
        return
    frames = [(shard, frame) for shard in shards for frame in shard.frames]
    ahead = len(shards[0].frames) + torch.get_num_threads()
    bar = tqdm(total=len(frames), desc="per-frame Gaussians", unit="frame", disable=quiet, smoothing=0.05)
    with side_by_side(shards[0].source.backbone) as pool, bar:
        computed = _in_order(pool, lambda item: item[0].halved(item[1]), frames, ahead)
        for shard in shards:
            numbers = shard.source.capture.frames
            write_shard(shard.path, {numbers[frame]: next(computed) for frame in shard.frames})
            if not (shard.folder / ABOUT_FILE).is_file():
                shard.source.describe()
            bar.update(len(shard.frames))


@contextlib.contextmanager
def side_by_side(backbone: Backbone) -> Iterator[ThreadPoolExecutor]:
    """Threads for a frame each: as many as torch uses (our kernels and torch drop the GIL), one for a network on a GPU.

    They are to be started inside, where torch uses one for each; what waits when it ends is not begun.
    """
    pool = ThreadPoolExecutor(torch.get_num_threads() if backbone.one_core else 1)
    try:
        with one_thread():
            yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Results in the order of the items, at most `ahead` of them waiting in memory."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
