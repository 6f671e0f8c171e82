"""What our layers must at least do is counted as `benchmarks.claim` counts it, and measured as it is."""

from dataclasses import replace

import pytest

from benchmarks import yardsticks
from benchmarks.claim import ClaimBenchmark, count
from benchmarks.floors import Floor, Work
from benchmarks.layer_cases import LayerCase
from benchmarks.layer_work import must_do
from benchmarks.suite import forget
from benchmarks.yardsticks import YARDSTICKS, YardstickCase, YardstickProblem, measure_floors

CHIEF = LayerCase()


def test_operations_are_those_of_the_claim():
    counted = count(ClaimBenchmark(), CHIEF.edges)
    for name, in_claim in (("fused", "graph layer"), ("fold + fused", "graph layer, folded")):
        assert must_do(CHIEF, name)["forward"].flops == counted[in_claim]


def test_features_are_moved_once_a_pass_and_in_half_precision_half_of_them():
    full, half = (must_do(CHIEF, name) for name in ("fold + fused", "fold + fused, bf16"))
    features = CHIEF.edges * CHIEF.features * 4
    assert full["forward"].bytes - half["forward"].bytes == features // 2
    assert full["forward_backward"].bytes - half["forward_backward"].bytes == features
    assert features < full["forward"].bytes < 1.05 * features
    out_of_order = must_do(replace(CHIEF, shuffled=True), "fold + fused")
    assert out_of_order["forward"].bytes - full["forward"].bytes == 8 * CHIEF.edges
    assert full["forward"].flops == half["forward"].flops


def test_every_layer_of_a_model_reads_the_features_again():
    one, two = (must_do(replace(CHIEF, kind="model", num_layers=n), "fold + fused")["forward"] for n in (1, 2))
    intra, inter = (must_do(replace(CHIEF, kind=kind), "fold + fused")["forward"] for kind in ("intra", "inter"))
    assert two.bytes - one.bytes > intra.bytes + inter.bytes
    assert two.flops - one.flops > intra.flops + inter.flops


def test_nothing_is_said_of_what_is_not_ours():
    assert [must_do(CHIEF, name) for name in ("scatter", "TransformerConv", "fold + buckets")] == [{}, {}, {}]


def test_a_floor_is_reading_or_multiplying_whichever_takes_longer():
    floor = Floor(Work(8, 2), {"default": {"read": 1.0, "copy": 9.0, "gemm": 2.0}, "tuned": {"read": 1.0}})
    assert floor.least("default") == 2
    assert floor.least("tuned") is None


def test_yardsticks_move_all_bytes(monkeypatch):
    monkeypatch.setattr(yardsticks, "_MOST_BYTES", 64)
    problem = YardstickProblem(YardstickCase((Work(200, 1000),)))
    assert sum(x.numel() * 4 for x in problem._parts(Work(200, 1000), problem._there)) == 200
    for name in YARDSTICKS:
        problem.contestant(f"{name} 0").forward()
    assert problem._place.sum() == len(problem._place)


def test_yardsticks_are_timed_once_for_each_amount(inline_workers):
    works = [Work(4_000, 1_000), Work(400_000, 1_000_000), Work(4_000, 1_000)]
    floors = measure_floors(inline_workers, works, "cpu", repeats=1)
    forget()
    assert set(floors) == set(works)
    for floor in floors.values():
        assert all(floor.times[setting][name] > 0 for setting in ("default", "tuned") for name in YARDSTICKS)
    assert measure_floors(inline_workers, [], "cpu", repeats=1) == {}
    assert floors[works[0]].columns("forward")["forward_must_mb"] == pytest.approx(0.004)
