"""`python -m benchmarks.fit_step`: both sides compute the same, and every part of every case is in the table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from benchmarks.fit_step import OURS, PLAIN, FitCase, FitProblem, FitStepBenchmark, main, plain_torch
from hgg_pyg.body import load_body


def test_both_sides_have_the_same_gradients() -> None:
    problem = FitProblem(FitCase(500, 32, 2, 2), load_body())
    ours = problem.gradients()
    with plain_torch():
        plain = problem.gradients()
    assert len(ours) == 5
    assert not torch.equal(ours[2], plain[2])  # computed by other means
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(FitStepBenchmark(quick=True, out=tmp_path / "fit_step.csv"))
    assert "ms a step" in capsys.readouterr().out
    with (tmp_path / "fit_step.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["by"] for row in rows] == [OURS, PLAIN] * 6
    for row in rows:
        parts = [float(row[f"{part} ms"]) for part in ("residual", "maps", "posing", "rendering", "backward", "Adam")]
        assert min(parts) > 0
        assert sum(parts) <= 3 * float(row["step ms"])
