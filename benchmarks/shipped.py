"""`python -m benchmarks.shipped`: the shipped weights against direct binding, over sizes, cameras and frames.

One network for all: PSNR of novel poses of people that it was not trained on, and what it gains over direct binding of
the same Gaussians. A setting where it is worse than direct binding is said so.

    python -m hgg_pyg.synthesize --out captures/robust_test --subjects 4 --frames 22 --views 8 --size 512 --seed 13
    python -m benchmarks.shipped --data captures/robust_test
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.timing import machine, write_table
from hgg_pyg.backbones import make_backbone
from hgg_pyg.config import FrameCount, Pixels, Steps, SubjectCount, ViewCount, check_choices
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.clips import input_range
from hgg_pyg.data.frames import frame_sources
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.evaluator import Extras, evaluate
from hgg_pyg.evaluation.lpips import Network, load_all_lpips
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS, TASKS
from hgg_pyg.io.files import try_folder, write_atomically
from hgg_pyg.runtime import run_command
from hgg_pyg.training.run import read_config
from hgg_pyg.training.shipped import SHIPPED
from hgg_pyg.training.trained import load_network
from hgg_pyg.types import UserError

NOVEL_POSE = TASKS[1]


@dataclass(frozen=True)
class ShippedBenchmark:
    """What the weights are tried on."""

    data: tuple[Path, ...] = (Path("captures/robust_test"),)
    """folders of captures"""
    split: Literal["test", "all"] = "all"
    """which of their subjects: all, where the weights have seen none of them"""
    run: Path = SHIPPED
    """folder of the run whose weights are tried; by default those that come with hgg_pyg"""
    sizes: tuple[Pixels, ...] = (128, 256, 512)
    """longest sides of the images"""
    views: tuple[ViewCount, ...] = (1, 2, 4, 8)
    """numbers of input cameras, where there are as many"""
    frames: tuple[FrameCount, ...] = (1, 4, 8, 16)
    """numbers of input frames, where there are as many"""
    usual_views: ViewCount = 4
    """input cameras where frames or sizes are changed"""
    usual_frames: FrameCount = 8
    """input frames where cameras or sizes are changed"""
    crop: bool = False
    """crop the images to squares around the person"""
    subjects: SubjectCount = 4
    """subjects of each folder at most"""
    images: Steps = 24
    """images a subject that are scored, evenly spaced over novel poses and cameras"""
    whole_grid: bool = False
    """all numbers of cameras with all numbers of frames, not one at a time"""
    out: Path = Path("benchmarks/results/shipped.csv")
    """table to write, with a plot beside it"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True)
class Trial:
    """Means over the subjects of one setting."""

    data: str
    size: int
    views: int
    frames: int
    subjects: int
    gaussians: int  # of one frame of the first subject
    direct: float  # dB
    ours: float
    gain: float
    least_gain: float  # of the subjects
    direct_lpips_alex: float | None  # None without the networks of LPIPS
    ours_lpips_alex: float | None
    direct_lpips_vgg: float | None
    ours_lpips_vgg: float | None


def settings(config: ShippedBenchmark) -> list[tuple[int, int]]:
    """(cameras, frames) to try."""
    if config.whole_grid:
        return [(views, frames) for views in config.views for frames in config.frames]
    pairs = [(views, config.usual_frames) for views in config.views]
    return list(dict.fromkeys([*pairs, *((config.usual_views, frames) for frames in config.frames)]))


def try_setting(config: ShippedBenchmark, data: Path, size: int, views: int, frames: int) -> Trial | None:
    """One setting on one folder; None where it has fewer cameras or frames."""
    trained = read_config(config.run)
    body, backbone = load_body_for(data, trained.body), make_backbone(trained.backbone)
    found = open_captures(data, size, body, config.crop).require(config.split, data)[: config.subjects]
    if min(len(capture.cameras) for capture in found) < views:
        return None
    sources = some_usable(frame_sources(found, views, backbone, body, Path("runs/cache")))
    if min(input_range(source.capture) for source in sources) < frames:
        return None
    model = load_network(config.run, body, backbone, torch.device("cpu"))
    extras = Extras(regions=False, timing=False, shown=0, lpips=load_all_lpips())
    report = evaluate(model, sources, trained.graph, frames, config.images, extras=extras)
    if NOVEL_POSE not in report.tasks:
        raise UserError(f"{data}: expected frames for novel poses, found none")
    scores = {(s.method, s.subject): s.psnr for s in report.scores if s.task == NOVEL_POSE}
    gains = [scores[OURS, source.capture.name] - scores[DIRECT, source.capture.name] for source in sources]

    def perceived(method: str, network: Network) -> float | None:
        return report.mean(NOVEL_POSE, method, f"lpips_{network}") if network in report.lpips else None

    return Trial(
        data=data.name,
        size=size,
        views=views,
        frames=frames,
        subjects=len(sources),
        gaussians=len(sources[0].predict(0)),
        direct=report.mean(NOVEL_POSE, DIRECT, "psnr"),
        ours=report.mean(NOVEL_POSE, OURS, "psnr"),
        gain=float(np.mean(gains)),
        least_gain=min(gains),
        direct_lpips_alex=perceived(DIRECT, "alex"),
        ours_lpips_alex=perceived(OURS, "alex"),
        direct_lpips_vgg=perceived(DIRECT, "vgg"),
        ours_lpips_vgg=perceived(OURS, "vgg"),
    )


def table(trials: Sequence[Trial]) -> str:
    """All settings, and how many of them are worse than direct binding."""
    lines = [f"{'captures':20}{'pixels':>7}{'cameras':>8}{'frames':>7}{'direct':>9}{'ours':>9}{'gain':>8}{'least':>8}"]
    if any(t.ours_lpips_vgg is not None for t in trials):
        lines[0] += f"{'LPIPS':>9}{'(VGG)':>9}"
    for t in trials:
        numbers = f"{t.size:7}{t.views:8}{t.frames:7}{t.direct:9.2f}{t.ours:9.2f}{t.gain:+8.2f}{t.least_gain:+8.2f}"
        seen = (t.direct_lpips_vgg, t.ours_lpips_vgg)
        lines.append(f"{t.data[:19]:20}{numbers}" + "".join(f"{x:9.4f}" for x in seen if x is not None))
    worse = [t for t in trials if t.gain < 0]
    lines.append(f"worse than direct binding: {len(worse)} of {len(trials)} settings")
    return "\n".join(lines)


def draw(path: Path, config: ShippedBenchmark, trials: Sequence[Trial]) -> None:
    """Gains over cameras and over frames, a line for each folder and size."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (("views", "frames", config.usual_frames), ("frames", "views", config.usual_views))
    for place, (across, fixed, usual) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, place)
        lines: dict[str, list[tuple[int, float]]] = {}
        for t in trials:
            if getattr(t, fixed) == usual:
                lines.setdefault(f"{t.data}, {t.size} pixels", []).append((getattr(t, across), t.gain))
        for name, points in lines.items():
            axes.plot(*zip(*sorted(points), strict=True), "o-", label=name, markersize=4)
        axes.axhline(0, color="0.6", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_xlabel("input cameras" if across == "views" else "input frames")
        axes.set_ylabel("gain over direct binding, novel poses, dB")
        axes.set_title(f"{usual} {'cameras' if fixed == 'views' else 'frames'}", fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))


def main(config: ShippedBenchmark) -> tuple[Trial, ...]:
    """Score the shipped weights on captures, over sizes, numbers of cameras and of frames."""
    try_folder(config.out.parent, "--out")
    plan = [(d, s, v, f) for d in config.data for s in config.sizes for v, f in settings(config)]
    found = (try_setting(config, *each) for each in tqdm(plan, desc="settings", unit="setting"))
    trials = tuple(trial for trial in found if trial is not None)
    print(table(trials))
    about = {**machine("cpu", torch.get_num_threads()), "run": config.run.name}
    write_table(config.out, [{**asdict(trial), **about} for trial in trials])
    draw(config.out.with_suffix(".png"), config, trials)
    print(config.out)
    return trials


if __name__ == "__main__":
    run_command(ShippedBenchmark, main)
