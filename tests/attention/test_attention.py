"""Every way of computing attention against a loop over targets, in values and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hgg_pyg.attention import edge_softmax, reference_attention, scatter_attention

Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
VARIANTS = pytest.mark.parametrize("attention", [reference_attention, scatter_attention])
N, M, H, C = 7, 9, 2, 3


def loop_attention(query: Tensor, key: Tensor, value: Tensor, edge_index: Tensor) -> Tensor:
    """One target at a time, by torch.softmax over its list of sources."""
    source, target = edge_index
    rows = []
    for n in range(len(query)):
        mine = source[target == n]
        logits = torch.einsum("...hc,mhc->...hm", query[n], key[mine]) / query.shape[-1] ** 0.5
        rows.append(torch.einsum("...hm,mhc->...hc", logits.softmax(-1), value[mine]))
    return torch.stack(rows)


def inputs(slots: int = 0, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(N, slots, H, C) if slots else (N, H, C), (M, H, C), (M, H, C)]
    return [torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def edges(case: str) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    source, target = torch.randint(M, (40,), generator=generator), torch.randint(N, (40,), generator=generator)
    if case == "gaps":
        target = target // 2 * 2  # odd targets have no source
    if case == "one holds everything":
        target = torch.full_like(target, 3)
    if case == "duplicates":
        source, target = source.repeat(3), target.repeat(3)
    if case == "empty":
        source, target = source[:0], target[:0]
    return torch.stack([source, target])


CASES = pytest.mark.parametrize("case", ["random", "gaps", "one holds everything", "duplicates", "empty"])


@VARIANTS
@CASES
@pytest.mark.parametrize("slots", [0, 1, 4])
def test_values_and_gradients(attention: Attention, case: str, slots: int) -> None:
    arguments, edge_index = inputs(slots), edges(case)
    upstream = torch.randn_like(arguments[0])
    out, expected = attention(*arguments, edge_index), loop_attention(*arguments, edge_index)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-12)
    got = torch.autograd.grad(out, arguments, upstream)
    for gradient, wanted in zip(got, torch.autograd.grad(expected, arguments, upstream), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-12)


@VARIANTS
@CASES
def test_gradcheck(attention: Attention, case: str) -> None:
    edge_index = edges(case)
    assert torch.autograd.gradcheck(lambda *args: attention(*args, edge_index), inputs())


@VARIANTS
def test_targets_without_sources_are_exactly_zero(attention: Attention) -> None:
    arguments = inputs()
    out = attention(*arguments, edges("gaps"))
    assert bool((out[1::2] == 0).all())
    assert bool((out[::2] != 0).any(-1).all())
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(out.sum(), arguments))


@VARIANTS
def test_no_nodes(attention: Attention) -> None:
    no_edges = torch.empty(2, 0, dtype=torch.int64)
    none, some = torch.zeros(0, H, C, requires_grad=True), torch.randn(4, H, C, requires_grad=True)
    assert attention(none, none, none, no_edges).shape == (0, H, C)
    out = attention(some, none, none, no_edges)
    assert torch.equal(out, torch.zeros(4, H, C))
    out.sum().backward()
    assert some.grad is not None
    assert bool((some.grad == 0).all())


@VARIANTS
def test_duplicates_count_as_often_as_they_occur(attention: Attention) -> None:
    """Equal keys, one edge thrice and one once: the weights are 3/4 and 1/4."""
    value = torch.tensor([1.0, 5.0]).view(2, 1, 1)
    out = attention(torch.ones(1, 1, 1), torch.ones(2, 1, 1), value, torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]]))
    assert out.item() == pytest.approx(2.0)


@VARIANTS
@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_ten_thousand(attention: Attention, sign: int) -> None:
    query, key, value = inputs(dtype=torch.float32)
    scale = sign * 1e4 * C**0.5
    key = torch.linspace(-1, 1, M).view(M, 1, 1).expand(M, H, C).detach().requires_grad_()
    query = torch.ones(N, H, C, requires_grad=True)
    every = torch.cartesian_prod(torch.arange(M), torch.arange(N)).T
    out = attention(query, key * scale / C, value, every)
    winner = M - 1 if sign > 0 else 0
    torch.testing.assert_close(out, value[winner].expand(N, H, C))
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(out.sum(), [query, key, value]))


@VARIANTS
def test_edge_order_does_not_matter(attention: Attention) -> None:
    arguments, edge_index = inputs(), edges("gaps")
    shuffled = edge_index[:, torch.randperm(edge_index.shape[1])]
    torch.testing.assert_close(attention(*arguments, edge_index), attention(*arguments, shuffled))


@VARIANTS
def test_strided_inputs(attention: Attention) -> None:
    arguments, edge_index = inputs(), edges("random")
    strided = [x.detach().transpose(0, 1).contiguous().transpose(0, 1) for x in arguments]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(attention(*strided, edge_index), attention(*arguments, edge_index))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype: torch.dtype) -> None:
    """4,485 values, half zeros and half ones: in bfloat16 their sum would stop at 256."""
    count = 4485
    value = (torch.arange(count) % 2).to(dtype).view(-1, 1, 1)
    edge_index = torch.stack([torch.arange(count), torch.zeros(count, dtype=torch.int64)])
    out = scatter_attention(torch.ones(1, 1, 1, dtype=dtype), torch.ones_like(value), value, edge_index)
    assert out.dtype == dtype
    assert out.item() == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_softmax_sums_to_one_in_float32_or_better(dtype: torch.dtype) -> None:
    target = torch.tensor([3, 0, 3, 3, 0])
    weights = edge_softmax(torch.randn(5, 2, 4).to(dtype), target, 6)
    assert weights.dtype == torch.promote_types(dtype, torch.float32)
    for n in (0, 3):
        torch.testing.assert_close(weights[target == n].sum(0), torch.ones(2, 4, dtype=weights.dtype))
