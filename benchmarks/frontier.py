"""`python -m benchmarks.frontier`: quality against seconds, of a forward pass and of fits that start in three places.

Direct binding, the feed-forward avatar, the fit of `hgg_pyg.refine` from each of the two, and the same fit from
nothing, which is what methods without a network do. Whoever starts at the forward pass fits for so many seconds after
it; the others are given the seconds of the forward pass as well. Scoring is not timed. Novel poses are the capture's;
novel views are drawn in the poses that each method has, as given or mended.

    python -m hgg_pyg.synthesize --out captures/robust_test --subjects 4 --frames 22 --views 8 --size 512 --seed 13
    python -m benchmarks.frontier --data captures/robust_test

Settings that a table already has are measured anew, its others stay: several commands make one table and one picture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.frontier_report import (
    DIRECT_REFINED,
    OPTIMISED,
    REFINED,
    Row,
    describe_bars,
    draw,
    read_rows,
    table,
    write_rows,
)
from benchmarks.timing import machine
from graphs import GraphSpec
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.backbones import make_backbone
from hgg_pyg.config import Bounds, FrameCount, GaussianCount, Pixels, Steps, SubjectCount, ViewCount, check_choices
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.clip_input import graph_of
from hgg_pyg.data.clips import even_frames, input_range, load_target
from hgg_pyg.data.frames import FrameSource, frame_sources
from hgg_pyg.data.mending import mended_source
from hgg_pyg.data.pose_noise import PoseNoise
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.lpips import LPIPS, load_lpips
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.evaluation.reporting.plan import targets_of
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS, TASKS
from hgg_pyg.io.files import try_folder
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.refine import RefineConfig, refine_pass
from hgg_pyg.refine.blank import MOST, optimise
from hgg_pyg.render import render
from hgg_pyg.runtime import run_command
from hgg_pyg.training.run import read_config
from hgg_pyg.training.shipped import SHIPPED
from hgg_pyg.training.trained import load_network
from hgg_pyg.types import BodyPose

Clock = Callable[[], float]
_Seconds = Annotated[float, Bounds(0, 1e5, above=True)]
_CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True)
class FrontierBenchmark:
    """What is fitted, for how long, and to whom."""

    data: tuple[Path, ...] = (Path("captures/robust_test"),)
    """folders of captures"""
    split: Literal["test", "all"] = "all"
    """which of their subjects: all, where the weights have seen none of them"""
    run: Path = SHIPPED
    """folder of the run whose weights are tried; by default those that come with hgg_pyg"""
    sizes: tuple[Pixels, ...] = (128,)
    """longest sides of the images"""
    noises: tuple[Annotated[float, Bounds(0, 90)], ...] = (0.0, 3.0)
    """degrees by which every joint of the input frames is turned at random, and 1/300 m for each of them; test poses
    stay as they are"""
    budgets: tuple[_Seconds, ...] = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
    """seconds of the fits; 600 is what methods without a network are given"""
    input_views: ViewCount = 4
    """input cameras"""
    frames: FrameCount = 8
    """input frames"""
    blank: GaussianCount = MOST
    """Gaussians of the fit from nothing at most, never more than ours: its steps are fast with few"""
    crop: bool = False
    """crop the images to squares around the person"""
    subjects: SubjectCount = 3
    """subjects of each folder at most"""
    images: Steps = 12
    """images a subject and task that are scored, evenly spaced"""
    lpips: bool = True
    """score LPIPS (VGG-16) too, where its network is at hand"""
    clock: Literal["wall", "processor"] = "wall"
    """processor: seconds of this process, for a machine that others use as well; of one thread: OMP_NUM_THREADS=1"""
    out: Path = Path("benchmarks/results/frontier.csv")
    """table to write or to add to, with pictures beside it"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True)
class Setting:
    """One part of the table."""

    data: Path
    size: int
    noise: float  # degrees


@dataclass(frozen=True)
class Point:
    """An avatar, and what it took."""

    method: str
    budget: float  # seconds of the fit; 0 for none
    seconds: float  # with the forward pass
    steps: int
    avatar: BoundAvatar
    poses: BodyPose  # of the input frames


def points(
    source: FrameSource, inputs: Sequence[int], model: HGGNet, spec: GraphSpec, config: FrontierBenchmark
) -> Iterator[Point]:
    """All avatars of one subject: each fit is one of its own, since the last of its steps are smaller ones."""
    clock = _CLOCKS[config.clock]
    starts: dict[str, tuple[BoundAvatar, Callable[[FrameSource], BoundAvatar], FrameSource, float]] = {}
    count = config.blank
    for name, network, frames in ((DIRECT, DirectBinding(), inputs[:1]), (OURS, model, inputs)):
        begin = clock()
        own = mended_source(source, frames, network)
        avatar = _forward(network, frames, spec, own)
        seconds = clock() - begin
        starts[name] = avatar, partial(_forward, network, frames, spec), own, seconds
        count = min(config.blank, len(avatar.gaussians))
        yield Point(name, 0.0, seconds, 0, avatar, own.capture.poses[list(inputs)])
    (direct, bind, given, before), (ours, pass_on, mended, forward) = starts[DIRECT], starts[OURS]
    for budget in sorted(set(config.budgets)):
        wanted = RefineConfig(seconds=budget)
        fit = refine_pass(ours, pass_on, mended, inputs, wanted, not model.mend, clock=clock)
        yield Point(REFINED, budget, forward + fit.seconds, fit.steps, fit.avatar, fit.poses)
        longer = replace(wanted, seconds=budget + max(forward - before, 0))
        fit = refine_pass(direct, bind, given, inputs, longer, clock=clock)
        yield Point(DIRECT_REFINED, budget, before + fit.seconds, fit.steps, fit.avatar, fit.poses)
        fit = optimise(source, inputs, count, replace(wanted, seconds=budget + forward), clock=clock)
        yield Point(OPTIMISED, budget, fit.seconds, fit.steps, fit.avatar, fit.poses)


@torch.no_grad()
def _forward(
    network: HGGNet | DirectBinding, frames: Sequence[int], spec: GraphSpec, source: FrameSource
) -> BoundAvatar:
    return network.avatar(graph_of(source, frames, spec, network))


@torch.no_grad()
def score(
    found: Sequence[Point], source: FrameSource, inputs: Sequence[int], limit: int, lpips: LPIPS | None
) -> dict[str, list[tuple[float, float | None]]]:
    """PSNR (dB) and LPIPS of all avatars of a subject, by task; a task without images is left out."""
    capture, scores = source.capture, {}
    for task in TASKS:
        sums: list[list[tuple[float, float | None]]] = [[] for _ in found]
        for target in targets_of(task, source, inputs, limit):
            cameras, truth, _ = load_target(capture, target)
            for view in range(len(truth)):
                seen = lpips.features(truth[[view]]) if lpips is not None else None
                for row, point in zip(sums, found, strict=True):
                    known = target.frame in inputs
                    pose = point.poses[[inputs.index(target.frame)]] if known else capture.poses[[target.frame]]
                    drawn = render(point.avatar.repose(source.body, pose)[0], cameras[[view]]).rgb.clamp(0, 1)
                    far = None
                    if lpips is not None and seen is not None:
                        far = float(lpips.distance(lpips.features(drawn), seen)[0])
                    row.append((float(psnr(drawn, truth[[view]])[0]), far))
        if sums[0]:
            scores[task] = [
                (
                    float(np.mean([value for value, _ in row])),
                    None if lpips is None else float(np.mean([far for _, far in row if far is not None])),
                )
                for row in sums
            ]
    return scores


def measure(config: FrontierBenchmark, setting: Setting, lpips: LPIPS | None) -> list[Row]:
    """All rows of one setting.

    Raises:
        UserError: captures or weights cannot be opened, or do not fit.
    """
    trained = read_config(config.run)
    body, backbone = load_body_for(setting.data, trained.body), make_backbone(trained.backbone)
    captures = open_captures(setting.data, setting.size, body, config.crop).require(config.split, setting.data)
    sources = frame_sources(captures[: config.subjects], config.input_views, backbone, body, Path("runs/cache"))
    model = load_network(config.run, body, backbone, torch.device("cpu"))
    rows = []
    about = {**machine("cpu", torch.get_num_threads()), "clock": config.clock, "run": config.run.name}
    for source in tqdm(some_usable(sources), desc=_words(setting), unit="subject", leave=False):
        inputs = even_frames(0, input_range(source.capture), config.frames)
        given = source.capture.poses[list(inputs)]
        noisy = PoseNoise(white=setting.noise)(given, np.random.default_rng(0))
        source = replace(source, capture=source.capture.with_poses(source.capture.poses.put(inputs, noisy)))
        _warm_up(source, inputs, model, trained.graph, config)
        load = os.getloadavg()[0]
        total = 2 + 3 * len(set(config.budgets))
        each = points(source, inputs, model, trained.graph, config)
        found = list(tqdm(each, desc=source.capture.name, total=total, unit="avatar", leave=False))
        scores = score(found, source, inputs, config.images, lpips)
        for i, point in enumerate(found):
            (view, view_lpips), (pose, pose_lpips) = (scores[t][i] if t in scores else (None, None) for t in TASKS)
            rows.append(
                Row(
                    data=setting.data.name,
                    size=setting.size,
                    noise=setting.noise,
                    subject=source.capture.name,
                    method=point.method,
                    budget=point.budget,
                    seconds=point.seconds,
                    steps=point.steps,
                    gaussians=len(point.avatar.gaussians),
                    view_psnr=view,
                    pose_psnr=pose,
                    view_lpips=view_lpips,
                    pose_lpips=pose_lpips,
                    load=load,
                    about={name: str(value) for name, value in about.items()},
                )
            )
    return rows


def main(config: FrontierBenchmark) -> tuple[Row, ...]:
    """Fit avatars of unseen people from three starts, and score them over the seconds that it takes."""
    try_folder(config.out.parent, "--out")
    rows = read_rows(config.out)
    lpips = load_lpips() if config.lpips else None
    settings = [Setting(d, s, n) for d in config.data for s in config.sizes for n in config.noises]
    for setting in tqdm(settings, desc="settings", unit="setting", disable=len(settings) < 2):
        found = measure(config, setting, lpips)
        rows = [row for row in rows if row.setting != found[0].setting] + found
        write_rows(config.out, rows)  # what is done is kept
        print(table(found))
    print(describe_bars(rows))
    for path in draw(config.out, rows):
        print(path)
    return tuple(rows)


def _warm_up(
    source: FrameSource, inputs: Sequence[int], model: HGGNet, spec: GraphSpec, config: FrontierBenchmark
) -> None:
    """Have kernels compiled, or loaded, before anything is timed."""
    *_, ours = points(source, inputs, model, spec, replace(config, budgets=()))
    refine_pass(ours.avatar, lambda _: ours.avatar, source, inputs, RefineConfig(seconds=None, steps=2))


def _words(setting: Setting) -> str:
    return f"{setting.data.name}, {setting.size} pixels, {setting.noise:g} degrees"


if __name__ == "__main__":
    run_command(FrontierBenchmark, main)
