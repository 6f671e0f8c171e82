"""What `benchmarks.layers` shows of its results: ratios, plots, and the bars that the project set itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.attention_problem import Case
from benchmarks.bars import Bar, print_bars
from benchmarks.floors import Floor, Work
from benchmarks.layer_cases import LayerCase
from benchmarks.layer_work import must_do
from benchmarks.plots import draw_panels, draw_ranking
from benchmarks.report import medians, print_results, speed_up, sweep_panels
from benchmarks.suite import PARTS, Result

BASES = ("scatter", "TransformerConv")  # what others are compared with
CHIEF, HALF = "fold + fused", "fold + fused, bf16"

Table = Literal["intra attention", "inter attention", "intra", "pixel order", "inter", "growth", "skew", "model"]

ALONE: tuple[Table, Table] = ("intra attention", "inter attention")  # keys and values given

_NAMED: dict[Table, str] = {"intra attention": "intra attention alone", "inter attention": "inter attention alone",
                            "intra": "intra layer", "inter": "inter layer", "model": "model"}  # fmt: skip
_WORDS = {"forward": "forward", "forward_backward": "forward + backward"}
_CACHE_BYTES = 64e6  # features larger than this are in no cache: from here on growth is that of reading memory
# At least so many times faster than scatter, forward and forward + backward, under the default allocator and the tuned;
# of several names the fastest counts.
_SPEED_UPS: tuple[tuple[Table, tuple[str, ...], dict[str, tuple[float | None, float]]], ...] = (
    ("intra attention", ("fused",), {"default": (6, 3), "tuned": (4.5, 3)}),
    ("inter attention", ("fused",), {"default": (8, 8), "tuned": (5, 5)}),
    ("intra", (CHIEF, HALF), {"default": (12, 12), "tuned": (12, 10)}),
    ("inter", ("fused",), {"default": (10, 6), "tuned": (10, 6)}),
    ("model", (CHIEF, HALF), {"default": (None, 6), "tuned": (None, 6)}),
)
_MOST_MB, _MOST_GROWTH, _MOST_SKEW = 200, 1.1, 1.5


@dataclass(frozen=True)
class Entry:
    """The results of one case."""

    table: Table
    case: LayerCase | Case
    results: Mapping[str, Result]


def judge(entries: Sequence[Entry], settings: Sequence[str]) -> list[Bar]:
    """What was found of every aim."""
    return [bar for setting in settings for bar in _bars(entries, setting)]


def _bars(entries: Sequence[Entry], setting: str) -> Iterator[Bar]:
    first = {entry.table: entry for entry in reversed(entries)}
    for table, names, asked in _SPEED_UPS:
        results = first[table].results
        for what, ratio in zip(PARTS, asked[setting], strict=True):
            if ratio is None:
                continue
            ratios = [speed_up(results, "scatter", name, what, setting) for name in names]
            found = max((x for x in ratios if x is not None), default=None)
            yield Bar(f"{_NAMED[table]}, {_WORDS[what]}: {' or '.join(names)}, times faster than scatter", setting,
                      ratio, found, True)  # fmt: skip
    measured = first["intra"].results[CHIEF].measured if CHIEF in first["intra"].results else {}
    held = measured[setting].forward_backward_mb if setting in measured else None
    yield Bar(f"intra layer, {CHIEF}: extra peak MB of forward + backward", setting, _MOST_MB, held, False)
    for what in PARTS:
        growth = _growth(entries, what, setting)
        yield Bar(f"growth, {_WORDS[what]}: worst time per edge beside that of a smaller graph, features larger than "
                  "any cache", setting, _MOST_GROWTH, growth, False)  # fmt: skip
    for what in PARTS:
        times = {
            entry.case.skew: entry.results[CHIEF].median(what, setting)
            for entry in entries
            if entry.table == "skew" and CHIEF in entry.results
        }
        half, even = times.get("half"), times.get("even")
        ratio = half / even if half and even else None
        yield Bar(f"one vertex with half of the edges, {_WORDS[what]}: time beside that of equal degrees", setting,
                  _MOST_SKEW, ratio, False)  # fmt: skip


def _growth(entries: Sequence[Entry], what: str, setting: str) -> float | None:
    """The largest ratio of a size's time per edge to that of a smaller size; 1 is linear, below 1 better."""
    cost = []
    for entry in entries:
        if entry.table != "growth" or not isinstance(entry.case, LayerCase) or CHIEF not in entry.results:
            continue
        took = entry.results[CHIEF].median(what, setting)
        if took is not None and 4 * entry.case.edges * entry.case.features > _CACHE_BYTES:
            cost.append(took / entry.case.edges)
    ratios = [later / earlier for i, earlier in enumerate(cost) for later in cost[i + 1 :]]
    return max(ratios, default=None)


def describe(entry: Entry) -> str:
    """A case in a line."""
    case = entry.case
    if isinstance(case, Case):
        graph = f"E = {case.edges:,}" if case.task == "intra" else f"{case.hops} hops, vertex ids shuffled"
        return (
            f"{case.task} attention alone, {graph}, keys and values given, D = {case.hidden_channels}, H = {case.heads}"
        )
    size = f"N = {case.targets:,}, D = {case.hidden_channels}, H = {case.heads}"
    if case.kind == "inter":
        return f"inter layer, {case.hops} hops, vertex ids shuffled, {size}"
    order = ", Gaussians in pixel order" if case.shuffled else ""
    gaussians = f"E = {case.edges:,}, degrees: {case.skew}, C = {case.features}{order}"
    if case.kind == "model":
        gaussians = f"E = {case.edges:,}, C = {case.features}"
        return f"model, L = {case.num_layers}, read-out of M = {case.readout:,}, {gaussians}, {size}"
    return f"intra layer, {gaussians}, {size}"


def print_entries(entries: Sequence[Entry], bars: Sequence[Bar], settings: Sequence[str]) -> None:
    """Tables with ratios, then the aims with what was found, both settings side by side."""
    for entry in entries:
        print_results(describe(entry), entry.results, settings, BASES)
        _print_floors(entry, settings)
    print_bars(bars, settings)


def add_floors(entry: Entry, floors: Mapping[Work, Floor]) -> Entry:
    """The same results with the floors of what our fused layers must do."""
    case = entry.case
    if not isinstance(case, LayerCase):
        return entry
    results = {
        name: replace(result, floors={part: floors[work] for part, work in must_do(case, name).items()})
        for name, result in entry.results.items()
    }
    return replace(entry, results=results)


def _print_floors(entry: Entry, settings: Sequence[str]) -> None:
    """What each of our fused layers must do, how long as much takes by itself, and how far the layer is from that."""
    rows = [(name, part, floor) for name, result in entry.results.items() if result.measured
            for part, floor in result.floors.items()]  # fmt: skip
    if not rows:
        return
    titles = "".join(f"{f'read / copy / GEMM ms, {s}':>34}{'floors taken':>14}" for s in settings)
    print(f"{'what it must do':42}{'MB':>8}{'GFLOP':>8}{titles}")
    for name, part, floor in rows:
        cells = ""
        for setting in settings:
            times, least = floor.times.get(setting, {}), floor.least(setting)
            took = entry.results[name].median(part, setting)
            cells += f"{' / '.join(f'{ms:.2f}' for ms in times.values()):>34}"
            cells += f"{f'{took / least:.1f}x' if took and least else '-':>14}"
        work = floor.work
        print(f"{f'{name}, {_WORDS[part]}':42}{work.bytes / 1e6:8.1f}{work.flops / 1e9:8.2f}{cells}")


def _floors(entry: Entry, what: str, settings: Sequence[str]) -> dict[str, dict[str, float]]:
    """As `medians`, of the floors."""
    found = {}
    for name, result in entry.results.items():
        if what in result.floors:
            times = {setting: result.floors[what].least(setting) for setting in settings}
            found[f"(floor of {name})"] = {setting: ms for setting, ms in times.items() if ms is not None}
    return found


def draw_entries(entries: Sequence[Entry], settings: Sequence[str], out: Path) -> list[Path]:
    """Rank the layers and the floors of ours, plot growth and skew as lines; returns the files, named after `out`."""
    tables = {
        f"{describe(entry)}: {_WORDS[what]}": medians(entry.results, what, settings) | _floors(entry, what, settings)
        for entry in entries
        if entry.table in ("intra", "inter", "model")
        for what in PARTS
    }
    paths = [out.with_suffix(".png"), *(out.with_name(f"{out.stem}_{table}.png") for table in ("growth", "skew"))]
    draw_ranking(paths[0], "Whole layers, median ms", tables)
    growth = [(entry.case.edges, entry.results) for entry in entries if entry.table == "growth"]
    draw_panels(paths[1], f"Intra layer, {CHIEF}, features frozen", sweep_panels("edges E", growth, settings))
    skew = [(entry.case.skew, entry.results) for entry in entries if entry.table == "skew"]
    points = [(word, {n: r for n, r in results.items() if n in (*BASES, CHIEF)}) for word, results in skew]
    draw_panels(paths[2], "Intra layer under other degrees", sweep_panels("degrees", points, settings))
    return paths
