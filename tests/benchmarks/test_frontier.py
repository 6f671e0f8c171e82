"""Quality against seconds: a table that several commands fill, what it says against the aims, the pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import frontier
from benchmarks.frontier import FrontierBenchmark
from benchmarks.frontier_report import DIRECT_REFINED, OPTIMISED, REFINED, Row, describe_bars, read_rows, write_rows
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS
from hgg_pyg.types import UserError
from tests.test_inspect import make_run

ROW = Row("people", 128, 0.0, "one", REFINED, 1.0, 1.3, 30, 7000, 30.0, 28.0, None, None, 0.5, {"clock": "wall"})


def test_commands_share_a_table(tiny_captures: Path, body, tmp_path: Path, capsys) -> None:
    config = FrontierBenchmark(
        data=(tiny_captures,), split="test", run=make_run(tiny_captures, tmp_path, body), sizes=(32,), noises=(0.0,),
        budgets=(0.02, 0.01), frames=2, images=1, lpips=False, blank=300, out=tmp_path / "frontier.csv",
    )  # fmt: skip
    first = frontier.main(config)
    places = [(row.method, row.budget) for row in first]
    fits = [(method, budget) for budget in (0.01, 0.02) for method in (REFINED, DIRECT_REFINED, OPTIMISED)]
    assert places == [(DIRECT, 0.0), (OURS, 0.0), *fits]
    found = {(row.method, row.budget): row for row in first}
    forward = found[OURS, 0.0].seconds
    for budget in (0.01, 0.02):  # all are given the seconds of the forward pass
        assert all(found[m, budget].seconds >= budget + forward for m in (REFINED, DIRECT_REFINED, OPTIMISED))
    assert found[OPTIMISED, 0.01].gaussians == min(found[OURS, 0.0].gaussians, 300)
    assert all(row.view_psnr is not None and row.pose_psnr is not None for row in first)
    both = frontier.main(replace(config, noises=(5.0,), budgets=(0.01,)))
    assert list(both[: len(first)]) == read_rows(config.out)[: len(first)]
    assert {row.noise for row in both} == {0.0, 5.0}
    again = frontier.main(replace(config, budgets=(0.01,)))
    assert [row.noise for row in again] == [5.0] * 5 + [0.0] * 5  # measured anew, not twice
    assert f"over {OPTIMISED}" not in capsys.readouterr().out  # asked of a second and more
    assert (tmp_path / "frontier.png").stat().st_size > 1000
    assert not (tmp_path / "frontier_lpips.png").exists()


def test_what_was_asked() -> None:
    rows = [
        replace(ROW, method=method, budget=budget, pose_psnr=psnr)
        for method, budget, psnr in (
            (DIRECT, 0.0, 24.0), (REFINED, 1.0, 28.0), (REFINED, 2.0, 28.5), (REFINED, 10.0, 28.6),
            (OPTIMISED, 0.5, 30.0), (OPTIMISED, 1.0, 27.4), (OPTIMISED, 2.0, 28.1), (OPTIMISED, 10.0, 28.0),
        )
    ]  # fmt: skip
    _, over, soon, late = describe_bars(rows).strip().splitlines()
    assert "missed: +0.60 at 1 s, +0.40 at 2 s, +0.60 at 10 s" in over
    assert "after 2 s: kept: +4.50" in soon
    assert "after 10 s: missed: +4.60" in late


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "frontier.csv"
    assert read_rows(path) == []
    rows = [ROW, replace(ROW, view_psnr=None, pose_lpips=0.0625)]
    write_rows(path, rows)
    assert read_rows(path) == rows
    path.write_text("data,size\npeople,many\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"frontier\.csv: expected a table of benchmarks\.frontier"):
        read_rows(path)
