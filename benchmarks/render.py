"""`python -m benchmarks.render`: rendering beside gsplat's torch code, and frames per second of an avatar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.bars import write_entries
from benchmarks.render_problem import CUDA, GSPLAT, OURS, POSED, RASTERISERS, PosingProblem, RenderCase, RenderProblem
from benchmarks.render_report import Entry, Table, draw_entries, judge, print_entries
from benchmarks.report import Progress
from benchmarks.suite import Limits, run_case
from benchmarks.timing import machine
from benchmarks.workers import start_workers
from hgg_pyg.config import GaussianCount, Pixels, Processes, Repeats, ViewCount, check_choices
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command

_LIMITS = Limits(slow_s=25, patience_s=15)


@dataclass(frozen=True)
class RenderBenchmark:
    """What to measure: one scene under every rasteriser; then over Gaussians, size, views, threads; then posing."""

    device: Literal["cpu", "cuda"] = "cpu"
    """device to measure on"""
    gaussians: GaussianCount = 65_536
    """Gaussians of the main scene and of the avatar"""
    size: Pixels = 512
    """width and height of the main image, in pixels"""
    small: Pixels = 256
    """width and height of a second image, for which tiles under autograd are timed as well"""
    sweep_gaussians: tuple[GaussianCount, ...] = (4096, 16_384, 65_536, 262_144, 1_048_576)
    """numbers of Gaussians, at the main image size"""
    sweep_sizes: tuple[Pixels, ...] = (128, 256, 512, 1024)
    """image sizes in pixels, at the main number of Gaussians"""
    sweep_views: tuple[ViewCount, ...] = (1, 2, 4, 8)
    """numbers of views of one avatar, at the small image size"""
    threads: Processes = field(default_factory=lambda: os.cpu_count() or 1)
    """threads of a second measurement of the main scene, and of posing; all else runs on one"""
    repeats: Repeats = 5
    """samples per time, after a warm-up"""
    sweep_repeats: Repeats = 2
    """samples per time in the sweeps"""
    quick: bool = False
    """a sixteenth of the Gaussians, a quarter of the size, three samples: about a minute"""
    out: Path = Path("benchmarks/results/render.csv")
    """table to write; bars and plots go beside it"""

    def __post_init__(self) -> None:
        check_choices(self)

    def sized(self) -> RenderBenchmark:
        """What is measured in the end, `quick` taken into account."""
        if not self.quick:
            return self
        return replace(
            self,
            quick=False,
            gaussians=self.gaussians // 16,
            size=self.size // 4,
            small=self.small // 4,
            sweep_gaussians=tuple(count // 16 for count in self.sweep_gaussians),
            sweep_sizes=tuple(size // 4 for size in self.sweep_sizes),
            repeats=min(3, self.repeats),
            sweep_repeats=1,
        )


@dataclass(frozen=True)
class _Step:
    """Cases of a table."""

    table: Table
    cases: tuple[RenderCase, ...]
    names: Sequence[str]
    repeats: int
    problem: Any = field(default=RenderProblem)


def plan(config: RenderBenchmark) -> list[_Step]:
    """What is rendered, by which rasterisers."""
    chief = RenderCase(config.gaussians, config.size, device=config.device)
    if config.device == "cuda":
        everyone, few = [CUDA], [CUDA]
    else:
        everyone, few = [name for name in RASTERISERS if name != CUDA], [OURS, GSPLAT]
    small, sweep = replace(chief, size=config.small), config.sweep_repeats
    posed = [replace(chief, size=size, threads=config.threads) for size in (config.small, config.size)]
    steps = [
        _Step("chief", (chief,), few, config.repeats),
        _Step("chief", (small,), everyone, config.repeats),
        _Step("threads", (replace(chief, threads=config.threads),), few[:1], config.repeats),
        _Step("Gaussians", tuple(replace(chief, gaussians=n) for n in config.sweep_gaussians), few, sweep),
        _Step("size", tuple(replace(chief, size=size) for size in config.sweep_sizes), few, sweep),
        _Step("views", tuple(replace(small, views=views) for views in config.sweep_views), few, sweep),
        _Step("posing", tuple(posed), POSED, config.repeats, PosingProblem),
    ]
    return [step for step in steps if step.cases]


def main(config: RenderBenchmark) -> None:
    """Check rasterisers against float64, time them, and write tables, plots and whether the bars are reached."""
    config = config.sized()
    about = machine(config.device, config.threads)
    try_folder(config.out.parent, "--out")
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    del about["threads"]  # a column of its own
    steps, entries = plan(config), []
    total = sum(_weight(case, step.repeats) for step in steps for case in step.cases)
    with start_workers(config.device, config.threads) as workers, Progress(total) as progress:
        for step in steps:
            for case in step.cases:
                advance = progress.begin(step.table, _weight(case, step.repeats))
                found = run_case(workers, step.problem, case, step.names, step.repeats, advance, _LIMITS)
                entries.append(Entry(step.table, case, found))
        settings = [worker.setting for worker in workers]
    bars = judge(entries, settings) if config.device == "cpu" else []  # what we ask, we ask of a CPU
    write_entries(config.out, entries, bars, about)
    print_entries(entries, bars, settings)
    plots = draw_entries(entries, settings, config.out)
    print(f"{config.out}; {', '.join(path.name for path in plots)}")


def _weight(case: RenderCase, repeats: int) -> float:
    """About how long a case takes, in any unit: the progress bar's."""
    return (case.gaussians + 2 * case.size**2 + 5e4) * case.views * (repeats + 3)


if __name__ == "__main__":
    run_command(RenderBenchmark, main)
