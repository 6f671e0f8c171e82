"""Variants are found by their files, and refused by name where they cannot run."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hgg_pyg.attention import Edges, Variant, attend, find_variant, get_variant, methods, register, registry, variants

FILE = """
from hgg_pyg.attention.registry import SINGLE, Variant

VARIANT = Variant("mine", "twice the query", lambda query, key, value, edges: 2 * query, cpu=SINGLE)
OTHER = "no variant"
"""


def doubled(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    return 2 * query


MINE = Variant("mine", "twice the query", doubled, cpu=registry.SINGLE)


def check_it_doubles(backend: str | Variant) -> None:
    query, key = torch.randn(2, 1, 3), torch.randn(4, 1, 3)
    edges = torch.tensor([[0], [1]])
    assert torch.equal(attend(query, key, key, edges, backend=backend), 2 * query)


@pytest.fixture
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def _dropped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two files more in the package of methods: a variant, and one that defines none."""
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "helper.py").write_text("VARIANT = 'not one'\n")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    registry._shipped.cache_clear()
    yield
    registry._shipped.cache_clear()
    for name in ("mine", "helper"):
        sys.modules.pop(f"{methods.__name__}.{name}", None)


def test_every_method_is_found() -> None:
    known = variants()
    assert list(known)[:2] == ["reference", "scatter"]
    assert list(known)[2:] == sorted(set(known) - {"reference", "scatter"})
    files = {path.stem for path in Path(methods.__path__[0]).glob("[!_]*.py")}
    assert set(known) == files
    assert all(name == variant.name for name, variant in known.items())


def test_every_variant_is_described_and_runs_somewhere() -> None:
    for variant in variants().values():
        assert 0 < len(variant.summary) < 100
        assert "\n" not in variant.summary
        assert variant.cpu or variant.cuda


@pytest.mark.usefixtures("_dropped_in")
def test_a_file_dropped_in_is_found() -> None:
    assert "helper" not in variants()
    check_it_doubles("mine")
    with pytest.raises(ValueError, match="found 'mine', which does not run on cuda"):
        get_variant("mine", "cuda", torch.float32)


@pytest.mark.usefixtures("_forgotten")
def test_a_registered_variant_is_known_by_its_name() -> None:
    with pytest.raises(ValueError, match="found 'mine'"):
        find_variant("mine")
    assert register(MINE) is MINE
    assert register(MINE) is MINE  # a module may be imported twice
    assert list(variants())[-1] == "mine"
    assert find_variant("mine") is MINE
    check_it_doubles("mine")


@pytest.mark.usefixtures("_forgotten")
def test_a_name_that_is_taken_or_is_none_is_refused() -> None:
    for name in ("scatter", "reference"):
        with pytest.raises(ValueError, match=rf"^attention: expected a name that is free, found '{name}': "):
            register(Variant(name, "another", doubled, cpu=registry.SINGLE))
    register(MINE)
    with pytest.raises(ValueError, match=r"expected a name that is free, found 'mine': twice the query$"):
        register(Variant("mine", "thrice the query", lambda query, key, value, edges: 3 * query, cpu=registry.SINGLE))
    for name in ("auto", "my:own", ""):
        with pytest.raises(ValueError, match=rf"expected a plain name other than auto, found '{name}'$"):
            register(Variant(name, "twice the query", doubled))
    check_it_doubles("mine")


def test_a_variant_may_be_given_itself() -> None:
    check_it_doubles(MINE)
    assert get_variant(MINE, "cpu", torch.float32) is MINE
    assert "mine" not in variants()
    with pytest.raises(ValueError, match="found 'mine', which does not run on cuda"):
        get_variant(MINE, "cuda", torch.float32)


def test_a_variant_of_a_module_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_attention.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    check_it_doubles("my_attention:VARIANT")
    with pytest.raises(
        ValueError, match=r"^attention backend: expected 'my_attention:OTHER' to be a Variant, found str"
    ):
        find_variant("my_attention:OTHER")
    for missing in ("my_attention:NONE", "no_such_module_here:VARIANT"):
        with pytest.raises(ValueError, match=rf"^attention backend: '{missing}' cannot be imported from here \("):
            find_variant(missing)
    sys.modules.pop("my_attention")


def test_an_unknown_variant_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="found 'sctter'") as caught:
        get_variant("sctter", "cpu", torch.float32)
    message = str(caught.value)
    assert message.startswith("attention backend: expected one of auto, reference, scatter, ")
    assert all(name in message for name in variants())
    assert "module:NAME" in message
    assert "\n" not in message


def test_why_a_variant_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda m: None if m == "torch_scatter" else find(m))
    with pytest.raises(ValueError, match=r"found 'scatter', which needs torch_scatter: pip install torch_scatter"):
        get_variant("scatter", "cpu", torch.float32)
    with pytest.raises(ValueError, match=r"found 'flex', which does not run on cpu"):
        get_variant("flex", "cpu", torch.float32)


def test_a_type_it_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found 'reference', which takes float32, float64 on cpu, not .*bfloat16"):
        get_variant("reference", "cpu", torch.bfloat16)
    half = torch.randn(2, 1, 3).bfloat16()
    with pytest.raises(ValueError, match="'reference', which takes float32, float64"):
        attend(half, half, half, torch.tensor([[0], [1]]), backend="reference")


def test_cuda_is_refused_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="found 'scatter', which needs a CUDA device"):
        get_variant("scatter", "cuda", torch.float32)
    with pytest.raises(ValueError, match="found 'scatter', which does not run on mps"):
        get_variant("scatter", "mps", torch.float32)


def test_auto_is_fused_where_it_runs_and_scatter_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_variant("auto", "cpu", torch.float32).name == "fused"
    find = importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda m: None if m == "numba" else find(m))
    assert get_variant("auto", "cpu", torch.float32).name == "scatter"
