"""Relations are found by name or say why not, and wrong edges are refused before they become part of a graph."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graphs import (
    AVATAR,
    GAUSSIAN,
    VERTEX,
    GraphSpec,
    Relation,
    build_graph,
    find_relation,
    register_relation,
    relation_names,
)
from graphs.relations import registry
from tests.graphs.graph_cases import N, clip, upside_down

OWN = "tests.graphs.graph_cases:upside_down"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))


def test_ours_are_registered() -> None:
    assert relation_names() == ("binds", "near")
    assert find_relation("near")[0] == "near"


def test_one_s_own_by_module_and_by_name() -> None:
    assert find_relation(OWN) == ("upside_down", upside_down)
    assert register_relation("flip", upside_down) is upside_down
    assert find_relation("flip") == ("flip", upside_down)
    assert relation_names() == ("binds", "near", "flip")


def test_decorator() -> None:
    @register_relation("mine")
    def function(nodes: object) -> Relation:
        raise AssertionError

    assert find_relation("mine") == ("mine", function)


def test_a_reloaded_function_takes_its_own_place_and_nobody_else_s(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "reloaded_relation.py").write_text("def first(nodes): ...\ndef second(nodes): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    module = importlib.import_module("reloaded_relation")
    register_relation("mine", module.first)
    again = importlib.reload(module)
    register_relation("mine", again.first)
    assert find_relation("mine")[1] is again.first
    with pytest.raises(ValueError, match="'mine': this name is taken by"):
        register_relation("mine", again.second)
    with pytest.raises(ValueError, match="'binds': this name is taken by"):
        register_relation("binds", again.first)


@pytest.mark.parametrize("name", ["", "a:b", "a.b", 3])
def test_names_that_cannot_be_registered(name: Any) -> None:
    with pytest.raises(ValueError, match="expected a name without colons and dots, found"):
        register_relation(name, upside_down)
    with pytest.raises(TypeError, match="'seven': expected a function"):
        register_relation("seven", 7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bind", "it is not registered"),
        ("no_such_module_here:f", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("tests.graphs.graph_cases:missing", "has no attribute 'missing'"),
        ("tests.graphs.graph_cases:NOT_A_FUNCTION", "7 is no function"),
        ("tests.graphs.graph_cases", "it is not registered"),
        ("broken_relation:f", "ZeroDivisionError: division by zero"),
        (":f", "it is not registered"),
        ("tests.graphs.graph_cases:", "it is not registered"),
    ],
)
def test_what_is_not_found_is_named_with_what_there_is(name: str, why: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "broken_relation.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=why) as caught:
        find_relation(name)
    assert f"relation {name!r}: expected one of binds, near, or some.module:function" in str(caught.value)
    with pytest.raises(ValueError, match=r"^GraphSpec\.relations: relation .*" + why):
        GraphSpec(relations=("binds", name))
    sys.modules.pop("broken_relation", None)


def relation(sources: list[int], targets: list[int], **options: Any) -> Relation:
    return Relation(**{"source": VERTEX, "target": VERTEX, "edge_index": torch.tensor([sources, targets]), **options})


def build(made: object) -> Any:
    register_relation("mine", lambda nodes: made)  # type: ignore[arg-type, return-value]
    return build_graph(clip([3, 2], spec=GraphSpec(relations=("binds", "mine"))))


def test_edges_are_sorted_by_target_then_source_and_features_with_them() -> None:
    features = torch.arange(6.0)[:, None]
    store = build(relation([5, 0, 7, 2, 0, 9], [3, 3, 1, 3, 3, 0], edge_attr=features))[VERTEX, "mine", VERTEX]
    assert store.edge_index.tolist() == [[9, 7, 0, 0, 2, 5], [0, 1, 3, 3, 3, 3]]  # the duplicate stays
    assert store.edge_attr.flatten().tolist() == [5, 2, 1, 4, 3, 0]  # in the order in which it came


def test_the_order_is_right_where_one_type_has_more_nodes() -> None:
    made = relation([4, 0, 3, 4], [1, 19, 1, 0], source=GAUSSIAN)
    assert build(made)[GAUSSIAN, "mine", VERTEX].edge_index.tolist() == [[4, 3, 4, 0], [0, 1, 1, 19]]


def test_no_edges() -> None:
    empty = torch.empty(2, 0, dtype=torch.int64)
    store = build(relation([], [], edge_index=empty, edge_attr=torch.empty(0, 3)))[VERTEX, "mine", VERTEX]
    assert store.edge_index.shape == (2, 0)
    assert store.edge_attr.shape == (0, 3)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "expected its function to return a Relation, found <class 'NoneType'>"),
        (relation([0], [N]), r"target ids: expected 0 to 19, the graph's 20 nodes of type vertex, found 20 to 20"),
        (relation([-1, 3], [0, 0]), r"source ids: expected 0 to 19, .* found -1 to 3"),
        (relation([5], [0], source=GAUSSIAN), r"source ids: expected 0 to 4, .* of type gaussian, found 5 to 5"),
        (relation([0], [0], target="vertices"), "target: expected one of gaussian, vertex, found 'vertices'"),
        (relation([0], [0], target=AVATAR), "target: expected one of gaussian, vertex, found 'avatar'"),
        (relation([0], [0], edge_index=torch.zeros(2, 3)), r"expected \[2, E\] torch.int64, found \[2, 3\] torch.flo"),
        (relation([0], [0], edge_index=torch.zeros(2, 3).int()), r"expected \[2, E\] torch.int64, found .*int32"),
        (relation([0], [0], edge_index=torch.zeros(3, 2).long()), r"expected \[2, E\] torch.int64, found \[3, 2\]"),
        (relation([0], [0], edge_index=[[0], [0]]), r"expected \[2, E\] torch.int64, found <class 'list'>"),
        (relation([0], [0], edge_index=torch.zeros(2, 1, device="meta").long()), "expected a tensor on cpu, found one"),
        (relation([0], [0], edge_attr=torch.zeros(2, 1)), r"edge_attr: expected \[1, K\] of finite .* found \[2, 1\]"),
        (relation([0], [0], edge_attr=torch.tensor(1.0)), r"edge_attr: expected \[1, K\] of finite"),
        (relation([0], [0], edge_attr=torch.zeros(1)), r"edge_attr: expected \[1, K\] of finite .* found \[1\]"),
        (
            relation([0], [0], edge_attr=torch.ones(1, 1).long()),
            r"edge_attr: expected \[1, K\] of finite .* torch.int64",
        ),
        (relation([0], [0], edge_attr=torch.full((1, 1), torch.nan)), "edge_attr: .* found NaN or infinity"),
        (relation([0], [0], edge_attr=torch.zeros(1, 1, device="meta")), "edge_attr: expected a tensor on cpu, found"),
    ],
)
def test_wrong_relations_are_refused_by_name(made: object, message: str) -> None:
    with pytest.raises(ValueError, match="^relation 'mine': .*" + message):
        build(made)
