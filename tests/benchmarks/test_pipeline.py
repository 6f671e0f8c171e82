"""The benchmark of the pipeline, on images so small that only its own work is seen."""

import csv

import pytest
import torch

from benchmarks.floors import Work
from benchmarks.pipeline import PipelineBenchmark, main
from benchmarks.pipeline_report import AVATAR, TRAINING, WHOLE_CLIP, Row, describe, judge
from benchmarks.pipeline_stages import WHOLE_AVATAR
from benchmarks.rates import Rates, count_flops, num_bytes
from benchmarks.timing import Spread
from hgg_pyg.types import Gaussians, UserError


def test_bytes_are_counted_once():
    ones = torch.ones(5, 3)
    gaussians = Gaussians(ones, torch.ones(5, 4), ones.clone(), torch.ones(5), ones.clone())
    assert num_bytes(gaussians) == 4 * 5 * (3 + 4 + 3 + 1 + 3)
    assert num_bytes({"a": [ones, (ones.double(),)], "b": "name", "c": None}) == 3 * 4 * 15
    assert num_bytes(torch.ones(3).expand(100, 3)) == 12
    assert num_bytes(torch.ones(100)[:4]) == 16


def test_the_floor_is_the_larger_time():
    rates = Rates(bytes_per_s=1e9, flops_per_s=1e11)
    assert rates.floor_ms(Work(2_000_000, 100_000_000)) == pytest.approx(2)
    assert rates.floor_ms(Work(2_000_000, 1_000_000_000)) == pytest.approx(10)
    assert count_flops(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7


def test_rates_are_of_this_machine():
    rates = Rates.measure(repeats=1)
    assert 1e8 < rates.bytes_per_s < 1e13
    assert 1e8 < rates.flops_per_s < 1e14


def row(stage: str, ms: float, size: int = 128) -> Row:
    return Row(AVATAR, stage, size, 10, Spread.of([ms]), None, 1, 0, 0.5, None)


def test_aims_are_reached_or_missed():
    rows = [row(WHOLE_AVATAR, 390), row(WHOLE_AVATAR, 1600, 256), row(WHOLE_AVATAR, 9, 64), row(WHOLE_CLIP, 240)]
    assert [(bar.asked, bar.found, bar.verdict) for bar in judge(rows)] == [
        (0.4, 0.39, "reached"),
        (1.5, 1.6, "missed"),
        (4.0, pytest.approx(1e3 / 240), "reached"),
    ]
    assert describe(rows).count("Gaussians per frame") == 4  # a new size, a new title


@pytest.mark.slow
def test_every_stage_is_timed(tiny_captures, tmp_path, capsys, monkeypatch):
    out = tmp_path / "results" / "pipeline.csv"
    monkeypatch.setattr("benchmarks.pipeline.synthesize", lambda wanted: (tmp_path / "24").symlink_to(tiny_captures))
    main(PipelineBenchmark(sizes=(24,), repeats=1, steps=2, captures=tmp_path, out=out))
    rows = list(csv.DictReader(out.read_text().splitlines()))
    parts = {part: [r["stage"] for r in rows if r["part"] == part] for part in (AVATAR, TRAINING)}
    assert parts[AVATAR][-1] == WHOLE_AVATAR
    assert parts[TRAINING][-1] == WHOLE_CLIP
    assert all(float(r["forward_median_ms"]) > 0 and float(r["floor_ms"]) > 0 for r in rows)
    backward = {r["stage"] for r in rows if r["backward_median_ms"]}
    assert backward == {"network", "pose the avatar", "render", "loss"}
    network = next(r for r in rows if r["stage"] == "network")
    assert float(network["gflops"]) > 0
    assert (tmp_path / "results" / "pipeline.png").stat().st_size > 10_000
    assert "training, clips per second" in (tmp_path / "results" / "pipeline_bars.csv").read_text()
    assert WHOLE_AVATAR in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "fast"}, "preset: expected one of demo, paper, recommended, robust, one-camera, found 'fast'"),
        ({"sizes": (8,)}, r"sizes: expected each at least 16, found \(8,\)"),
        ({"sizes": ()}, r"sizes: expected at least one, found none"),
        ({"repeats": 0}, "repeats: expected at least 1, found 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        PipelineBenchmark(**options)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.pipeline.Rates.measure", lambda: pytest.fail("it measures"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*file: expected a folder that can be written"):
        main(PipelineBenchmark(out=tmp_path / "file" / "pipeline.csv"))
