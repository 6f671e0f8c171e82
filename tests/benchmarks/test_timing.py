"""Measuring: medians by turns, memory, tables."""

import csv
import time

import pytest
import torch

from benchmarks.timing import Spread, extra_peak_mb, interleaved, machine, median_ms, write_table


def test_spread():
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 10.0]) == Spread(1.0, 2.0, 3.0, 4.0, 5)
    assert Spread.of([2.5]) == Spread(2.5, 2.5, 2.5, 2.5, 1)


def test_work_is_timed_by_turns():
    calls = []

    def work(name: str, seconds: float):
        return lambda: (calls.append(name), time.sleep(seconds))

    found = interleaved({"a": work("a", 0.021), "b": work("b", 0.06)}, repeats=3)
    assert "".join(calls[-6:]) == "ababab"
    assert 21 <= found["a"].median < found["b"].median
    assert found["a"].samples == 3


def test_short_work_is_repeated_within_a_sample():
    calls = []
    found = interleaved({"": lambda: (calls.append(0), time.sleep(0.004))}, repeats=2)
    assert len(calls) > 6
    assert found[""].median >= 4


def test_patience_ends():
    calls = []
    found = interleaved({"": lambda: (calls.append(0), time.sleep(0.03))}, repeats=50, patience_s=0.05)
    assert found[""].samples == len(calls) - 2 <= 2
    calls.clear()
    assert interleaved({"": lambda: (calls.append(0), time.sleep(0.03))}, 50, patience_s=0.01)[""].samples == 1
    assert len(calls) == 2


def test_median_ms():
    assert 5 <= median_ms(lambda: time.sleep(0.005), repeats=2) < 500


def test_extra_peak_counts_what_is_held_for_a_while():
    small = extra_peak_mb(lambda: None)
    if small is None:
        pytest.skip("the kernel has no high-water mark that can be reset")
    kept = torch.ones(10_000_000)
    large = extra_peak_mb(lambda: torch.ones(25_000_000).sum())
    assert large is not None
    assert small < 10
    assert 99 < large < 120
    assert len(kept) == 10_000_000


def test_the_machine_is_described():
    found = machine("cpu", 3)
    assert found["device"] == "cpu"
    assert found["threads"] == 3
    assert found["torch"] == torch.__version__
    assert found["cpu"]


def test_tables_have_every_column_and_five_digits(tmp_path):
    path = tmp_path / "new" / "table.csv"
    write_table(path, [{"a": 1.23456789, "b": None, "c": 524_288}, {"a": 2e-9, "d": "x, y"}])
    assert list(csv.DictReader(path.read_text().splitlines())) == [
        {"a": "1.2346", "b": "", "c": "524288", "d": ""},
        {"a": "2e-09", "b": "", "c": "", "d": "x, y"},
    ]
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]
