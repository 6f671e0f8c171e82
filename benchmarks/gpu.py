"""`python -m benchmarks.gpu`: everything that there is to measure on a CUDA device, in the minutes that there are."""

from __future__ import annotations

import sys

from benchmarks.gpu_parts.needs import Job, Plan, build_plans, install_given, work_folder

if __name__ == "__main__":
    install_given(sys.argv[1:])  # before the imports that may need it

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from benchmarks.gpu_parts.captures import capture_plan
from benchmarks.gpu_parts.goals import judge, read_tables
from benchmarks.gpu_parts.parts import PARTS, Part
from benchmarks.gpu_parts.runner import NO_TIME, Outcome, run_parts
from benchmarks.gpu_parts.setting import Setting, card, versions
from benchmarks.gpu_parts.summary import write_summary
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class GpuBenchmark:
    """What to measure, and for how long. Parts run in the order of their value, each as its own process."""

    out: Path
    """folder for a CSV file of each part, written as it goes, and summary.md; captures, logs and what is built go into
    OUT_work beside it"""
    minutes: Annotated[float, Bounds(0, 1e6, above=True)] = 8.0
    """how long all of it may take"""
    parts: tuple[str, ...] = ()
    """parts to run, of tests, attention, layers, render_tests, render, avatar, training_step and training; by default
    all"""
    dry_run: bool = False
    """the same at toy size on a CPU and in Triton's interpreter"""
    build: bool = True
    """build torch_scatter and torch_cluster, if they are missing, and gsplat's kernels, for this card; without, their
    peers are not measured, and all distances replace the nearest-vertex search"""
    wheels: Path | None = None
    """folder of wheels and sources: wheels that are not installed are put into OUT_work first, torch_scatter and
    torch_cluster are built from the sources there"""

    def __post_init__(self) -> None:
        check_choices(self)
        if not self.out.absolute().name:
            raise UserError(f"out: expected a folder with a name, found {self.out}")
        for name in self.parts:
            if name not in PARTS:
                raise UserError(f"parts: expected some of {', '.join(PARTS)}; found {name!r}")
        if self.wheels is not None and not self.wheels.is_dir():
            raise UserError(f"{self.wheels}: expected a folder of wheels, found none")


def main(config: GpuBenchmark) -> None:
    """Test and measure everything on a CUDA device: kernels, layers, rendering, images to avatar, training."""
    until = time.monotonic() + 60 * config.minutes
    if not config.dry_run and not torch.cuda.is_available():
        raise UserError("no CUDA device is usable here; --dry-run does the same at toy size on a CPU")
    work = work_folder(config.out).absolute()
    device = "cpu" if config.dry_run else "cuda"
    setting = Setting(
        part="", out=config.out.absolute(), work=work, device=device, toy=config.dry_run, seconds=0,
        threads=torch.get_num_threads(),
    )  # fmt: skip
    chosen = {name: part for name, part in PARTS.items() if not config.parts or name in config.parts}
    for folder in (setting.out, work):
        try_folder(folder, "--out")
        folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        (setting.out / f"{name}.csv").unlink(missing_ok=True)  # no part's table is another measurement's
    about = {name: value for name, value in versions(setting).items() if name != "built_meanwhile"}
    print(", ".join(f"{name} {value}" for name, value in about.items() if value != ""))
    outcomes: list[Outcome] = []

    def all_outcomes() -> list[Outcome]:
        ended = {outcome.part for outcome in outcomes}
        return outcomes + [
            Outcome(name, part.what, "not run", 0.0) for name, part in chosen.items() if name not in ended
        ]

    jobs = {plan.name: Job(plan, work / "logs" / f"{plan.name}.txt") for plan in _plans(config, setting, chosen)}

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _summarise(setting, about, jobs, all_outcomes())  # now, so that a cut-off run has it

    try:
        run_parts(chosen, setting, jobs.values(), until, report)
    finally:
        for job in jobs.values():
            with contextlib.suppress(OSError):
                job.stop()
        print(_summarise(setting, about, jobs, all_outcomes()))
        print(config.out)
    if all(outcome.outcome == NO_TIME for outcome in outcomes):
        raise UserError(f"minutes: expected enough for one part at least, found {config.minutes:g}")


def _plans(config: GpuBenchmark, setting: Setting, chosen: Mapping[str, Part]) -> list[Plan]:
    """What is made beside the parts that are chosen: captures, and what is missing for this card."""
    wanted = {job for part in chosen.values() for job in part.waits}
    capability = card() if config.build and setting.device == "cuda" else None
    plans = build_plans(setting.work, capability, config.wheels, os.cpu_count() or 1)
    return [plan for plan in (*plans, capture_plan(setting)) if plan.name in wanted]


def _summarise(
    setting: Setting, about: Mapping[str, object], jobs: Mapping[str, Job], outcomes: Sequence[Outcome]
) -> str:
    tables = read_tables(setting.out, PARTS)
    ends = {f"{job.name}, {job.what}": job.outcome for job in jobs.values()}
    return write_summary(setting.out, about, ends, outcomes, tables, judge({} if setting.toy else tables))


if __name__ == "__main__":
    run_command(GpuBenchmark, main)
