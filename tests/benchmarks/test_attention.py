"""`python -m benchmarks.attention` checks before it times, and writes what it found."""

import csv
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.attention import AttentionBenchmark, main, main_cases, sweep_cases
from benchmarks.attention_problem import COPY, AttentionProblem, Case
from benchmarks.suite import Limits, Measured, attempt, forget, measure, run_case
from hgg_pyg.attention import register, registry, variants
from hgg_pyg.attention.methods.scatter import scatter_attention
from hgg_pyg.types import UserError
from tests import python

ROOT = Path(__file__).parents[2]
TINY = Case(edges=300, targets=40, heads=2, hidden_channels=8)


@pytest.fixture
def add_variant(monkeypatch):
    """Put a variant among the others: scatter's, spoiled."""
    monkeypatch.setattr(registry, "_registered", {})  # what is put there is taken away again

    def add(name: str, compute, **changes) -> None:
        register(replace(variants()["scatter"], name=name, compute=compute, **changes))

    yield add
    forget()


def slightly_wrong(query, key, value, edges):
    out = scatter_attention(query, key, value, edges)
    return torch.cat([out[:-1], 1.01 * out[-1:]]) if len(out) else out


class _WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, out):
        return out.clone()

    @staticmethod
    def backward(ctx, grad):
        return 1.01 * grad


def wrong_gradient(query, key, value, edges):
    return _WrongGradient.apply(scatter_attention(query, key, value, edges))


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def assert_image(path: Path) -> None:
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("case", [
    TINY,
    replace(TINY, form="folded"),
    replace(TINY, skew="half", shuffled=True),
    Case(task="inter", targets=60, hops=1, shuffled=True, heads=2, hidden_channels=8),
], ids=["given", "folded", "half", "inter"])  # fmt: skip
def test_right_variants_pass(case):
    for name in ("reference", "scatter"):
        trial = attempt(AttentionProblem, case, name)
        assert (trial.status, trial.deviation is not None and trial.deviation < 1e-4) == ("right", True)
    assert attempt(AttentionProblem, case, COPY).status == "another operation"


@pytest.mark.parametrize("compute", [slightly_wrong, wrong_gradient])
def test_a_wrong_variant_is_refused(add_variant, compute):
    add_variant("spoiled", compute)
    case = replace(TINY, skew="even")  # every target counts
    trial = attempt(AttentionProblem, case, "spoiled")
    assert trial.status == "wrong"
    assert trial.deviation == pytest.approx(0.01, rel=0.05)
    assert not trial.counts


def test_a_half_precision_variant_is_held_against_what_it_was_given():
    case = replace(TINY, dtype="bfloat16", storage="bfloat16")
    trial = attempt(AttentionProblem, case, "scatter")
    assert trial.status == "right"
    assert trial.deviation is not None
    assert trial.deviation > 1e-4


def test_what_fails_says_why(add_variant):
    def lost(query, key, value, edges):
        raise KeyError("lost")

    def greedy(query, key, value, edges):
        return torch.empty(10**15)

    def slow(query, key, value, edges):
        time.sleep(0.02)
        return scatter_attention(query, key, value, edges)

    for name, compute in (("lost", lost), ("greedy", greedy), ("slow", slow)):
        add_variant(name, compute)
    assert attempt(AttentionProblem, TINY, "lost").status == "fails: KeyError: 'lost'"
    assert attempt(AttentionProblem, TINY, "greedy").status == "out of memory"
    assert attempt(AttentionProblem, TINY, "slow", Limits(slow_s=0.01)).status == "takes 0 s"


def test_a_variant_without_backward_is_timed_forward(add_variant):
    def detached(query, key, value, edges):
        return scatter_attention(query, key, value, edges).detach()

    add_variant("forward_only", detached, backward=False)
    assert attempt(AttentionProblem, TINY, "forward_only").status == "right"
    found = measure(AttentionProblem, TINY, ["forward_only"], repeats=1)["forward_only"]
    assert found.forward.median > 0
    assert found.forward_backward is found.forward_backward_mb is None


def test_what_fails_only_beside_others_is_measured_alone(inline_workers, monkeypatch):
    def together(build, case, names, repeats, limits) -> dict[str, Measured]:
        if len(names) > 1 or "late" in names:
            raise MemoryError("not enough")
        return measure(build, case, names, repeats)

    monkeypatch.setattr("benchmarks.suite.measure", together)
    found = run_case(inline_workers, AttentionProblem, TINY, ["scatter", "late"], repeats=1)
    assert set(found["scatter"].measured) == {"default", "tuned"}
    assert not found["late"].measured
    assert "not enough" in found["late"].trial.status


def test_tables_and_plots_of_a_whole_run(inline_workers, add_variant, tmp_path, capsys):
    add_variant("spoiled", slightly_wrong)
    out = tmp_path / "attention.csv"
    main(AttentionBenchmark(
        variants=("scatter", "late", "fused", "mean", "spoiled"), sweep_variants=("scatter", "late"), edges=400,
        targets=60, skew="even", heads=2, hidden_channels=16, hops=1, sweep_edges=(200, 400), sweep_targets=(40, 60),
        sweep_heads=(1,), sweep_dims=(), sweep_skews=("even", "half"), repeats=1, sweep_repeats=1, threads=1,
        out=out,
    ))  # fmt: skip
    rows = read(out)
    given = [row for row in rows if row["table"] == "main" and row["form"] == "given" and row["task"] == "intra"]
    status = {row["variant"]: row["status"] for row in given}
    assert status == {"scatter": "right", "late": "right", "fused": "right", "spoiled": "wrong (default)",
                      "mean": "another operation", COPY: "another operation"}  # fmt: skip
    assert {row["table"] for row in rows} == {"main", "edges", "targets", "heads", "skew", "shuffled", "hops"}
    assert {row["storage"] for row in rows} == {"float32", "bfloat16"}
    for row in rows:
        times = [float(row[f"{what}_{part}_ms_{setting}"] or "nan") for what in ("forward", "forward_backward")
                 for part in ("least", "lower", "median", "upper") for setting in ("default", "tuned")]  # fmt: skip
        if row["variant"] == "spoiled":
            assert all(map(math.isnan, times))
            assert float(row["deviation"]) == pytest.approx(0.01, rel=0.1)
        else:
            assert all(time > 0 for time in times)
        assert int(row["edges"]) > 0
    plots = ["", "_intra_edges", "_intra_targets", "_intra_heads", "_intra_skew", "_intra_shuffled",
             "_inter_hops", "_inter_targets", "_inter_shuffled"]  # fmt: skip
    assert {path.name for path in tmp_path.glob("*.png")} == {f"attention{name}.png" for name in plots}
    for path in tmp_path.glob("*.png"):
        assert_image(path)
    shown = capsys.readouterr().out
    assert "wrong (default), relative error 1.0e-02" in shown


def test_slow_variants_are_not_swept(inline_workers, add_variant, tmp_path):
    def slow(query, key, value, edges):
        time.sleep(0.02)
        return scatter_attention(query, key, value, edges)

    add_variant("slow", slow)
    out = tmp_path / "attention.csv"
    main(AttentionBenchmark(task="inter", variants=("scatter", "slow"), targets=60, heads=2, hidden_channels=8,
                            sweep_targets=(40,), repeats=1, sweep_repeats=1, threads=1, out=out))  # fmt: skip
    assert {row["variant"] for row in read(out) if row["table"] == "main"} == {"scatter", "slow", COPY}
    assert {row["variant"] for row in read(out) if row["table"] == "hops"} == {"scatter", COPY}


@pytest.mark.parametrize("name", ["scater", "flex"])
def test_variants_that_cannot_run_are_a_mistake_of_the_user_s(name):
    with pytest.raises(UserError, match=name):
        main(AttentionBenchmark(variants=(name,)))


def test_quick_is_smaller():
    config = AttentionBenchmark()
    quick = replace(config, quick=True).sized()
    assert config.sized() is config
    assert quick.edges == 32_768
    for task, cases in main_cases(quick).items():
        assert cases[0].task == task
        assert sum(map(len, sweep_cases(quick, cases[0]).values())) < sum(
            map(len, sweep_cases(config, cases[0]).values())
        )


def test_the_command_runs_under_both_settings(tmp_path):
    out = tmp_path / "attention.csv"
    command = [
        *("-m", "benchmarks.attention", "--task", "intra", "--variants", "scatter"),
        *("--edges", "500", "--targets", "50", "--heads", "2", "--hidden-channels", "8"),
        *(
            "--repeats",
            "1",
            "--threads",
            "1",
            "--sweep-repeats",
            "1",
            "--sweep-edges",
            "250",
            "500",
            "--sweep-targets",
            "--sweep-heads",
            "--sweep-dims",
        ),
        *("--sweep-skews", "--skew", "even", "--out", str(out)),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # of its workers
    done = python.run(*command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = read(out)
    assert {row["variant"] for row in rows} == {"scatter", COPY}
    for row in rows:
        assert all(float(row[f"forward_backward_median_ms_{setting}"]) > 0 for setting in ("default", "tuned"))
        assert row["torch"] == torch.__version__
    assert_image(tmp_path / "attention_intra_edges.png")
