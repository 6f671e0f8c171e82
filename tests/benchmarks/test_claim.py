"""`python -m benchmarks.claim`: operations are counted as they are, growth is fitted as it is."""

import csv

import pytest

from benchmarks.claim import ClaimBenchmark, DenseCase, DenseProblem, conclude, count, fit_growth, main
from benchmarks.suite import Measured, Result, Trial, attempt, forget
from benchmarks.timing import Spread


@pytest.fixture(autouse=True)
def _forget():
    yield
    forget()


def timed(ms: float) -> Result:
    return Result(Trial("right"), {"default": Measured(Spread.of([ms]), None, 0.0, None)})


def test_growth_is_recovered():
    exponent, factor = fit_growth([1000, 2000, 8000], [3e-6 * n**2 for n in (1000, 2000, 8000)])
    assert (exponent, factor) == pytest.approx((2, 3e-6))


def test_the_core_s_ratio_is_the_paper_s():
    operations = count(ClaimBenchmark(), 524_288)
    assert operations["dense"] / operations["graph"] == 524_288
    assert operations["dense"] == pytest.approx(1.407e14, rel=1e-3)
    assert operations["graph layer, folded"] < operations["graph layer"] < operations["dense layer"]


def test_conclusions():
    config = ClaimBenchmark(gaussians=1000, frames=4)
    found = {("dense", n): timed(1e-3 * n**2) for n in (100, 200, 400)}
    found |= {(name, n): timed(0.01 * n) for n in (100, 200, 400, 4000) for name in ("graph", "graph layer, folded")}
    said = {s.what: s.value for s in conclude(config, found, ["default"])}
    assert said["M T at T = 4: the ratio by the paper's own formula"] == 4000
    assert said["frames T from which that ratio exceeds 1e+06"] == 1001
    assert said["exponent of dense attention's growth, 100 to 400 Gaussians"] == pytest.approx(2)
    assert said["seconds of dense attention over all 4000, extrapolated, forward"] == pytest.approx(16)
    assert said["the same if it grew by an exponent of 2 from the largest size"] == pytest.approx(16)
    assert said["time of dense attention over graph"] == pytest.approx(400)
    assert said["exponent of the growth of graph, 200 to 4000 Gaussians"] == pytest.approx(1)


def test_dense_attention_is_checked(monkeypatch):
    assert attempt(DenseProblem, DenseCase(200, 2, 16), "dense").status == "right"
    forget()
    monkeypatch.setattr("benchmarks.claim.F.scaled_dot_product_attention", lambda q, k, v: v.cumsum(-2))
    assert attempt(DenseProblem, DenseCase(200, 2, 16), "dense").status == "wrong"


def test_tables_and_plots_of_a_whole_run(inline_workers, tmp_path):
    out = tmp_path / "claim.csv"
    main(ClaimBenchmark(gaussians=300, frames=2, sizes=(100, 200), hidden_channels=16, heads=2, repeats=1, threads=1,
                        out=out))  # fmt: skip
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {(row["what"], row["size"]) for row in rows} == {
        *(("dense", n) for n in ("100", "200")),
        *((name, n) for name in ("graph", "graph layer, folded") for n in ("100", "150", "200", "300", "600")),
    }
    for row in rows:
        assert row["status"] == "right"
        assert all(float(row[f"forward_median_ms_{setting}"]) > 0 for setting in ("default", "tuned"))
    said = list(csv.DictReader((tmp_path / "claim_conclusions.csv").read_text().splitlines()))
    assert all(float(line["value"]) == float(line["value"]) for line in said)
    assert {line["setting"] for line in said} == {"", "default", "tuned"}
    assert (tmp_path / "claim.png").read_bytes()[:4] == b"\x89PNG"
