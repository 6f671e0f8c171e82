"""`python -m benchmarks.layers`: whole layers and the whole model, ours and PyG's, against the bars that we set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from benchmarks import graphs
from benchmarks.attention_problem import AttentionProblem, Case
from benchmarks.bars import write_entries
from benchmarks.layer_cases import LAYERS, LayerCase, runnable
from benchmarks.layer_problem import SeveralProblems, label
from benchmarks.layer_work import must_do
from benchmarks.layers_report import ALONE, CHIEF, HALF, Entry, Table, add_floors, draw_entries, judge, print_entries
from benchmarks.peers import LEFT_OUT
from benchmarks.report import Progress
from benchmarks.suite import Limits, run_case
from benchmarks.timing import machine
from benchmarks.workers import start_workers
from benchmarks.yardsticks import measure_floors
from hgg_pyg.attention import variants
from hgg_pyg.config import (
    Channels,
    GaussianCount,
    Hops,
    Layers,
    Processes,
    Repeats,
    VertexCount,
    check_choices,
    check_heads,
)
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command

_MODEL_LIMITS = Limits(slow_s=100, patience_s=30)


@dataclass(frozen=True)
class LayersBenchmark:
    """What to measure: layers, projections included; their growth; the skew; a model of L layers."""

    device: Literal["cpu", "cuda"] = "cpu"
    """device to measure on"""
    edges: GaussianCount = 524_288
    """E, edges from Gaussians (the paper: 8 x 65,536)"""
    targets: VertexCount = graphs.VERTICES
    """N, vertices"""
    features: Channels = 128
    """C, features per Gaussian"""
    hidden_channels: Channels = 128
    """D, width of queries"""
    heads: Channels = 8
    """H, heads"""
    hops: Hops = 2
    """largest distance of neighbours on the mesh, in edges"""
    num_layers: Layers = 6
    """L, layers of the model"""
    growth: tuple[GaussianCount, ...] = (65_536, 131_072, 262_144, 524_288, 1_048_576, 2_097_152)
    """values of E for the growth of the folded layer"""
    repeats: Repeats = 7
    """samples per time, after a warm-up; half as many for the model"""
    threads: Processes = field(default_factory=torch.get_num_threads)
    """threads of torch and numba"""
    quick: bool = False
    """an eighth of the edges, three samples, two layers: a few minutes"""
    out: Path = Path("benchmarks/results/layers.csv")
    """table to write; bars and plots go beside it"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_heads(self.heads, self.hidden_channels)

    def sized(self) -> LayersBenchmark:
        """What is measured in the end, `quick` taken into account."""
        if not self.quick:
            return self
        growth = tuple(edges // 8 for edges in self.growth)
        return replace(
            self, quick=False, edges=self.edges // 8, growth=growth, repeats=min(3, self.repeats), num_layers=2
        )


@dataclass(frozen=True)
class _Step:
    """Cases that are measured by turns."""

    table: Table
    cases: tuple[LayerCase, ...]
    names: Sequence[str]
    repeats: int
    limits: Limits = field(default_factory=Limits)


def plan(config: LayersBenchmark) -> list[_Step]:
    """The layers that are measured."""
    chief = LayerCase(edges=config.edges, targets=config.targets, features=config.features, heads=config.heads,
                      hidden_channels=config.hidden_channels, hops=config.hops, num_layers=config.num_layers,
                      device=config.device)  # fmt: skip
    inter = [name for name, layer in LAYERS.items() if not layer.fold]
    few = ["scatter", CHIEF, "TransformerConv"]
    model = ["scatter", CHIEF, HALF, "TransformerConv", "anemoi"]
    repeats = config.repeats
    return [
        _Step("intra", (chief,), list(LAYERS), repeats),
        _Step("pixel order", (replace(chief, shuffled=True),), few, repeats),
        _Step("inter", (replace(chief, kind="inter", shuffled=True),), inter, repeats),
        _Step("growth", tuple(replace(chief, edges=edges) for edges in config.growth), [CHIEF], repeats),
        _Step("skew", tuple(replace(chief, skew=skew) for skew in graphs.SKEWS), few, repeats),
        _Step("model", (replace(chief, kind="model"),), model, (repeats + 1) // 2, _MODEL_LIMITS),
    ]


def main(config: LayersBenchmark) -> None:
    """Check whole layers against float64, time them, and write tables, plots and whether the bars are reached."""
    config = config.sized()
    about = machine(config.device, config.threads)
    try_folder(config.out.parent, "--out")
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    reasons = {name: layer.missing(config.device) for name, layer in LAYERS.items()} | LEFT_OUT
    for name, why in reasons.items():
        if why is not None:
            print(f"not measured: {name} {why}")
    intra = Case(edges=config.edges, targets=config.targets, heads=config.heads,
                 hidden_channels=config.hidden_channels, device=config.device)  # fmt: skip
    alone = intra, replace(intra, task="inter", edges=0, hops=config.hops, shuffled=True)
    attention = [name for name in ("scatter", "fused") if variants()[name].missing(config.device) is None]
    steps = plan(config)
    total = _weight(alone, attention, config.repeats)
    total += sum(_weight(step.cases, step.names, step.repeats) for step in steps)
    works = [work for step in steps for case in step.cases for name in step.names
             for work in must_do(case, name).values()]  # fmt: skip
    floors_weight = sum(work.bytes / 12e3 + work.flops / 230e3 for work in set(works)) * (config.repeats + 3)
    total += floors_weight
    with start_workers(config.device, config.threads) as workers, Progress(total) as progress:
        entries = []
        for table, case in zip(ALONE, alone, strict=True):
            advance = progress.begin(table, _weight([case], attention, config.repeats))
            found = run_case(workers, AttentionProblem, case, attention, config.repeats, advance)
            entries.append(Entry(table, case, found))
        for step in steps:
            advance = progress.begin(step.table, _weight(step.cases, step.names, step.repeats))
            names = runnable(config.device, step.names)
            labels = [label(index, name) for index in range(len(step.cases)) for name in names]
            found = run_case(workers, SeveralProblems, step.cases, labels, step.repeats, advance, step.limits)
            for index, case in enumerate(step.cases):
                entries.append(Entry(step.table, case, {name: found[label(index, name)] for name in names}))
        advance = progress.begin("floors", floors_weight)
        floors = measure_floors(workers, works, config.device, (config.repeats + 1) // 2, advance)
        settings = [worker.setting for worker in workers]
    entries = [add_floors(entry, floors) for entry in entries]
    bars = judge(entries, settings) if config.device == "cpu" else []  # what we ask, we ask of a CPU
    write_entries(config.out, entries, bars, about)
    print_entries(entries, bars, settings)
    plots = draw_entries(entries, settings, config.out)
    print(f"{config.out}; {', '.join(path.name for path in plots)}")


def _weight(cases: Sequence[LayerCase | Case], names: Sequence[str], repeats: int) -> float:
    """About how long cases take, in any unit: the progress bar's."""
    kinds = {"intra": 1, "inter": 0, "model": 6}
    edges = sum(case.edges * (kinds[case.kind] if isinstance(case, LayerCase) else 1) + 100_000 for case in cases)
    return edges * (repeats + 4) * len(names)


if __name__ == "__main__":
    run_command(LayersBenchmark, main)
