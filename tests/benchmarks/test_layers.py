"""`python -m benchmarks.layers` compares layers that compute the same, and says which aims are missed."""

import csv
import importlib.metadata
from dataclasses import replace

import pytest

from benchmarks.bars import Bar
from benchmarks.layer_cases import LAYERS, LayerCase, runnable
from benchmarks.layer_problem import build
from benchmarks.layers import LayersBenchmark, main
from benchmarks.layers_report import CHIEF, HALF, Entry, judge
from benchmarks.peers import AnemoiConv
from benchmarks.suite import Measured, Result, Trial, attempt, forget
from benchmarks.timing import Spread
from hgg_pyg.nn import FusedIntraConv

TINY = LayerCase(edges=400, targets=40, features=8, heads=2, hidden_channels=16, hops=1, num_layers=2)


@pytest.fixture(autouse=True)
def _forget():
    yield
    forget()


@pytest.mark.parametrize("kind", ["intra", "inter", "model"])
def test_all_layers_but_one_compute_the_same(kind):
    case = replace(TINY, kind=kind, shuffled=kind != "intra")
    for name in runnable("cpu", list(LAYERS)):
        if not LAYERS[name].compiled and not (kind == "inter" and LAYERS[name].fold):
            expected = "another operation" if name == "GATv2Conv" else "right"
            assert attempt(build, case, name).status == expected, name


@pytest.mark.slow
def test_a_compiled_layer_computes_the_same():
    for kind in ("intra", "inter"):
        assert attempt(build, replace(TINY, kind=kind), "TransformerConv, compiled").status == "right"


def test_half_precision_is_held_against_what_it_was_given_and_what_was_there_before():
    for kind in ("intra", "model"):
        trial = attempt(build, replace(TINY, kind=kind), HALF)
        assert trial.status == "right"
        assert trial.deviation is not None
        assert trial.error is not None
        assert trial.deviation < 1e-4 < 4e-4 < trial.error < 0.02
        assert attempt(build, replace(TINY, kind=kind), CHIEF).error < 1e-4


@pytest.mark.skipif(LAYERS["anemoi"].missing("cpu") is not None, reason=f"anemoi {LAYERS['anemoi'].missing('cpu')}")
def test_anemoi_is_given_zero_features_of_edges(monkeypatch):
    real = AnemoiConv.forward

    def with_features(self, x, edge_index):
        attention = self.attention.forward
        self.attention.forward = lambda q, k, v, e, edges: attention(q, k, v, e + 0.1, edges)
        return real(self, x, edge_index)

    assert attempt(build, TINY, "anemoi").status == "right"
    monkeypatch.setattr(AnemoiConv, "forward", with_features)
    assert attempt(build, TINY, "anemoi").status == "wrong"


def test_a_peer_that_is_not_installed_is_said_to_be(monkeypatch):
    def absent(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr("importlib.metadata.version", absent)
    assert "pip install --no-deps anemoi-models" in (LAYERS["anemoi"].missing("cpu") or "")
    assert runnable("cpu", ["scatter", "anemoi"]) == ["scatter"]


def test_a_layer_with_a_wrong_gradient_is_refused(monkeypatch):
    real = FusedIntraConv._fused

    def spoiled(self, source, target, edge_index):
        self.lin_key.weight.register_hook(lambda grad: 1.01 * grad) if self.fold else None
        return real(self, source, target, edge_index)

    monkeypatch.setattr(FusedIntraConv, "_fused", spoiled)
    assert attempt(build, TINY, "scatter").status == "right"
    trial = attempt(build, TINY, "fold + buckets")
    assert trial.status == "wrong"
    assert trial.deviation is not None
    assert 0.009 < trial.deviation < 0.03  # the hook may be there twice


def result(forward: float, forward_backward: float, mb: float) -> Result:
    spreads = [Spread.of([x]) for x in (forward, forward_backward)]
    return Result(Trial("right"), {"default": Measured(spreads[0], spreads[1], mb, mb)})


def test_aims_are_reached_or_missed():
    entries = [
        Entry("intra attention", TINY, {"scatter": result(60, 60, 1), "fused": result(10, 30, 1)}),
        Entry("inter attention", TINY, {"scatter": result(80, 80, 1), "fused": result(10, 11, 1)}),
        Entry("intra", TINY, {"scatter": result(120, 120, 1), CHIEF: result(11, 11, 201), HALF: result(10, 12, 1)}),
        Entry("inter", TINY, {"scatter": result(100, 60, 1), "fused": result(10, 11, 1)}),
        Entry("model", TINY, {"scatter": result(100, 60, 1), HALF: result(100, 10, 1)}),
        *(Entry("growth", replace(TINY, edges=edges, features=128), {CHIEF: result(ms, ms / 2, 1)})
          for edges, ms in ((100_000, 1), (200_000, 10), (400_000, 18), (800_000, 40))),
        Entry("skew", replace(TINY, skew="even"), {CHIEF: result(10, 10, 1)}),
        Entry("skew", replace(TINY, skew="half"), {CHIEF: result(14, 16, 1)}),
    ]  # fmt: skip
    bars = judge(entries, ["default"])
    assert [(bar.verdict, bar.found and round(bar.found, 3)) for bar in bars] == [
        ("reached", 6.0), ("missed", 2.0),
        ("reached", 8.0), ("missed", 7.273),
        ("reached", 12.0), ("missed", 10.909),  # the better of both ways of storing features
        ("reached", 10.0), ("missed", 5.455),
        ("reached", 6.0),
        ("missed", 201),
        ("missed", 1.111), ("missed", 1.111),  # beside the size before, the smallest of all left out
        ("reached", 1.4), ("missed", 1.6),
    ]  # fmt: skip
    assert Bar("x", "default", 5, None, at_least=False).verdict == "not measured"
    assert Bar("x", "default", 5, 5.0, at_least=False).verdict == "reached"


def test_tables_and_plots_of_a_whole_run(inline_workers, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("torch.compile", lambda module, **options: module)  # it takes a minute
    out = tmp_path / "layers.csv"
    main(LayersBenchmark(edges=400, targets=60, features=8, hidden_channels=16, heads=2, hops=1, num_layers=1,
                         growth=(200, 400), repeats=1, threads=1, out=out))  # fmt: skip
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["table"] for row in rows} == {
        "intra attention", "inter attention", "intra", "pixel order", "inter", "growth", "skew", "model"}  # fmt: skip
    for row in rows:
        assert row["status"] == ("another operation" if row["name"] == "GATv2Conv" else "right"), row["name"]
        for what in ("forward", "forward_backward"):
            assert all(float(row[f"{what}_median_ms_{setting}"]) > 0 for setting in ("default", "tuned"))
        if (row["table"], row["name"]) in (("inter", "fused"), ("intra", CHIEF), ("intra", HALF), ("model", CHIEF)):
            for column in ("mb", "gflop", "read_ms_default", "copy_ms_tuned", "gemm_ms_default"):
                assert float(row[f"forward_must_{column}"]) > 0
                assert float(row[f"forward_backward_must_{column}"]) > 0
        else:
            assert LAYERS.get(row["name"], LAYERS["fused"]).backend == "fused" or not row["forward_must_mb"]
    assert {row["name"] for row in rows if row["table"] == "intra"} == set(runnable("cpu", list(LAYERS)))
    bars = list(csv.DictReader((tmp_path / "layers_bars.csv").read_text().splitlines()))
    assert {bar["setting"] for bar in bars} == {"default", "tuned"}
    assert {bar["verdict"] for bar in bars} <= {"reached", "missed", "not measured"}
    for name in ("layers", "layers_growth", "layers_skew"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    shown = capsys.readouterr().out
    for bar in bars:
        assert bar["what"] in shown
    assert "floors taken" in shown
    assert "not measured: DGL 2.1.0" in shown
