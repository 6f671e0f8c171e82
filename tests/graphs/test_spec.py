"""Graph specifications refuse what makes no graph, and name the field."""

import dataclasses

import pytest

from graphs import GraphSpec


def test_defaults_are_the_paper() -> None:
    paper = GraphSpec(relations=("binds", "near"), k=1, hops=2, readout_k=1, self_loops=True)
    assert GraphSpec() == paper


@pytest.mark.parametrize("field", ["k", "hops", "readout_k"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_bad_count_names_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"GraphSpec\.{field}: expected an integer from 1 to 1000"):
        GraphSpec(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        ((), "expected at least one relation to pass messages over, found none; choose from binds, near, or some"),
        ("binds", "expected names in a tuple, found 'binds'"),
        (("binds", ""), r"expected names in a tuple, found \('binds', ''\)"),
        (("binds", 3), r"expected names in a tuple, found \('binds', 3\)"),
        (("near", "near"), "expected different relations, found 'near' and 'near'"),
        (("binds", "bind"), "relation 'bind': expected one of binds, near, or some.module:function"),
        (
            ("near", "graphs.relations.near:near"),
            "expected different relations, .* and 'graphs.relations.near:near', whose edges would both be called 'ne",
        ),
    ],
)
def test_bad_relations(relations: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"^GraphSpec\.relations: " + message):
        GraphSpec(relations=relations)  # type: ignore[arg-type]


def test_relations_may_come_as_json_has_them() -> None:
    spec = GraphSpec(relations=["near", "binds"])  # type: ignore[arg-type]
    assert spec == GraphSpec(relations=("near", "binds"))
    assert hash(spec) == hash(GraphSpec(relations=("near", "binds")))


def test_bad_self_loops() -> None:
    with pytest.raises(ValueError, match=r"GraphSpec\.self_loops"):
        GraphSpec(self_loops=1)  # type: ignore[arg-type]


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GraphSpec().k = 2  # type: ignore[misc]
