"""Graph specifications refuse what makes no graph, and name the field."""

import dataclasses

import pytest

from graphs import PRESETS, GraphSpec


def test_defaults_are_the_paper() -> None:
    assert PRESETS["paper"] == GraphSpec() == GraphSpec(k=1, hops=2, readout_k=1, self_loops=True)


@pytest.mark.parametrize("field", ["k", "hops", "readout_k"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_bad_count_names_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"GraphSpec\.{field}: expected an integer of at least 1"):
        GraphSpec(**{field: value})  # type: ignore[arg-type]


def test_bad_self_loops() -> None:
    with pytest.raises(ValueError, match=r"GraphSpec\.self_loops"):
        GraphSpec(self_loops=1)  # type: ignore[arg-type]


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GraphSpec().k = 2  # type: ignore[misc]
