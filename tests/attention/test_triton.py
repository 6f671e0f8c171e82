"""The Triton kernels against the dense reference in float64: in Triton's interpreter on a CPU, and on a CUDA device.

The interpreter is chosen by an environment variable when Triton is imported, and would reach everything else in the
process that imports it. So the tests on a CPU run in a process of their own, which one test of this process starts.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hgg_pyg.attention import Edges, attend
from hgg_pyg.attention.kernels import triton_items

triton = pytest.importorskip("triton", reason="needs triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
)
DEVICES = pytest.mark.parametrize("device", ["cpu"] if INTERPRETED else [CUDA])

F32, BF16, F16, F64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
ERROR = {F64: 1e-13, F32: 3e-6, F16: 3e-3, BF16: 2e-2}  # of the largest magnitude, by the type of a result

GRAPHS = ("unique", "in order", "shared")
ONE_QUERY, ONE_ARRAY, SLOTS = (1, 3, 5, False), (1, 1, 8, True), (3, 2, 16, False)
FOLDED, FOLDED_BLOCKS = (9, 1, 20, True), (40, 1, 20, True)
"""slots, heads, channels, and whether the values are the keys"""


def triton_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    from hgg_pyg.attention.kernels import triton_csr  # not before a test runs: Triton is optional

    return triton_csr.triton_attention(query, key, value, edges)


def graph(kind: str, device: str = "cpu") -> Edges:
    """70 edges to 6 targets: the second owns half of them, the last has none. Two edges of the shared are equal."""
    generator = torch.Generator().manual_seed(0)
    target = torch.where(torch.arange(70) % 2 == 0, 1, torch.randint(5, (70,), generator=generator))
    source = torch.randperm(73, generator=generator)[:70]
    if kind == "shared":
        source = torch.where(torch.arange(70) % 3 == 0, 2, torch.randint(7, (70,), generator=generator))
    edges = Edges.from_index(torch.stack([source, target]).to(device), 73 if kind != "shared" else 9, 6)
    return edges.lay_out(torch.empty(edges.num_sources, 0, device=device))[1] if kind == "in order" else edges


def inputs(
    edges: Edges, shape: tuple[int, int, int, bool], dtype: torch.dtype = F32, stored: torch.dtype | None = None
) -> list[Tensor]:
    slots, heads, channels, one_array = shape
    generator = torch.Generator().manual_seed(1)
    device = edges.source.device
    query = torch.randn(edges.num_targets, slots, heads, channels, generator=generator)
    key, value = torch.randn(2, edges.num_sources, heads, channels, generator=generator)
    leaves = [query.to(device, dtype), key.to(device, stored or dtype)]
    leaves += [] if one_array else [value.to(device, stored or dtype)]
    return [leaf.requires_grad_() for leaf in leaves]


def run(attention: Callable[..., Tensor], leaves: list[Tensor], edges: Edges) -> list[Tensor]:
    """The result and the gradients of those leaves that ask for one."""
    query, key = leaves[:2]
    out = attention(query, key, leaves[-1], edges)
    upstream = (
        torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).bfloat16().to(out)
    )  # exact in any type
    return [out.detach(), *torch.autograd.grad(out, [leaf for leaf in leaves if leaf.requires_grad], upstream.to(out))]


def expected(leaves: list[Tensor], edges: Edges) -> list[Tensor]:
    exact = [leaf.detach().double().requires_grad_(leaf.requires_grad) for leaf in leaves]
    return run(lambda *args: attend(*args, backend="reference"), exact, edges)


def check(leaves: list[Tensor], edges: Edges, slack: float = 1) -> None:
    found, wanted = run(triton_attention, leaves, edges), expected(leaves, edges)
    kinds = [leaves[0], *(leaf for leaf in leaves if leaf.requires_grad)]
    for have, want, like in zip(found, wanted, kinds, strict=True):
        assert have.dtype == like.dtype
        atol = slack * ERROR[like.dtype] * float(want.abs().max())
        torch.testing.assert_close(have.double(), want, rtol=0, atol=atol)


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items of 16 edges, so that the longest rows of `graph` are split by target and by source."""
    monkeypatch.setattr(triton_items, "SPLIT", 16)


@DEVICES
@pytest.mark.usefixtures("split")
@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("shape", [ONE_QUERY, ONE_ARRAY, SLOTS, FOLDED_BLOCKS], ids=str)
def test_values_and_gradients(device: str, kind: str, shape: tuple[int, int, int, bool]) -> None:
    edges = graph(kind, device)
    assert triton_items.by_target(edges).places > 2
    assert triton_items.by_source(edges).places == (2 if kind == "shared" else 0)
    check(inputs(edges, shape), edges)


@DEVICES
@pytest.mark.usefixtures("split")
@pytest.mark.parametrize("kind", ["unique", "shared"])
@pytest.mark.parametrize("shape", [ONE_QUERY, FOLDED], ids=str)
@pytest.mark.parametrize(("dtype", "stored"), [(BF16, BF16), (F16, F16), (F64, F64), (F32, BF16)], ids=str)
def test_types(
    device: str, kind: str, shape: tuple[int, int, int, bool], dtype: torch.dtype, stored: torch.dtype
) -> None:
    edges = graph(kind, device)
    check(inputs(edges, shape, dtype, stored), edges)


@DEVICES
@pytest.mark.parametrize("kind", ["in order", "shared"])
@pytest.mark.parametrize("shape", [ONE_QUERY, SLOTS], ids=str)
@pytest.mark.parametrize("frozen", [(0, 1), (2,), (1, 2)], ids=str)
def test_only_gradients_that_are_needed(
    device: str, kind: str, shape: tuple[int, int, int, bool], frozen: tuple[int, ...]
) -> None:
    edges = graph(kind, device)
    leaves = inputs(edges, shape)
    for i in frozen:
        leaves[i].requires_grad_(False)
    check(leaves, edges)


class Allocations(TorchDispatchMode):
    """The most numbers of any floating-point tensor that is made, views of one given aside."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given = given.untyped_storage().data_ptr()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.is_floating_point() and out.untyped_storage().data_ptr() != self.given:
            self.most = max(self.most, out.numel())
        return out


@DEVICES
def test_folded_with_frozen_features_makes_nothing_as_long_as_the_edges(device: str) -> None:
    edges = graph("in order", device)
    leaves = inputs(edges, (2, 1, 20, True))
    leaves[1].requires_grad_(False)
    with Allocations(leaves[1]) as made:
        triton_attention(leaves[0], leaves[1], leaves[1], edges).sum().backward()
    assert leaves[0].numel() <= made.most < leaves[1].numel()
    check(leaves, edges)


@DEVICES
@pytest.mark.parametrize("slots", [1, 2])
def test_a_target_without_sources_is_exactly_zero(device: str, slots: int) -> None:
    edges = graph("shared", device)
    leaves = inputs(edges, (slots, 1, 4, True))
    out, query_gradient, key_gradient = run(triton_attention, leaves, edges)
    assert bool((out[5] == 0).all())
    assert bool((query_gradient[5] == 0).all())
    assert bool((key_gradient[7:] == 0).all())  # sources 7 and 8 have no edge
    assert all(bool(x.isfinite().all()) for x in (out, query_gradient, key_gradient))


@DEVICES
@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("end", ["target", "source"])
def test_one_row_holds_everything(device: str, slots: int, end: str) -> None:
    """More edges than one item takes, by target and by source."""
    many = torch.arange(3 * triton_items.SPLIT // 2, device=device)
    index = torch.stack([many, torch.ones_like(many)] if end == "target" else [(many % 7 > 0).long(), many // 256])
    edges = Edges.from_index(index, len(many) if end == "target" else 3, 6)
    items = triton_items.by_target(edges) if end == "target" else triton_items.by_source(edges)
    assert items.places == 2
    check(inputs(edges, (slots, 1, 4, True)), edges)


@DEVICES
@pytest.mark.parametrize("slots", [1, 2])
def test_duplicates_count_as_often_as_they_occur(device: str, slots: int) -> None:
    """Equal keys, one edge thrice and one once: the weights are 3/4 and 1/4."""
    edges = Edges.from_index(torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]], device=device), 2, 1)
    value = torch.tensor([1.0, 5.0], device=device).view(2, 1, 1)
    out = triton_attention(torch.ones(1, slots, 1, 1, device=device), torch.ones_like(value), value, edges)
    assert out.flatten().tolist() == pytest.approx([2.0] * slots)


@DEVICES
@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_ten_thousand(device: str, slots: int, sign: int) -> None:
    edges = graph("unique", device)
    _, _, value = inputs(edges, (slots, 1, 4, False))
    places = torch.linspace(-1, 1, len(value), device=device).view(-1, 1, 1)
    key = (sign * 5e3 * places).expand(-1, 1, 4).clone().requires_grad_()
    query = torch.ones(6, slots, 1, 4, device=device, requires_grad=True)
    out = triton_attention(query, key, value, edges)
    for n in range(5):
        mine = edges.source[edges.target == n]
        winner = value[mine[(sign * places[mine].flatten()).argmax()]]
        torch.testing.assert_close(out[n], winner.expand(slots, 1, 4))
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(out.sum(), [query, key, value]))


@DEVICES
@pytest.mark.parametrize("dtype", [BF16, F16], ids=str)
@pytest.mark.parametrize("slots", [1, 2])
def test_half_precision_is_accumulated_in_float32(device: str, dtype: torch.dtype, slots: int) -> None:
    """4,485 values, half zeros and half ones: in bfloat16 their sum would stop at 256."""
    count = 4485
    value = (torch.arange(count, device=device) % 2).to(dtype).view(-1, 1, 1)
    line = torch.arange(count, device=device)
    edges = Edges.from_index(torch.stack([line, torch.zeros_like(line)]), count, 1)
    query = torch.ones(1, slots, 1, 1, dtype=dtype, device=device)
    out = triton_attention(query, torch.ones_like(value), value, edges)
    assert out.dtype == dtype
    assert out.flatten().tolist() == pytest.approx([0.5] * slots, abs=2e-3)


@DEVICES
@pytest.mark.usefixtures("split")
@pytest.mark.parametrize("shape", [ONE_QUERY, FOLDED], ids=str)
def test_results_repeat_bit_for_bit(device: str, shape: tuple[int, int, int, bool]) -> None:
    edges = graph("shared", device)
    leaves = inputs(edges, shape)
    once, again = run(triton_attention, leaves, edges), run(triton_attention, leaves, graph("shared", device))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


@DEVICES
def test_strided_inputs(device: str) -> None:
    edges = graph("unique", device)
    leaves = inputs(edges, SLOTS)
    strided = [x.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for x in leaves]
    assert not strided[0].is_contiguous()
    for a, b in zip(run(triton_attention, strided, edges), run(triton_attention, leaves, edges), strict=True):
        assert torch.equal(a, b)


@DEVICES
def test_refuses_what_it_cannot_do(device: str) -> None:
    edges = graph("unique", device)
    query, key, value = inputs(edges, (1, 1, 257, False))
    with pytest.raises(ValueError, match=r"^query: expected at most 256 channels per head, found 257$"):
        triton_attention(query, key, value, edges)
    query, key, value = inputs(edges, (1, 1, 2, False))
    loss = triton_attention(query, key, value, edges).square().sum()
    (gradient,) = torch.autograd.grad(loss, query, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("kind", ["in order", "shared"])
@pytest.mark.parametrize("shape", [(1, 8, 16, False), (1, 1, 256, False), (8, 1, 128, True), (160, 1, 64, True)])
def test_many_edges(device: str, dtype: torch.dtype, kind: str, shape: tuple[int, int, int, bool]) -> None:
    """The kernels at the sizes of use: 12,000 edges, a third of them of one target, and of one source where shared."""
    generator = torch.Generator().manual_seed(3)
    line = torch.arange(12_000)
    target = torch.where(line % 3 == 0, 7, torch.randint(60, (12_000,), generator=generator)).sort()[0]
    source = torch.where(line % 3 == 1, 5, torch.randint(300, (12_000,), generator=generator))
    index = torch.stack([line if kind == "in order" else source, target]).to(device)
    edges = Edges.from_index(index, 12_000 if kind == "in order" else 300, 61)
    if kind == "in order":
        edges = edges.lay_out(torch.empty(12_000, 0, device=device))[1]
    check(inputs(edges, shape, dtype), edges, slack=3)  # a gradient may be a sum of 640,000 terms


def test_every_entry_is_in_one_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_items, "SPLIT", 4)
    ptr = torch.tensor([0, 3, 3, 13, 17])
    items = triton_items._items(ptr, None)
    row, begin, end, place = items.item.T
    length = end - begin
    assert length.tolist() == sorted(length.tolist(), reverse=True)
    assert length.max() == 4
    entries = torch.cat([torch.arange(b, e) for b, e in zip(begin.tolist(), end.tolist(), strict=True)])
    assert entries.sort()[0].tolist() == list(range(17))
    assert bool(((ptr[row] <= begin) & (end <= ptr[row + 1])).all())
    assert sorted(row.tolist()) == [0, 1, 2, 2, 2, 3]
    assert {int(r): sorted(place[row == r].tolist()) for r in row} == {0: [-1], 1: [-1], 2: [0, 1, 2], 3: [-1]}
    assert (items.split.tolist(), items.first.tolist(), items.places) == ([2], [0, 3], 3)


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="this is the process that it starts")
def test_in_the_interpreter() -> None:
    """Every test above that names a device, on a CPU."""
    command = [sys.executable, "-m", "pytest", __file__, "-p", "no:cacheprovider", "-m", "not gpu", "--durations=5"]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
