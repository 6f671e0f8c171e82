"""`python -m hgg_pyg.precompute`: per-frame Gaussians of a whole data set into a cache, by any number of processes."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hgg_pyg.backbones import Backbone, BackboneConfig, make_backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.config import Pixels, ViewCount, check_choices
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.frames import (
    FrameSource,
    Shard,
    all_shards,
    check_views,
    compute_missing,
    compute_shards,
    frame_sources,
)
from hgg_pyg.data.protocols import ProtocolName
from hgg_pyg.data.usable import some_usable
from hgg_pyg.io.files import try_folder
from hgg_pyg.multiview import FrontConfig, behind_front
from hgg_pyg.processes import join_processes, main_first, wait_for_all
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import DEMO, synthesize
from hgg_pyg.types import UserError

_PAPERS_FRAMES = 120_000

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class PrecomputeConfig:
    """What to compute, and where to keep it. Training with the same options finds it; other options are kept apart."""

    data: Path | None = None
    """folder of captures; when not given, synthetic ones are made in captures/demo (`synthesize` makes others)"""
    splits: Literal["all", "train", "val", "test"] = "all"
    """split to precompute, or all; training samples its clips from train"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) or its folder; by default $HGG_BODY_MODELS, else the open body"""
    image_size: Pixels = 128
    """longest side of the images, in pixels; larger images are shrunk to it"""
    crop: bool = False
    """crop each image to a square around the person, image_size pixels wide"""
    protocol: ProtocolName = "own"
    """own: splits from splits.json, or by order of names; paper: its ten test scans, 60 frames per subject"""
    input_views: ViewCount = 4
    """input cameras of the per-frame network; as clip.input_views of training"""
    cache: Path = Path("runs/cache")
    """folder where per-frame Gaussians are stored"""
    dry_run: bool = False
    """compute a few frames, report the time and disk that all of them need, and stop"""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    front: FrontConfig = field(default_factory=FrontConfig)

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def captures(self) -> Path:
        """Where the captures are."""
        return self.data or DEMO.out


@dataclass(frozen=True)
class Estimate:
    """What is there, and what the rest takes."""

    frames: int
    missing: int
    gaussians: int  # of a frame, the most that one of the first has
    bytes_per_frame: float
    seconds_per_frame: float | None  # of one process; None where nothing had to be computed

    def describe(self, cache: Path, free: int, processes: int) -> str:
        """One line for the log."""
        size, left = self.frames * self.bytes_per_frame, self.missing * self.bytes_per_frame
        said = (
            f"{cache}: {self.frames - self.missing:,} of {self.frames:,} frames are there; about {self.gaussians:,} "
            f"Gaussians and {self.bytes_per_frame / 1e6:.3g} MB per frame, {gigabytes(size)} in all"
        )
        if self.seconds_per_frame is None or not self.missing:
            return said
        took = duration(self.missing * self.seconds_per_frame / processes)
        many = "1 process" if processes == 1 else f"{processes} processes"
        return f"{said}; to go: {gigabytes(left)} of {gigabytes(free)} free, about {took} with {many}"


def main(config: PrecomputeConfig) -> None:
    """Compute per-frame Gaussians of a data set where training finds them, on as many processes as are launched."""
    accelerator = join_processes()
    main_process, processes = accelerator.is_main_process, accelerator.num_processes
    body, device = load_body_for(config.data, config.body), accelerator.device
    backbone = behind_front(make_backbone(config.backbone, device), config.front, config.cache, device)
    check_views(backbone, config.input_views)
    try_folder(config.cache, "--cache")
    if main_process and config.data is None:
        synthesize(DEMO)
    wait_for_all(accelerator)
    sources = _sources(config, body, backbone, main_process)
    begin, there = time.perf_counter(), _count(_present(all_shards(sources)))
    main_first(accelerator, lambda: _estimate(config, sources, processes))
    if not config.dry_run:
        compute_missing(sources, (accelerator.process_index, processes))
        wait_for_all(accelerator)
        if main_process:
            log.info("%s", summary(sources, there, time.perf_counter() - begin))
            some_usable(sources)
    accelerator.end_training()


def measure(sources: Sequence[FrameSource]) -> Estimate:
    """Compute the first shard that is missing, and from it and those that are there say what the others take.

    Raises:
        UserError: a file is broken, or the cache cannot be written.
    """
    shards = all_shards(sources)
    seconds = None
    if missing := [shard for shard in shards if not shard.path.is_file()]:
        missing[0].source.predict(missing[0].frames[0])  # the first time is longer: kernels are loaded
        begin = time.perf_counter()
        compute_shards(missing[:1], quiet=True)
        seconds = (time.perf_counter() - begin) / len(missing[0].frames)
    present = _present(shards)
    first = present[0]
    return Estimate(
        frames=_count(shards),
        missing=_count(shards) - _count(present),
        gaussians=max(len(first.source.load(frame)) for frame in first.frames),
        bytes_per_frame=_bytes_per_frame(present),
        seconds_per_frame=seconds,
    )


def summary(sources: Sequence[FrameSource], there: int, seconds: float) -> str:
    """What was done, and what a data set of the paper's size would take.

    Args:
        sources: all of them, computed.
        there: how many of their frames were there before.
        seconds: that the others took.
    """
    shards = all_shards(sources)
    computed, each = _count(shards) - there, _bytes_per_frame(shards)
    paper = f"{_PAPERS_FRAMES:,} frames like these, as many as the paper has: {gigabytes(_PAPERS_FRAMES * each)}"
    if not computed:
        return f"all {there:,} frames were there, {each / 1e6:.3g} MB each; {paper}"
    return (
        f"{computed:,} frames in {duration(seconds)}, {computed / seconds:.3g} a second, {each / 1e6:.3g} MB each; "
        f"{paper} and {_PAPERS_FRAMES * seconds / computed / 3600:.3g} hours"
    )


def duration(seconds: float) -> str:
    """In words: 8 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def gigabytes(size: float) -> str:
    """A number of bytes in units of 10^9."""
    return f"{size / 1e9:,.0f} GB" if size >= 1e11 else f"{size / 1e9:.3g} GB"


def _sources(
    config: PrecomputeConfig, body: BodyModel, backbone: Backbone, main_process: bool
) -> tuple[FrameSource, ...]:
    captures = open_captures(config.captures, config.image_size, body, config.crop, config.protocol, config.input_views)
    chosen = captures.require(config.splits, config.captures)
    if main_process:
        log.info("%s", captures.describe())
    return frame_sources(chosen, config.input_views, backbone, body, config.cache)


def _estimate(config: PrecomputeConfig, sources: Sequence[FrameSource], processes: int) -> None:
    """Log what is to be expected, or refuse what is in the way of it."""
    estimate = measure(sources)
    free = shutil.disk_usage(config.cache).free
    log.info("%s", estimate.describe(config.cache, free, processes))
    needed, more = estimate.missing * estimate.bytes_per_frame, f"{estimate.missing:,} more frames"
    if needed > free:
        found = f"found {gigabytes(free)}"
        raise UserError(f"{config.cache}: expected {gigabytes(needed)} of free disk for {more}, {found}")


def _present(shards: Sequence[Shard]) -> list[Shard]:
    return [shard for shard in shards if shard.path.is_file()]


def _count(shards: Sequence[Shard]) -> int:
    return sum(len(shard.frames) for shard in shards)


def _bytes_per_frame(shards: Sequence[Shard]) -> float:
    return sum(shard.path.stat().st_size for shard in shards) / _count(shards)


if __name__ == "__main__":
    run_command(PrecomputeConfig, main)
