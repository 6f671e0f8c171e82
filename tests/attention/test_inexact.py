"""What variants that compute something else than attention promise: all of them, then each by its own definition."""

import pytest
import torch
from torch import Tensor

from hgg_pyg.attention import Edges, Variant, attend, variants
from hgg_pyg.attention.methods.padded import LIMIT
from tests.attention.attention_cases import C, H, Run, S, graph, runs


def inexact(variant: Variant) -> bool:
    return not variant.exact


def only(name: str) -> pytest.MarkDecorator:
    return runs(lambda variant: variant.name == name)


@runs(inexact)
@pytest.mark.parametrize("shape", [(H, C), (S, H, C)])
@pytest.mark.parametrize("name", ["intra", "inter"])
def test_shape_type_zeros_and_weights_that_sum_to_one(run: Run, name: str, shape: tuple[int, ...]) -> None:
    """The gradient of a sum of outputs by the values is the sum of the weights: one per output that has an edge."""
    inputs, edges = run.inputs(graph(name), *shape)
    out = run.attend(*inputs, edges)
    assert (out.shape, out.dtype) == (inputs[0].shape, run.dtype)
    empty = torch.ones(len(out), dtype=torch.bool, device=run.device).index_fill(0, edges[1], False)
    assert bool((out[empty] == 0).all())
    assert bool((out[~empty] != 0).any(-1).all())
    gradients = torch.autograd.grad(out.sum(), inputs, allow_unused=True)
    shares = gradients[2].double().sum(0)
    outputs = int((~empty).sum()) * (shape[0] if len(shape) > 2 else 1)
    run.close(shares.to(run.dtype), torch.full_like(shares, outputs))
    assert all(bool(x.isfinite().all()) for x in gradients if x is not None)


@runs(lambda variant: not variant.exact and variant.deterministic, dtypes=1, devices=("cpu",))
def test_two_runs_give_the_same_bits(run: Run) -> None:
    inputs, edges = run.inputs(graph("intra"), S, H, C)
    torch.set_num_threads(2)
    assert torch.equal(run.attend(*inputs, edges), run.attend(*inputs, edges))


@only("mean")
@pytest.mark.parametrize("name", ["intra", "inter", "duplicates"])
def test_mean_is_attention_of_equal_logits(run: Run, name: str) -> None:
    (query, key, value), edges = run.inputs(graph(name), S, H, C)
    run.close(run.attend(query, key, value, edges), attend(query * 0, key, value, edges, backend="scatter"))
    run.check([query.detach() * 0, key.detach(), value], edges)


@only("mean")
def test_mean_of_thousands(run: Run) -> None:
    value = (torch.arange(4485, device=run.device) % 2).to(run.dtype).view(-1, 1, 1)
    edges = torch.stack([torch.arange(4485), torch.zeros(4485, dtype=torch.int64)]).to(run.device)
    out = run.attend(torch.ones(1, 1, 1, dtype=run.dtype, device=run.device), value, value, edges)
    run.close(out, torch.full((1, 1, 1), 2242 / 4485, dtype=torch.float64))


def first_edges(edges: Tensor, targets: int) -> Tensor:
    """The edges of each target up to the limit, in their order, by a loop."""
    kept = [(edges[1] == n).nonzero().flatten()[:LIMIT] for n in range(targets)]
    return edges[:, torch.cat(kept)]


@only("padded")
@pytest.mark.parametrize("name", ["inter", "intra", "one target", "duplicates"])
def test_padded_is_attention_over_the_first_edges(run: Run, name: str) -> None:
    """Values and gradients; where no target has more than the limit, the first edges are all edges."""
    inputs, edges = run.inputs(graph(name), S, H, C)
    kept = first_edges(edges, len(inputs[0]))
    assert (kept.shape == edges.shape) == (name == "inter")
    found = run.attend(*inputs, edges)
    run.close(found, run.check(inputs, kept))
    double = [x.detach().double().requires_grad_() for x in inputs]
    upstream = torch.linspace(-1, 1, found.numel(), device=run.device).view_as(found).to(found)
    expected = attend(*double, kept, backend="reference")
    wanted = torch.autograd.grad(expected, double, upstream.double())
    for gradient, other in zip(torch.autograd.grad(found, inputs, upstream), wanted, strict=True):
        run.close(gradient, other)


def test_padded_drops_edges_above_its_limit() -> None:
    """A key that would win is beyond the limit."""
    count = LIMIT + 1
    key = torch.zeros(count, 1, 1)
    key[-1] = 100.0
    value = torch.arange(count).float().view(-1, 1, 1)
    edges = Edges.from_index(torch.stack([torch.arange(count), torch.zeros(count, dtype=torch.int64)]), count, 1)
    query = torch.ones(1, 1, 1)
    assert attend(query, key, value, edges, backend="scatter").item() == pytest.approx(LIMIT)
    assert attend(query, key, value, edges, backend="padded").item() == pytest.approx((LIMIT - 1) / 2)


def test_these_are_all_inexact_variants_known_by_name() -> None:
    """Another one needs its own definition tested here."""
    assert {name for name, variant in variants().items() if not variant.exact} == {"mean", "padded"}
