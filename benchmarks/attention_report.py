"""What `benchmarks.attention` shows of its results: words about a case, and plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import graphs
from benchmarks.attention_problem import Case
from benchmarks.plots import draw_panels, draw_ranking
from benchmarks.report import medians, sweep_panels
from benchmarks.suite import Result

_ACROSS = {
    "edges": "edges E",
    "targets": "vertices N",
    "heads": "heads H",
    "dim": "width D",
    "hops": "largest distance, mesh edges",
    "skew": "degrees",
    "shuffled": "order of sources",
}


@dataclass(frozen=True)
class Entry:
    """The results of one case."""

    table: str
    """"main", or what changes in the sweep that the case is of"""
    case: Case
    results: Mapping[str, Result]


def described(case: Case) -> dict[str, object]:
    """The columns that tell a case from others; edges are counted."""
    columns = {name: value for name, value in asdict(case).items() if name != "device"}
    if case.task == "inter":
        columns["edges"] = len(graphs.inter(case.hops, case.shuffled, case.targets).source)
        columns["skew"] = None
    else:
        columns["hops"] = None
    return columns


def title(case: Case) -> str:
    """A case in a line."""
    if case.task == "inter":
        where = f"inter, {case.hops} hops, vertex ids {'shuffled' if case.shuffled else 'in order'}"
    else:
        where = f"intra, E = {case.edges:,}, degrees: {case.skew}" + (", in pixel order" if case.shuffled else "")
    form = "keys and values given" if case.form == "given" else f"folded, frozen features in {case.storage}"
    kind = "" if case.dtype == "float32" else f", {case.dtype}"
    return f"{where}, N = {case.targets:,}, D = {case.hidden_channels}, H = {case.heads}, {form}{kind}"


def draw_entries(entries: Sequence[Entry], settings: Sequence[str], out: Path) -> list[Path]:
    """Rank the variants of main tables, and plot each sweep; returns the files, named after `out`."""
    tables = {title(e.case): medians(e.results, "forward_backward", settings) for e in entries if e.table == "main"}
    draw_ranking(out.with_suffix(".png"), "Forward + backward, median ms", tables)
    sweeps: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.table != "main":
            sweeps[entry.case.task, entry.table].append(entry)
    paths = [out.with_suffix(".png")]
    for (task, table), cut in sweeps.items():
        points = [(_place(entry.case, table), entry.results) for entry in cut]
        paths.append(out.with_name(f"{out.stem}_{task}_{table}.png"))
        draw_panels(paths[-1], f"Attention alone, {task}", sweep_panels(_ACROSS[table], points, settings))
    return paths


def _place(case: Case, table: str) -> float | str:
    """Where a case stands on the axis of its sweep."""
    value = getattr(case, table)
    return ("as made" if value else "laid out") if isinstance(value, bool) else value
