"""Every exact variant, found by itself, against the reference, and the reference against a loop over targets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hgg_pyg.attention import Edges, Variant, attend, edge_softmax
from hgg_pyg.attention.methods.compiled import compiled_attention
from tests.attention.attention_cases import COMPILING, GRAPHS, C, H, Run, S, graph, loop_attention, runs


def quick(variant: Variant) -> bool:
    return variant.exact and variant.name not in COMPILING


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("shape", [(H, C), (1, H, C), (S, H, C)])
def test_reference_equals_a_loop_over_targets(name: str, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    edges = graph(name)
    sources, targets = (int(x) + 1 for x in edges.amax(1))
    sizes = [(targets + 1, *shape), (sources, H, C), (sources, H, C)]
    query, key, value = (torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in sizes)
    out = attend(query, key, value, edges, backend="reference")
    expected = loop_attention(query, key, value, edges)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-12)
    upstream = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    wanted = torch.autograd.grad(expected, [query, key, value], upstream)
    for found, other in zip(torch.autograd.grad(out, [query, key, value], upstream), wanted, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-10, atol=1e-12)


def test_gradcheck_of_the_reference() -> None:
    edges = torch.tensor([[0, 1, 1, 4, 0, 0], [0, 0, 0, 3, 3, 1]])
    inputs = [torch.randn(n, 2, 3, dtype=torch.float64).requires_grad_() for n in (5, 6, 6)]
    assert torch.autograd.gradcheck(lambda *x: attend(*x, edges, backend="reference"), inputs)


@runs()
@pytest.mark.parametrize("name", GRAPHS)
def test_values_and_gradients(run: Run, name: str) -> None:
    run.check(*run.inputs(graph(name), S, H, C))


@runs(dtypes=1)
@pytest.mark.parametrize("shape", [(H, C), (1, H, C)])
def test_without_slots_and_with_one(run: Run, shape: tuple[int, ...]) -> None:
    run.check(*run.inputs(graph("inter"), *shape))


@runs(dtypes=1)
@pytest.mark.parametrize("name", ["intra", "inter"])
def test_one_head_whose_keys_are_its_values(run: Run, name: str) -> None:
    """The form of folded projections: slots and heads are queries of raw features, with gradients to these."""
    (query, x, _), edges = run.inputs(graph(name), 8, 1, C)
    run.check([query, x, x], edges)


@runs(quick, dtypes=1)
def test_frozen_keys_and_values(run: Run) -> None:
    (query, x, _), edges = run.inputs(graph("intra"), 8, 1, C)
    frozen = x.detach()
    run.check([query, frozen, frozen], edges)


@runs(quick, dtypes=1)
def test_without_gradients(run: Run) -> None:
    inputs, edges = run.inputs(graph("inter"), S, H, C)
    with torch.no_grad():
        run.check(inputs, edges, backward=False)


@runs(lambda variant: variant.exact and torch.float32 in variant.cpu + variant.cuda)
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_keys_stored_in_half_precision(run: Run, stored: torch.dtype) -> None:
    """As if their rounded values were given in float32; their gradients are of their own type."""
    if run.dtype != torch.float32:
        pytest.skip("half precision is stored under a float32 query only")
    (query, key, value), edges = run.inputs(graph("inter"), S, H, C)
    low = [x.detach().to(stored).requires_grad_() for x in (key, value)]
    wide = [x.detach().float().requires_grad_() for x in low]
    found, expected = run.attend(query, *low, edges), run.attend(query, *wide, edges)
    run.close(found, expected)
    upstream = torch.linspace(-1, 1, found.numel(), device=run.device).view_as(found)
    wanted = torch.autograd.grad(expected, [query, *wide], upstream)
    rounded = Run(run.variant, run.device, stored)
    for gradient, other in zip(torch.autograd.grad(found, [query, *low], upstream), wanted, strict=True):
        (run if gradient.dtype == torch.float32 else rounded).close(gradient, other)


@runs()
@pytest.mark.parametrize("name", ["intra", "inter"])
def test_no_source_gives_exactly_zero(run: Run, name: str) -> None:
    inputs, edges = run.inputs(graph(name), S, H, C)
    out = run.attend(*inputs, edges)
    empty = torch.ones(len(out), dtype=torch.bool, device=run.device).index_fill(0, edges[1], False)
    assert int(empty.sum()) > 3
    assert bool((out[empty] == 0).all())
    assert bool((out[~empty] != 0).all())
    query, key, value = torch.autograd.grad(out.sum(), inputs)
    assert bool((query[empty] == 0).all())
    assert all(bool(x.isfinite().all()) for x in (query, key, value))


@runs(lambda variant: True, dtypes=1)
def test_no_edges_and_no_nodes(run: Run) -> None:
    no_edges = torch.empty(2, 0, dtype=torch.int64, device=run.device)
    none, some = (torch.full((n, H, C), torch.inf, dtype=run.dtype, device=run.device).requires_grad_() for n in (0, 3))
    assert run.attend(none, none, none, no_edges).shape == (0, H, C)
    for key in (none, some):
        out = run.attend(some, key, key, no_edges)
        assert torch.equal(out, torch.zeros_like(some))
        for gradient in torch.autograd.grad(out.sum(), [some, key]):
            assert bool((gradient == 0).all())


@runs()
def test_an_edge_given_thrice_counts_thrice(run: Run) -> None:
    """Equal keys: the weights are 3/4 and 1/4."""
    (query, key, value), _ = run.inputs(torch.tensor([[1], [1]]), S, H, C)
    with torch.no_grad():
        key.fill_(1)
        value.copy_(torch.tensor([1.0, 5.0])[:, None, None])
    out = run.attend(query, key, value, torch.tensor([[0, 0, 1, 0], [1, 1, 1, 1]], device=run.device))
    run.close(out[1], torch.full_like(out[1], 2.0))


@runs()
@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_ten_thousand(run: Run, sign: int) -> None:
    """The winner takes all: its value is the output, and the whole gradient by the values is its own."""
    inputs, edges = run.inputs(graph("inter"), S, H, C)
    with torch.no_grad():
        inputs[0].fill_(100 * C**-0.5 * sign)
        inputs[1].copy_(torch.linspace(-100, 100, len(inputs[1]))[:, None, None])
    out = run.attend(*inputs, edges)
    wins = torch.zeros(len(inputs[2]), dtype=torch.float64)
    for n in edges[1].unique().tolist():
        mine = edges[0, edges[1] == n]
        winner = int(mine.max() if sign > 0 else mine.min())
        wins[winner] += S
        run.close(out[n], inputs[2][winner].expand(S, H, C))
    gradients = torch.autograd.grad(out.sum(), inputs)
    # Where weights are computed again from a logit and the log of a sum, the rounding of 10,000 is theirs.
    run.close(gradients[2].cpu(), wins[:, None, None].expand(-1, H, C), added=20_000)
    assert all(bool(x.isfinite().all()) for x in gradients)


def sparse(variant: Variant) -> bool:
    return variant.exact and variant.name != "reference"


@runs(sparse)
def test_sums_over_thousands_of_sources(run: Run) -> None:
    """4,485 values, half zeros and half ones: a sum in bfloat16, or its gradient, would stop at 256."""
    index = torch.stack([torch.arange(4485), torch.full((4485,), 3000)])
    (query, key, value), edges = run.inputs(index, S, H, C)
    ones = (edges[0] % 2).to(run.dtype)[:, None, None]
    with torch.no_grad():
        query.zero_()
        value.copy_(ones)
        key.copy_(2 * ones - 1)
    out = run.attend(query, key, value, edges)
    share = torch.full((S, H, C), 2242 / 4485, dtype=torch.float64)
    run.close(out[3000].cpu(), share, added=4485)
    (gradient,) = torch.autograd.grad(out.sum(), query)
    run.close(gradient[3000].cpu(), C**0.5 * 2 * share * (1 - share), added=4485)


@runs(sparse)
def test_gradients_of_a_source_of_thousands_of_targets(run: Run) -> None:
    """Every target has sources 0 and 1, of values 1 and 0, of which each gets half."""
    count = 4485
    index = torch.stack([torch.tensor([0, 1]).repeat_interleave(count), torch.arange(count).repeat(2)])
    (query, _, _), edges = run.inputs(index, S, H, C)
    key, value = (torch.zeros(3000, H, C, dtype=run.dtype, device=run.device) for _ in range(2))
    with torch.no_grad():
        query.fill_(1)
        value[0] = 1
    out = run.attend(query, key.requires_grad_(), value.requires_grad_(), edges)
    by_key, by_value = torch.autograd.grad(out.sum(), [key, value])
    halves = torch.full((2, H, C), S * count / 2, dtype=torch.float64)
    run.close(by_value[:2].cpu(), halves, added=count)
    run.close(by_key[:2].cpu(), C**0.5 / 2 * halves * torch.tensor([1, -1])[:, None, None], added=count)


@runs(dtypes=1)
def test_order_of_edges_does_not_matter(run: Run) -> None:
    inputs, edges = run.inputs(graph("duplicates"), S, H, C)
    shuffled = edges[:, torch.randperm(edges.shape[1])]
    run.close(run.attend(*inputs, edges), run.attend(*inputs, shuffled))


@runs(dtypes=1)
def test_rows_laid_out_in_the_order_of_the_edges(run: Run) -> None:
    (query, key, value), edges = run.inputs(graph("inter"), S, H, C)
    known = Edges.from_index(edges, len(key), len(query))
    laid, line = known.lay_out(torch.stack([key, value], 1))
    run.close(run.attend(query, laid[:, 0], laid[:, 1], line), run.attend(query, key, value, known))


@runs(dtypes=1)
def test_strided_inputs(run: Run) -> None:
    inputs, edges = run.inputs(graph("inter"), S, H, C)
    strided = [x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_() for x in inputs]
    assert not any(x.is_contiguous() for x in strided)
    run.check(strided, edges)


@runs(lambda variant: variant.deterministic and variant.exact, dtypes=1, devices=("cpu",))
def test_two_runs_give_the_same_bits(run: Run) -> None:
    inputs, edges = run.inputs(graph("intra"), S, H, C)
    torch.set_num_threads(2)

    def once() -> list[Tensor]:
        out = run.attend(*inputs, edges)
        return [out, *torch.autograd.grad(out.square().sum(), inputs)]

    first = once()
    assert all(torch.equal(*pair) for _ in range(3) for pair in zip(first, once(), strict=True))


# Variants that refuse a second derivative, and how they say so; what is not named gives the right one.
REFUSE_A_SECOND = {
    "buckets": "_scaled_dot_product_.*_backward is not implemented",
    "compiled": "create_graph=False|double backward",
    "fused": "differentiate twice",
    "pyg_ptr": "differentiate twice",
    "segment_csr": "differentiate twice",
    "sparse_csr": "differentiate twice",
}


def second_derivative(attended: Tensor, leaves: list[Tensor]) -> None:
    first = torch.autograd.grad(attended.square().sum(), leaves, create_graph=True)
    sum(x.square().sum() for x in first).backward()


@runs(lambda variant: variant.exact and variant.name not in REFUSE_A_SECOND and bool(variant.cpu), dtypes=1)
def test_second_derivatives(run: Run) -> None:
    inputs, edges = run.inputs(graph("duplicates"), S, H, C)
    double = [x.detach().double().requires_grad_() for x in inputs]
    second_derivative(run.attend(*inputs, edges), inputs)
    second_derivative(attend(*double, edges, backend="reference"), double)
    for x, other in zip(inputs, double, strict=True):
        run.close(x.grad, other.grad)


@runs(lambda variant: variant.name in REFUSE_A_SECOND, dtypes=1)
def test_a_second_derivative_is_refused(run: Run) -> None:
    """Never a wrong one in silence."""
    inputs, edges = run.inputs(graph("duplicates"), S, H, C)
    out = run.attend(*inputs, edges)
    with pytest.raises(RuntimeError, match=REFUSE_A_SECOND[run.variant.name]):
        second_derivative(out, inputs)


def test_gradgradcheck_of_the_reference() -> None:
    edges = torch.tensor([[0, 1, 1, 4, 0, 0], [0, 0, 0, 3, 3, 1]])
    inputs = [torch.randn(n, 2, 3, dtype=torch.float64).requires_grad_() for n in (5, 6, 6)]
    assert torch.autograd.gradgradcheck(lambda *x: attend(*x, edges, backend="reference"), inputs)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, int, int, tuple[int, int, int], int]:
    sources, targets = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    pairs = draw(st.lists(st.tuples(st.integers(0, sources - 1), st.integers(0, targets - 1)), max_size=24))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 3, 5, 16])))
    edge_index = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).T
    return edge_index, sources, targets, shape, draw(st.integers(0, 99))


@runs(quick, dtypes=1, devices=("cpu",))  # CUDA kernels are compiled for each shape
@given(problem=problems())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_small_graph(run: Run, problem: tuple[Tensor, int, int, tuple[int, int, int], int]) -> None:
    edge_index, sources, targets, (slots, heads, channels), seed = problem
    generator = torch.Generator().manual_seed(seed)
    sizes = [(targets, slots, heads, channels), *[(sources, heads, channels)] * 2]
    inputs = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    inputs = [x.to(run.device, run.dtype).requires_grad_() for x in inputs]
    run.check(inputs, edge_index.to(run.device))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_softmax_sums_to_one_in_float32_or_better(dtype: torch.dtype) -> None:
    target = torch.tensor([3, 0, 3, 3, 0])
    weights = edge_softmax(torch.randn(5, 2, 4).to(dtype), target, 6)
    assert weights.dtype == torch.promote_types(dtype, torch.float32)
    for n in (0, 3):
        torch.testing.assert_close(weights[target == n].sum(0), torch.ones(2, 4, dtype=weights.dtype))


def test_compiled_is_compiled_once_for_graphs_of_all_sizes() -> None:
    graphs = torch._dynamo.utils.counters["stats"]
    seen = []
    for count in (70, 90, 300):
        generator = torch.Generator().manual_seed(count)
        source, target = torch.randint(33, (count,), generator=generator), torch.arange(count) % (count // 6)
        edges = Edges.from_index(torch.stack([source, target]), 33, count // 6)
        inputs = [torch.randn(n, *s).requires_grad_() for n, s in ((count // 6, (S, H, C)), (33, (H, C)), (33, (H, C)))]
        compiled_attention(*inputs, edges).sum().backward()
        seen.append(graphs["unique_graphs"])
    assert seen[0] == seen[1] == seen[2] > 0
