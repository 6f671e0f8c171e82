"""Variants are found by their files, and refused by name where they cannot run."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hgg_pyg.attention import attend, get_variant, methods, registry, variants

MINE = """
from hgg_pyg.attention.registry import SINGLE, Variant

VARIANT = Variant("mine", "twice the query", lambda query, key, value, edges: 2 * query, cpu=SINGLE)
"""


@pytest.fixture
def _dropped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two files more in the package of methods: a variant, and one that defines none."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("VARIANT = 'not one'\n")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    variants.cache_clear()
    yield
    variants.cache_clear()
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
    query, key = torch.randn(2, 1, 3), torch.randn(4, 1, 3)
    edges = torch.tensor([[0], [1]])
    assert torch.equal(attend(query, key, key, edges, backend="mine"), 2 * query)
    with pytest.raises(ValueError, match="found 'mine', which does not run on cuda"):
        get_variant("mine", "cuda", torch.float32)


def test_an_unknown_variant_names_the_known_and_why_some_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda m: None if m == "torch_scatter" else find(m))
    with pytest.raises(ValueError, match="found 'sctter'") as caught:
        get_variant("sctter", "cpu", torch.float32)
    message = str(caught.value)
    assert message.startswith("attention: expected one of auto; reference; ")
    assert "; scatter (needs torch_scatter: pip install torch_scatter); " in message
    assert "; flex (does not run on cpu); " in message
    assert all(name in message for name in variants())
    assert "\n" not in message
    with pytest.raises(ValueError, match=r"found 'scatter', which needs torch_scatter: pip install torch_scatter"):
        get_variant("scatter", "cpu", torch.float32)


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
