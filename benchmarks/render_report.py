"""What `benchmarks.render` shows of its results: ratios, plots, frames per second, and the bars that we set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.bars import Bar, print_bars
from benchmarks.plots import draw_panels
from benchmarks.render_problem import AUTOGRAD, COMPILED_FRAME, FRAME, GSPLAT, OURS, RenderCase
from benchmarks.report import print_results, speed_up, sweep_panels
from benchmarks.suite import Result

Table = Literal["chief", "threads", "Gaussians", "size", "views", "posing"]

_MOST_MB, _LEAST_THREADS = 250, 1.6


@dataclass(frozen=True)
class Entry:
    """The results of one case."""

    table: Table
    case: RenderCase
    results: Mapping[str, Result]


def judge(entries: Sequence[Entry], settings: Sequence[str]) -> list[Bar]:
    """What was found of every aim, under each setting of the allocator."""
    return [bar for setting in settings for bar in _bars(entries, setting)]


def _bars(entries: Sequence[Entry], setting: str) -> Iterator[Bar]:
    chief, small = [entry for entry in entries if entry.table == "chief"]
    for entry, base, what, asked in (
        (chief, GSPLAT, "forward", 12),
        (chief, GSPLAT, "forward_backward", 9),
        (small, AUTOGRAD, "forward", 15),
        (small, AUTOGRAD, "forward_backward", 15),
    ):
        found = speed_up(entry.results, base, OURS, what, setting)
        words = what.replace("_", " + ")
        yield Bar(f"{describe(entry.case)}, {words}: times faster than {base}", setting, asked, found, True)
    measured = chief.results[OURS].measured.get(setting)
    held = measured.forward_backward_mb if measured else None
    yield Bar(f"{describe(chief.case)}: extra peak MB of forward + backward", setting, _MOST_MB, held, False)
    threads = next(entry for entry in entries if entry.table == "threads")
    views = [entry for entry in entries if entry.table == "views"]
    for what in ("forward", "forward_backward"):
        words = what.replace("_", " + ")
        slow, fast = (entry.results[OURS].median(what, setting) for entry in (chief, threads))
        gain = slow / fast if slow and fast else None
        yield Bar(f"{words}: times faster on {threads.case.threads} threads", setting, _LEAST_THREADS, gain, True)
        if not views:
            continue
        ratio = views[-1].case.views / views[0].case.views
        alone, together = (entry.results[OURS].median(what, setting) for entry in (views[0], views[-1]))
        cost = together / alone if alone and together else None
        yield Bar(f"{words}: cost of {ratio:g} views beside that of one", setting, ratio, cost, False)


def describe(case: RenderCase) -> str:
    """A case in a line."""
    many = f", {case.views} views" if case.views > 1 else ""
    threads = "1 thread" if case.threads == 1 else f"{case.threads} threads"
    return f"{case.gaussians:,} Gaussians at {case.size}²{many}, {threads}"


def print_entries(entries: Sequence[Entry], bars: Sequence[Bar], settings: Sequence[str]) -> None:
    """Tables with ratios, frames per second, then the aims with what was found."""
    for entry in entries:
        print_results(f"{entry.table}: {describe(entry.case)}", entry.results, settings, (GSPLAT,))
        if entry.table == "posing":
            for name in (FRAME, COMPILED_FRAME):
                took = [entry.results[name].median("forward", setting) for setting in settings]
                print(f"{name}, frames per second: " + ", ".join(f"{1e3 / ms:.1f}" for ms in took if ms))
    print_bars(bars, settings)


def draw_entries(entries: Sequence[Entry], settings: Sequence[str], out: Path) -> list[Path]:
    """Plot the sweeps; returns the files, named after `out`."""
    sweeps = {"Gaussians": "gaussians", "size": "size", "views": "views"}
    paths = []
    for table, name in sweeps.items():
        chosen = [entry for entry in entries if entry.table == table]
        if not chosen:
            continue
        points = [(getattr(entry.case, name), entry.results) for entry in chosen]
        path = out.with_name(f"{out.stem}_{name}.png")
        many, size = f"{chosen[0].case.gaussians:,} Gaussians", f"{chosen[0].case.size}²"
        title = {"Gaussians": f"Rendering at {size}, one thread", "size": f"Rendering {many}, one thread",
                 "views": f"Several views of {many} at {size}, one thread"}  # fmt: skip
        draw_panels(path, title[table], sweep_panels(table, points, settings))
        paths.append(path)
    return paths
