"""What is particular to the numba kernels: registers, pieces of rows, threads, strides and memory."""

import itertools

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor

from hgg_pyg.attention import Edges, attend
from hgg_pyg.attention.kernels import multi_query, per_head
from hgg_pyg.attention.kernels.rows import PIECE, Rows
from hgg_pyg.attention.kernels.widen import widened
from hgg_pyg.kernels import simd, wide

REALS = pytest.mark.parametrize("real", [np.float32, np.float64])


@njit
def _register_arithmetic(x, y, out):
    a, b = simd.load(x, 0), simd.load(y, 0)
    simd.store(out, 0, simd.fma(a, b, a) - a * b)
    simd.store(out, 8, simd.maximum(a, b))
    simd.store(out, 16, simd.exp_of_at_most_zero(a))
    simd.scatter(out, 24, 2, simd.spread_at(y, 3) + simd.spread(x[5]))
    return simd.lane_sum(a)


@REALS
def test_registers_compute_what_numpy_does(real: type) -> None:
    x, y = np.linspace(-6, 1, 8).astype(real), np.linspace(3, -8, 8).astype(real)
    out = np.full(40, 77, real)
    total = _register_arithmetic(x, y, out)
    assert total == pytest.approx(x.sum(), rel=1e-6)
    np.testing.assert_allclose(out[:8], x, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(out[8:16], np.maximum(x, y))
    np.testing.assert_allclose(out[16:24], np.exp(np.minimum(x, 0)), rtol=3e-7 if real == np.float32 else 1e-15)
    np.testing.assert_array_equal(out[24::2], np.full(8, y[3] + x[5]))
    np.testing.assert_array_equal(out[25::2], np.full(8, 77))  # what is between the lanes is left alone


@njit
def _sums_of_eight(x, out):
    a, b, c, d = simd.load(x, 0), simd.load(x, 8), simd.load(x, 16), simd.load(x, 24)
    e, f, g, h = simd.load(x, 32), simd.load(x, 40), simd.load(x, 48), simd.load(x, 56)
    simd.store(out, 0, simd.lane_sums(a, b, c, d, e, f, g, h))


@REALS
def test_eight_sums_at_once(real: type) -> None:
    x = np.random.default_rng(0).integers(-99, 99, (8, 8)).astype(real)
    out = np.empty(8, real)
    _sums_of_eight(x.ravel(), out)
    np.testing.assert_array_equal(out, x.sum(1))


@njit
def _wide_products(lines, table, out):
    """out[e, l] = table[e] . lines[l], of eight by WIDE numbers each; then the lines, doubled."""
    turned = np.empty(8 * wide.WIDE, lines.dtype)
    wide.store_all(turned, 0, wide.WIDE, wide.to_runs(wide.load_all(lines, 0, wide.WIDE)))
    sums = wide.zeros(lines[0])
    for c in range(0, wide.WIDE, wide.RUN):
        rows = wide.places(0, wide.WIDE)
        sums = wide.add_run_products(sums, table, rows, c, wide.load_wide(turned, c * 8))
    wide.store_all(out, 0, 8, wide.sum_runs(sums))
    once = wide.load_all(lines, 0, wide.WIDE)
    wide.store_all(out, 64, wide.WIDE, wide.add_all(once, once))
    ones = wide.add_products(wide.zeros(lines[0]), table, wide.places(0, 1), 3, wide.spread_wide(lines[1]))
    wide.store_all(out, 64 + 8 * wide.WIDE, wide.WIDE, ones)


@REALS
def test_wide_registers_and_runs_of_columns(real: type) -> None:
    lines, table = np.random.default_rng(0).integers(-9, 9, (2, 8, wide.WIDE)).astype(real)
    out = np.empty(64 + 16 * wide.WIDE, real)
    _wide_products(lines.ravel(), table.ravel(), out)
    np.testing.assert_array_equal(out[:64].reshape(8, 8), table @ lines.T)
    np.testing.assert_array_equal(out[64 : 64 + lines.size], 2 * lines.ravel())
    ones = np.repeat(table.ravel()[3:11] * lines[0, 1], wide.WIDE)
    np.testing.assert_array_equal(out[64 + lines.size :], ones)


@njit
def _exponentials(x, out):
    for i in range(0, len(x), 8):
        simd.store(out, i, simd.exp_of_at_most_zero(simd.load(x, i)))


def test_exponential_over_its_range() -> None:
    """Two parts in ten million down to the smallest normal number, and never below that, also for -1e30."""
    x = np.concatenate([np.linspace(-87, 0, 79_992), [-100, -1e4, -1e30, 0, -0.0, -1e-30, 5, 1e-20]]).astype(np.float32)
    out = np.empty_like(x)
    _exponentials(x, out)
    wanted = np.exp(np.clip(x.astype(np.float64), -87, 0))
    np.testing.assert_allclose(out, wanted, rtol=2e-7)


@njit
def _widen(bits, out):
    simd.store(out, 0, simd.load(bits, 0))
    for i in range(8, len(bits)):
        out[i] = widened(bits[i])


def test_bfloat16_is_widened_exactly() -> None:
    numbers = torch.tensor([0.0, -0.0, 1.0, -2.5, 3e38, 1e-38, torch.inf, 0.1, 0.2, -0.3]).bfloat16()
    out = np.empty(10, np.float32)
    _widen(numbers.view(torch.uint16).numpy(), out)
    np.testing.assert_array_equal(out, numbers.float().numpy())


def test_rows_are_cut_without_loss() -> None:
    degree = torch.tensor([0, 5, PIECE, PIECE + 1, 3 * PIECE, 0, 1])
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)])
    pieces = Rows.of(ptr)
    assert pieces.row.tolist() == [0, 1, 2, 3, 3, 4, 4, 4, 5, 6]
    for n, count in enumerate(degree.tolist()):
        mine = pieces.row == n
        assert (pieces.end - pieces.begin)[mine].sum() == count
        assert (pieces.begin[mine][0], pieces.end[mine][-1]) == (ptr[n], ptr[n + 1])
        assert (pieces.begin[mine][1:] == pieces.end[mine][:-1]).all()
    assert pieces.partial.tolist() == [-1, -1, -1, 0, 1, 2, 3, 4, -1, -1]
    assert pieces.split_row.tolist() == [3, 4]
    assert pieces.split_partial.tolist() == [0, 2, 5]
    assert (pieces.end - pieces.begin).max() == PIECE


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_groups_share_the_edges_evenly(count: int) -> None:
    """Within one piece of the mean, though one row holds half of all edges."""
    generator = torch.Generator().manual_seed(0)
    degree = torch.randint(0, 40, (500,), generator=generator)
    degree[100] = degree.sum()
    pieces = Rows.of(torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)]))
    groups = pieces.groups(count)
    assert (groups[0], groups[-1], len(groups)) == (0, len(pieces.row), count + 1)
    cost = [(pieces.end - pieces.begin + 12)[a:b].sum() for a, b in itertools.pairwise(groups)]
    assert max(cost) - min(cost) <= 2 * (PIECE + 12)


def test_no_rows_at_all() -> None:
    pieces = Rows.of(torch.zeros(1, dtype=torch.int64))
    assert pieces.groups(3).tolist() == [0, 0, 0, 0]


def run(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> list[Tensor]:
    """Result and gradients by the fused variant."""
    leaves = [x.detach().requires_grad_() for x in ((query, key) if value is key else (query, key, value))]
    out = attend(leaves[0], leaves[1], leaves[-1], edges, backend="fused")
    grad = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    return [out, *torch.autograd.grad(out, leaves, grad)]


def problem(kind: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Edges]:
    """More edges than a piece on one target, and, where sources are shared, on one source."""
    generator = torch.Generator().manual_seed(0)
    count = 2 * PIECE + 77
    target = torch.cat([torch.randint(9, (600,), generator=generator), torch.full((count - 600,), 4)])
    source = torch.arange(count)
    if kind.endswith("shared"):
        source = torch.cat([torch.full((PIECE + 9,), 1), torch.randint(30, (count - PIECE - 9,), generator=generator)])
    size = int(source.max()) + 1
    edges = Edges.from_index(torch.stack([source, target]), size, 9)
    if kind.startswith("multi-query"):
        x = torch.randn(size, 1, 16, generator=generator, dtype=dtype)
        return torch.randn(9, 5, 1, 16, generator=generator, dtype=dtype), x, x, edges
    # Nine heads: a whole register and one more.
    query, key, value = (torch.randn(n, 9, 8, generator=generator, dtype=dtype) for n in (9, size, size))
    return query, key, value, edges


KINDS = pytest.mark.parametrize("kind", ["multi-query", "multi-query shared", "per head", "per head shared"])


@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_several_pieces_equal_the_reference(kind: str, dtype: torch.dtype) -> None:
    query, key, value, edges = problem(kind, torch.float64)
    leaves = [x.requires_grad_() for x in ((query, key) if value is key else (query, key, value))]
    wanted = attend(query, key, value, edges, backend="reference")
    grad = torch.cos(torch.arange(wanted.numel(), dtype=wanted.dtype)).view(wanted.shape)
    gradients = torch.autograd.grad(wanted, leaves, grad)
    key_now = key.to(dtype)
    got = run(query.to(dtype), key_now, key_now if value is key else value.to(dtype), edges)
    bound = 3e-5 if dtype == torch.float32 else 1e-12  # a thousand numbers that nearly cancel
    for ours, theirs in zip(got, [wanted, *gradients], strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=bound, atol=bound * float(theirs.detach().abs().max()))


@pytest.mark.parametrize("kernel", ["multi_query", "per_head"])
def test_large_logits_round_no_weight(kernel: str) -> None:
    """Three equal logits of about ten thousand: the gradient by each value is a third of that by the result."""
    x = torch.zeros(3, 1, 16)
    x[..., 0] = 12345.678
    query, grad = 4 * torch.eye(16)[0].view(1, 1, 16), torch.eye(16)[1].view(1, 1, 16)
    value = x.clone().requires_grad_()
    edges = torch.stack([torch.arange(3), torch.zeros(3, dtype=torch.int64)])
    out = attend(query, value if kernel == "multi_query" else x, value, edges, backend="fused")
    (found,) = torch.autograd.grad(out, value, grad)
    torch.testing.assert_close(found, grad.expand(3, 1, 16) / 3, rtol=3e-7, atol=0)


@KINDS
def test_bits_do_not_depend_on_threads(kind: str) -> None:
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(run(*problem(kind)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_a_query_of_any_strides_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """[R, N, F] in memory, as projections of all heads leave it, is read and answered as it lies."""
    query, x, _, edges = problem("multi-query")
    as_projected = query.squeeze(2).transpose(0, 1).contiguous().transpose(0, 1).unsqueeze(2)
    assert as_projected.stride() != query.stride()
    for a, b in zip(run(query, x, x, edges), run(as_projected, x, x, edges), strict=True):
        assert torch.equal(a, b)
    out = attend(as_projected, x, x, edges, backend="fused")
    assert out.squeeze(2).stride() == as_projected.squeeze(2).stride()
    gappy = torch.cat([query, query], -1)[..., :16]
    assert torch.equal(attend(gappy, x, x, edges, backend="fused"), out)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("kernel", ["multi_query", "per_head"])
def test_frozen_sources_cost_no_memory(kernel: str, frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the size of the edges is handed to the backward kernel to be filled, unless sources learn."""
    query, key, value, edges = problem("multi-query" if kernel == "multi_query" else "per head shared")
    module = {"multi_query": multi_query, "per_head": per_head}[kernel]
    called, backward = [], module.backward

    def spy(*arguments):
        called.append([x.size for x in arguments if isinstance(x, np.ndarray)][-3 if kernel == "per_head" else -1 :])
        return backward(*arguments)

    monkeypatch.setattr(module, "backward", spy)
    learning = [x.requires_grad_() for x in ((query,) if frozen else (query, key, value))]
    out = attend(query, key, value, edges, backend="fused")
    out.square().sum().backward()
    (sizes,) = called
    assert all(size == 0 for size in sizes) if frozen else max(sizes) >= edges.source.numel()
    double = [x.detach().double().requires_grad_(x.requires_grad) for x in (query, key, value)]
    if value is key:
        double[2] = double[1]
    attend(*double, edges, backend="reference").square().sum().backward()
    for x, other in zip(learning, double, strict=False):
        torch.testing.assert_close(x.grad.double(), other.grad, rtol=1e-4, atol=1e-4 * float(other.grad.abs().max()))
