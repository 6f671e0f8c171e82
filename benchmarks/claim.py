"""`python -m benchmarks.claim`: what Section 7.1's "over 10^6 times more efficient" amounts to, counted and measured.

The paper compares attention between all M T Gaussians, "O(M^2 T^2 D^2)", with that along the graph, O(M T D^2). The
ratio is M T. We count floating-point operations, of which the core of attention needs a number linear in D, and
measure dense attention at sizes that end in seconds, to extrapolate it to all Gaussians, against the graph's attention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import graphs
from benchmarks.attention_problem import AttentionProblem, Case
from benchmarks.check import TOLERANCE, deviation
from benchmarks.layer_cases import LayerCase
from benchmarks.layer_problem import build
from benchmarks.plots import Panel, draw_panels
from benchmarks.report import Progress
from benchmarks.suite import Contestant, Limits, Result, run_case
from benchmarks.timing import machine, write_table
from benchmarks.workers import start_workers
from hgg_pyg.config import Channels, FrameCount, GaussianCount, Processes, Repeats, check_choices, check_heads
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command

_FITTED = 3  # the largest sizes, on which the growth is fitted: small ones are all overhead
_CHECKED = 64  # rows of dense attention that are compared with float64
_PAPERS_RATIO = 1e6


@dataclass(frozen=True)
class ClaimBenchmark:
    """What to count and measure."""

    device: Literal["cpu", "cuda"] = "cpu"
    """device to measure on"""
    gaussians: GaussianCount = 65_536
    """M, Gaussians per frame"""
    frames: FrameCount = 8
    """T, frames"""
    sizes: tuple[GaussianCount, ...] = (2048, 4096, 8192, 16_384, 32_768)
    """numbers of Gaussians for which dense attention is measured"""
    hidden_channels: Channels = 128
    """D, width of features and queries"""
    heads: Channels = 8
    """H, heads"""
    repeats: Repeats = 3
    """samples per time, after a warm-up"""
    threads: Processes = field(default_factory=torch.get_num_threads)
    """threads of torch and numba"""
    quick: bool = False
    """an eighth of the sizes, which leaves less to extrapolate from: about a minute"""
    out: Path = Path("benchmarks/results/claim.csv")
    """table to write; conclusions and plot go beside it"""

    def __post_init__(self) -> None:
        check_choices(self)
        check_heads(self.heads, self.hidden_channels)


@dataclass(frozen=True)
class DenseCase:
    """Attention of some Gaussians among themselves."""

    size: int
    heads: int
    hidden_channels: int
    device: str = "cpu"


class DenseProblem:
    """Dense attention by torch's `scaled_dot_product_attention`, which keeps no matrix where it has a fused kernel."""

    def __init__(self, case: DenseCase) -> None:
        self.device = case.device
        generator = torch.Generator().manual_seed(0)
        shape = (3, 1, case.heads, case.size, case.hidden_channels // case.heads)
        self.query, self.key, self.value = torch.randn(shape, generator=generator).to(case.device)

    def prepare(self) -> None:
        """Nothing: the check computes few rows."""

    def contestant(self, name: str) -> Contestant:
        """Forward only: it is enough to see the growth."""

        def forward() -> Tensor:
            with torch.no_grad():
                return F.scaled_dot_product_attention(self.query, self.key, self.value)

        def check(out: Tensor) -> float:
            rows = torch.linspace(0, self.query.shape[2] - 1, _CHECKED).long()
            query, key, value = (x[0].double() for x in (self.query[:, :, rows], self.key, self.value))
            weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
            return deviation(out[0, :, rows], weights @ value)

        return Contestant(forward, None, check, TOLERANCE[torch.float32])


@dataclass(frozen=True)
class Statement:
    """One line of the conclusion."""

    what: str
    setting: str
    """of the allocator; empty where nothing was measured"""
    value: float


def count(config: ClaimBenchmark, edges: int) -> dict[str, float]:
    """Floating-point operations of a forward pass over E Gaussians on N vertices, multiplying and adding counted apart.

    "dense" and "graph" are the cores with keys and values given; the layers add their projections. A product with the
    keys and one with the values cost 2 D each a pair; folded, each head asks for all C = D features. Projections of one
    node cost 2 D^2 each: queries, keys, values and results.
    """
    n, d, h = graphs.VERTICES, config.hidden_channels, config.heads
    return {
        "dense": 4.0 * edges**2 * d,
        "dense layer": 4.0 * edges**2 * d + 8.0 * edges * d**2,
        "graph": 4.0 * edges * d,
        "graph layer": 4.0 * edges * d + 4.0 * edges * d**2 + 4.0 * n * d**2,
        "graph layer, folded": 4.0 * edges * d * h + 8.0 * n * d**2,
    }


def fit_growth(sizes: Sequence[int], times: Sequence[float]) -> tuple[float, float]:
    """Exponent p and factor c of t = c n^p, by least squares on logarithms."""
    exponent, offset = np.polyfit(np.log(sizes), np.log(times), 1)
    return float(exponent), float(np.exp(offset))


def main(config: ClaimBenchmark) -> None:
    """Count and measure dense attention against the graph's, and say what a factor of 10^6 amounts to."""
    if config.quick:
        config = replace(config, quick=False, sizes=tuple(size // 8 for size in config.sizes))
    about, everything = machine(config.device, config.threads), config.gaussians * config.frames
    sizes = sorted({*config.sizes, everything // 4, everything // 2, everything})
    try_folder(config.out.parent, "--out")
    found: dict[tuple[str, int], Result] = {}
    dense, graph = ([weight * size**p for size in s] for weight, p, s in ((0.4, 2, config.sizes), (2e3, 1, sizes)))
    with start_workers(config.device, config.threads) as workers, Progress(sum(dense) + sum(graph)) as progress:
        for size, weight in zip(config.sizes, dense, strict=True):
            advance = progress.begin(f"dense, {size}", weight)
            case = DenseCase(size, config.heads, config.hidden_channels, config.device)
            found["dense", size] = run_case(
                workers, DenseProblem, case, ["dense"], config.repeats, advance, Limits(slow_s=60)
            )["dense"]
        for size, weight in zip(sizes, graph, strict=True):
            alone = Case(edges=size, heads=config.heads, hidden_channels=config.hidden_channels, device=config.device)
            layer = LayerCase(edges=size, heads=config.heads, hidden_channels=config.hidden_channels,
                              features=config.hidden_channels, device=config.device)  # fmt: skip
            for name, make, case, contestant in (
                ("graph", AttentionProblem, alone, "fused"),
                ("graph layer, folded", build, layer, "fold + fused"),
            ):
                advance = progress.begin(f"{name}, {size}", weight / 2)
                found[name, size] = run_case(workers, make, case, [contestant], config.repeats, advance)[contestant]
        settings = [worker.setting for worker in workers]
    statements = conclude(config, found, settings)
    columns = ({"what": what, "size": size, **result.columns()} for (what, size), result in found.items())
    write_table(config.out, [row | about for row in columns])
    write_table(
        config.out.with_name(f"{config.out.stem}_conclusions.csv"),
        [{"what": s.what, "setting": s.setting, "value": s.value, **about} for s in statements],
    )
    _draw(config, found, settings)
    for statement in statements:
        setting = f" ({statement.setting} allocator)" if statement.setting else ""
        print(f"{statement.value:12.4g}  {statement.what}{setting}")
    print(f"{config.out}, {config.out.with_suffix('.png').name}")


def conclude(
    config: ClaimBenchmark, found: Mapping[tuple[str, int], Result], settings: Sequence[str]
) -> list[Statement]:
    """The claim by the paper's own formula, by operations and by time."""
    everything = config.gaussians * config.frames
    flops = count(config, everything)
    said = [
        Statement(f"M T at T = {config.frames}: the ratio by the paper's own formula", "", everything),
        Statement(
            f"frames T from which that ratio exceeds {_PAPERS_RATIO:.0e}",
            "",
            int(_PAPERS_RATIO // config.gaussians) + 1,
        ),
        *(Statement(f"operations of {name}, forward", "", number) for name, number in flops.items()),
        Statement("operations of dense over graph, keys and values given", "", flops["dense"] / flops["graph"]),
        Statement("operations of dense layer over graph layer", "", flops["dense layer"] / flops["graph layer"]),
        Statement(
            "operations of dense layer over graph layer, folded",
            "",
            flops["dense layer"] / flops["graph layer, folded"],
        ),
    ]
    for setting in settings:
        times = _times(found, setting)
        dense = times.get("dense", {})
        if len(dense) < 2:
            continue
        sizes = sorted(dense)[-_FITTED:]
        exponent, factor = fit_growth(sizes, [dense[size] for size in sizes])
        seconds = factor * everything**exponent / 1e3
        said += [
            Statement(f"exponent of dense attention's growth, {sizes[0]} to {sizes[-1]} Gaussians", setting, exponent),
            Statement(f"seconds of dense attention over all {everything}, extrapolated, forward", setting, seconds),
            Statement(
                "the same if it grew by an exponent of 2 from the largest size",
                setting,
                dense[sizes[-1]] * (everything / sizes[-1]) ** 2 / 1e3,
            ),
        ]
        for name in ("graph", "graph layer, folded"):
            if (took := times.get(name, {}).get(everything)) is None:
                continue
            said += [
                Statement(f"milliseconds of {name} over all {everything}, measured, forward", setting, took),
                Statement(f"time of dense attention over {name}", setting, 1e3 * seconds / took),
            ]
            if len(times[name]) > 1:
                largest = sorted(times[name].items())[-_FITTED:]
                growth, _ = fit_growth(*zip(*largest, strict=True))
                ends = f"{largest[0][0]} to {largest[-1][0]} Gaussians"
                said.append(Statement(f"exponent of the growth of {name}, {ends}", setting, growth))
    return said


def _times(found: Mapping[tuple[str, int], Result], setting: str) -> dict[str, dict[int, float]]:
    """Name to size to forward milliseconds, of what was timed."""
    times: dict[str, dict[int, float]] = {}
    for (name, size), result in found.items():
        if (took := result.median("forward", setting)) is not None:
            times.setdefault(name, {})[size] = took
    return times


def _draw(config: ClaimBenchmark, found: Mapping[tuple[str, int], Result], settings: Sequence[str]) -> None:
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    everything = config.gaussians * config.frames
    for setting in settings:
        for name, times in _times(found, setting).items():
            lines[name, setting] = sorted(times.items())
        dense = lines.get(("dense", setting), [])[-_FITTED:]
        if len(dense) > 1:
            exponent, factor = fit_growth(*zip(*dense, strict=True))
            ends = (dense[-1][0], everything)
            lines["dense, extrapolated", setting] = [(n, factor * n**exponent) for n in ends]
    panel = Panel(f"forward, D = {config.hidden_channels}, H = {config.heads}", "Gaussians M T", "ms", lines)
    draw_panels(config.out.with_suffix(".png"), "Attention among all Gaussians, and along the graph", [panel])


if __name__ == "__main__":
    run_command(ClaimBenchmark, main)
