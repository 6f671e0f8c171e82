"""The benchmark of rendering, on scenes so small that only its own work is seen."""

import csv
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from benchmarks.render import RenderBenchmark, main
from benchmarks.render_problem import AUTOGRAD, GSPLAT, OURS, RenderCase, RenderProblem, trimmed_error
from benchmarks.render_report import Entry, describe, judge
from benchmarks.suite import Measured, Result, Trial, attempt
from benchmarks.tile_lists import tile_lists
from benchmarks.timing import Spread

TINY = RenderCase(gaussians=60, size=32)


def test_tiles_are_listed_front_to_back():
    """On 40 x 20 pixels, in two views; one Gaussian is culled, one is nearer, one touches four tiles."""
    means2d = torch.tensor([[[16.0, 8.0], [8.0, 8.0], [30.0, 10.0]], [[8.0, 8.0], [39.0, 19.0], [8.0, 8.0]]])
    radii = torch.tensor([[[2.0, 2.0], [1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [9.0, 9.0], [1.0, 1.0]]])
    depths = torch.tensor([[2.0, 1.0, 1.0], [3.0, 1.0, 3.0]])
    starts, order = tile_lists(means2d, radii, depths, 40, 20)
    lists = [order[a:b].tolist() for a, b in pairwise(starts)]
    assert lists == [[1, 0], [0], [], [], [], [], [3, 5], [4], [4], [], [4], [4]]


@pytest.mark.parametrize("name", [OURS, GSPLAT, AUTOGRAD])
def test_everyone_renders_the_same(name: str):
    trial = attempt(RenderProblem, TINY, name)
    assert trial.status == "right", trial
    assert trial.deviation is not None
    assert 0 < trial.deviation < 1e-4


def test_a_wrong_image_is_found(monkeypatch):
    monkeypatch.setattr("benchmarks.gsplat_torch.ALPHA_MIN", 0.2)
    assert attempt(RenderProblem, replace(TINY, views=2), GSPLAT).status == "wrong"


def test_the_error_forgives_a_thousandth_of_the_numbers():
    truth = torch.ones(2000, dtype=torch.float64)
    found = truth.clone()
    found[:2] = 100
    assert trimmed_error(found, truth) == 0
    found[2] = 100
    assert trimmed_error(found, truth) > 1


def result(forward: float, forward_backward: float, mb: float = 1) -> Result:
    spreads = [Spread.of([x]) for x in (forward, forward_backward)]
    return Result(Trial("right"), {"default": Measured(spreads[0], spreads[1], mb, mb)})


def test_aims_are_reached_or_missed():
    entries = [
        Entry("chief", TINY, {OURS: result(10, 20, 251), GSPLAT: result(130, 170)}),
        Entry("chief", TINY, {OURS: result(10, 20), AUTOGRAD: result(150, 290)}),
        Entry("threads", replace(TINY, threads=2), {OURS: result(5, 16)}),
        Entry("views", TINY, {OURS: result(10, 20)}),
        Entry("views", replace(TINY, views=8), {OURS: result(70, 170)}),
    ]
    bars = judge(entries, ["default"])
    assert [(bar.verdict, bar.found) for bar in bars] == [
        ("reached", 13.0), ("missed", 8.5),
        ("reached", 15.0), ("missed", 14.5),
        ("missed", 251),
        ("reached", 2.0), ("reached", 7.0),
        ("missed", 1.25), ("missed", 8.5),
    ]  # fmt: skip
    assert len(judge(entries[:3], ["default"])) == 7  # no views were asked for
    assert describe(entries[-1].case) == "60 Gaussians at 32², 8 views, 1 thread"


def test_tables_and_plots_of_a_whole_run(inline_workers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "hgg_pyg.avatar.animator.torch.compile", lambda function, **options: function
    )  # takes half a minute
    out = tmp_path / "render.csv"
    main(RenderBenchmark(gaussians=50, size=32, small=20, sweep_gaussians=(20, 50), sweep_sizes=(16, 32),
                         sweep_views=(1, 2), threads=2, repeats=1, sweep_repeats=1, out=out))  # fmt: skip
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["table"] for row in rows} == {"chief", "threads", "Gaussians", "size", "views", "posing"}
    for row in rows:
        assert row["status"] == ("another operation" if row["table"] == "posing" else "right"), row
        assert float(row["forward_median_ms_default"]) > 0
    bars = list(csv.DictReader((tmp_path / "render_bars.csv").read_text().splitlines()))
    assert {bar["verdict"] for bar in bars} <= {"reached", "missed"}
    for name in ("gaussians", "size", "views"):
        assert (tmp_path / f"render_{name}.png").read_bytes()[:4] == b"\x89PNG"
    shown = capsys.readouterr().out
    assert shown.count("frames per second") == 4
    for bar in bars:
        assert bar["what"] in shown
