"""The shipped weights over sizes, cameras and frames."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import shipped
from benchmarks.shipped import ShippedBenchmark, settings
from tests.test_inspect import make_run


def test_one_row_a_setting_and_what_is_worse_is_said(tiny_captures: Path, body, tmp_path: Path, capsys) -> None:
    run = make_run(tiny_captures, tmp_path, body)
    config = ShippedBenchmark(
        data=(tiny_captures,), split="test", run=run, sizes=(24, 32), views=(1, 2, 8), frames=(1, 2, 4), usual_views=2,
        usual_frames=2, images=2, out=tmp_path / "shipped.csv",
    )  # fmt: skip
    shipped.main(config)
    with (tmp_path / "shipped.csv").open() as file:
        rows = list(csv.DictReader(file))
    places = [(row["size"], row["views"], row["frames"]) for row in rows]
    assert places == [(size, *rest) for size in ("24", "32") for rest in (("1", "2"), ("2", "2"), ("2", "1"))]
    for row in rows:
        assert float(row["gain"]) == pytest.approx(float(row["ours"]) - float(row["direct"]), abs=2e-3)
    worse = sum(float(row["gain"]) < 0 for row in rows)
    assert 0 < worse < 6  # the weights are drawn at random
    assert f"worse than direct binding: {worse} of 6 settings" in capsys.readouterr().out
    assert (tmp_path / "shipped.png").stat().st_size > 1000


def test_the_grid() -> None:
    config = ShippedBenchmark(views=(1, 4), frames=(1, 8))
    assert settings(config) == [(1, 8), (4, 8), (4, 1)]
    assert len(settings(ShippedBenchmark(views=(1, 4), frames=(1, 8), whole_grid=True))) == 4
