"""`python -m benchmarks.attention`: every variant of attention along edges, checked, then timed side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from benchmarks import graphs
from benchmarks.attention_problem import COPY, AttentionProblem, Case, Task, runnable
from benchmarks.attention_report import Entry, described, draw_entries, title
from benchmarks.report import Progress, print_results, speed_up
from benchmarks.suite import Limits, Result, run_case
from benchmarks.timing import machine, write_table
from benchmarks.workers import Worker, start_workers
from hgg_pyg.attention import variants
from hgg_pyg.config import Channels, GaussianCount, Hops, Processes, Repeats, VertexCount, check_choices, check_heads
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError

_BASE = "scatter"  # what others are compared with
_FASTER = 1.1  # times, forward + backward: a variant that beats the base by so much is swept
_QUICK = ("scatter", "buckets", "fused", "pyg_index")
_LIMITS = {"given": Limits(), "folded": Limits(slow_s=4)}  # folded, what keeps E x H x C numbers would take minutes
_EXPECTED, _EXPECTED_SWEPT = 16, 5  # variants of a main case and of a sweep's, for the estimate of the time


@dataclass(frozen=True)
class AttentionBenchmark:
    """What to measure: a main table of all variants, then the fast ones as one size after the other changes."""

    device: Literal["cpu", "cuda"] = "cpu"
    """device to measure on"""
    variants: tuple[str, ...] = ()
    """variants to measure; by default all that run here"""
    task: Literal["both", "intra", "inter"] = "both"
    """intra: Gaussians to vertices; inter: vertices to vertices; or both"""
    edges: GaussianCount = 524_288
    """E, edges of the intra graph, one per Gaussian"""
    targets: VertexCount = graphs.VERTICES
    """N, vertices"""
    skew: graphs.Skew = "body"
    """degrees of the intra graph: those of a person, all equal, or half of all edges at one vertex"""
    hops: Hops = 2
    """largest distance of neighbours on the mesh, in edges"""
    heads: Channels = 8
    """H, heads"""
    hidden_channels: Channels = 128
    """D, width of queries, keys and values over all heads"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """number format of queries, keys and values"""
    sweep_edges: tuple[GaussianCount, ...] = (65_536, 131_072, 262_144, 524_288, 1_048_576, 2_097_152)
    """values of E"""
    sweep_targets: tuple[VertexCount, ...] = (1722, 6890, 27_560)
    """values of N; inter graphs of other sizes than the body's are spheres"""
    sweep_heads: tuple[Channels, ...] = (1, 8, 16)
    """values of H"""
    sweep_dims: tuple[Channels, ...] = (64, 128, 256)
    """values of D"""
    sweep_skews: tuple[graphs.Skew, ...] = graphs.SKEWS
    """values of skew"""
    sweep_variants: tuple[str, ...] = ()
    """variants of the sweeps; by default scatter and those that compute the same faster at the main size"""
    repeats: Repeats = 5
    """samples per time in the main table, after a warm-up"""
    sweep_repeats: Repeats = 3
    """samples per time in the sweeps"""
    threads: Processes = field(default_factory=torch.get_num_threads)
    """threads of torch and numba"""
    quick: bool = False
    """a sixteenth of the edges, few variants, three samples, few sweeps: about two minutes"""
    out: Path = Path("benchmarks/results/attention.csv")
    """table to write; plots go beside it"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_heads(self.heads, self.hidden_channels)

    def sized(self) -> AttentionBenchmark:
        """What is measured in the end, `quick` taken into account."""
        if not self.quick:
            return self
        return replace(
            self,
            quick=False,
            variants=self.variants or _QUICK,
            edges=self.edges // 16,
            sweep_edges=tuple(edges // 16 for edges in self.sweep_edges[1::2]),
            sweep_targets=(),
            sweep_heads=(),
            sweep_dims=(),
            repeats=min(3, self.repeats),
            sweep_repeats=1,
        )


def main_cases(config: AttentionBenchmark) -> dict[Task, list[Case]]:
    """The main table, each task's chief case first."""
    chief = Case(edges=config.edges, targets=config.targets, skew=config.skew, hops=config.hops, heads=config.heads,
                 hidden_channels=config.hidden_channels, dtype=config.dtype, storage=config.dtype,
                 device=config.device)  # fmt: skip
    folded = replace(chief, form="folded")
    intra = [chief, folded]
    if config.dtype == "float32":
        intra.append(replace(folded, storage="bfloat16"))
    inter = replace(chief, task="inter", edges=0, skew="body", shuffled=True)
    tables: dict[Task, list[Case]] = {"intra": intra, "inter": [inter]}
    return {task: cases for task, cases in tables.items() if config.task in (task, "both")}


def sweep_cases(config: AttentionBenchmark, chief: Case) -> dict[str, list[Case]]:
    """What changes, and the cases; the chief one may be among them, and is not measured again."""
    both = [replace(chief, shuffled=shuffled) for shuffled in (False, True)]
    targets = [replace(chief, targets=n) for n in config.sweep_targets]
    if chief.task == "inter":
        return {"hops": [replace(chief, hops=h) for h in (1, 2)], "targets": targets, "shuffled": both}
    return {
        "edges": [replace(chief, edges=e) for e in config.sweep_edges],
        "targets": targets,
        "heads": [replace(chief, heads=h) for h in config.sweep_heads if chief.hidden_channels % h == 0],
        "dim": [replace(chief, hidden_channels=d) for d in config.sweep_dims if d % chief.heads == 0],
        "skew": [replace(chief, skew=s) for s in config.sweep_skews],
        "shuffled": both,
    }


def main(config: AttentionBenchmark) -> None:
    """Check every variant of attention against float64, time it, and write a table and plots."""
    config = config.sized()
    about = machine(config.device, config.threads)
    _check_names(config)
    try_folder(config.out.parent, "--out")
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    _print_graph(config)
    with start_workers(config.device, config.threads) as workers:
        entries = _measure(config, workers)
        settings = [worker.setting for worker in workers]
    rows = [
        {"table": entry.table, **described(entry.case), "variant": name, **result.columns(), **about}
        for entry in entries
        for name, result in entry.results.items()
    ]
    write_table(config.out, rows)
    for entry in entries:
        if entry.table == "main":
            print_results(title(entry.case), entry.results, settings, [_BASE])
    plots = draw_entries(entries, settings, config.out)
    print(f"{config.out}: {len(rows)} rows; {', '.join(path.name for path in plots)}")


def _measure(config: AttentionBenchmark, workers: Sequence[Worker]) -> list[Entry]:
    """The main tables, then the sweeps of what turned out fast in them."""
    mains = main_cases(config)
    sweeps: dict[Task, dict[str, list[Case]]] = {task: sweep_cases(config, mains[task][0]) for task in mains}
    weight = sum(_weight(case, config.repeats, _EXPECTED) for cases in mains.values() for case in cases)
    for task, cut in sweeps.items():
        points = [case for cases in cut.values() for case in cases if case != mains[task][0]]
        weight += sum(_weight(case, config.sweep_repeats, _EXPECTED_SWEPT) for case in points)
    entries: list[Entry] = []
    with Progress(weight) as progress:

        def run(table: str, case: Case, names: Sequence[str], repeats: int, expected: int) -> dict[str, Result]:
            advance = progress.begin(f"{case.task} {case.form} {table}", _weight(case, repeats, expected))
            return run_case(workers, AttentionProblem, case, names, repeats, advance, _LIMITS[case.form])

        for task, cases in mains.items():
            found = {case: run("main", case, _names(config, case), config.repeats, _EXPECTED) for case in cases}
            entries += [Entry("main", case, results) for case, results in found.items()]
            chief = found[cases[0]]
            swept = _swept(config, chief)
            for table, points in sweeps[task].items():
                for case in points:
                    again = case != cases[0]
                    entries.append(Entry(table, case, run(table, case, swept, config.sweep_repeats, _EXPECTED_SWEPT)
                                         if again else {name: chief[name] for name in swept}))  # fmt: skip
    return entries


def _names(config: AttentionBenchmark, case: Case) -> list[str]:
    """The variants that run a case, and the bound."""
    reasons = runnable(case)
    return [name for name in config.variants or reasons if reasons[name] is None] + [COPY]


def _swept(config: AttentionBenchmark, found: Mapping[str, Result]) -> list[str]:
    """The variants of the sweeps: those that were asked for, else the base and what is faster under any setting."""
    ran = [name for name, result in found.items() if result.measured]
    if config.sweep_variants:
        return [name for name in config.sweep_variants if name in ran] + [COPY]

    def fast(name: str) -> bool:
        ratios = [speed_up(found, _BASE, name, "forward_backward", setting) for setting in found[name].measured]
        return found[name].trial.status == "right" and any(ratio is not None and ratio > _FASTER for ratio in ratios)

    alone = _BASE not in ran
    return [name for name in ran if alone or name in (_BASE, COPY) or fast(name)]


def _check_names(config: AttentionBenchmark) -> None:
    """Say which variants do not run here; refuse to go on if they were asked for, or do not exist."""
    reasons = runnable(next(iter(main_cases(config).values()))[0])
    for name in (*config.variants, *config.sweep_variants):
        if name not in variants():
            raise UserError(f"variants: expected some of {', '.join(variants())}; found {name}")
        if reasons[name] is not None:
            raise UserError(f"variants: expected ones that run here; {name} {reasons[name]}")
    for name, why in reasons.items():
        if why is not None and not config.variants:
            print(f"not measured: {name} {why}")


def _print_graph(config: AttentionBenchmark) -> None:
    found = graphs.degree_figures(graphs.intra(config.edges, config.skew, config.targets).degree)
    shape = f"mean {found['mean']:.0f}, median {found['median']:.0f}, 99th percentile {found['p99']:.0f}"
    print(f"degrees of the intra graph: {shape}, largest {found['max']:.0f}, {found['empty']:.0%} of vertices empty")


def _weight(case: Case, repeats: int, names: int) -> float:
    """About how long a case takes, in any unit: the progress bar's."""
    edges = case.edges if case.task == "intra" else 20 * case.targets
    numbers = edges * case.hidden_channels * (4 if case.form == "folded" else 1)
    return (numbers + 5e6) * (repeats + 3) * names


if __name__ == "__main__":
    run_command(AttentionBenchmark, main)
