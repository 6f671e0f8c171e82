"""A graph's vertices relabelled for the cache: the same edges, the same results, and only where it helps."""

import torch
from torch import Tensor

from hgg_pyg.attention import Edges, attend
from hgg_pyg.attention.kernels.walk import walk_of


def ring(size: int, shuffled: bool) -> Edges:
    """Each vertex beside the two before it, itself, and the one after it; vertex 7 has no edge to it."""
    target = torch.arange(size).repeat_interleave(4)
    source = (target + torch.tensor([-2, -1, 0, 1]).repeat(size)) % size
    keep = target != 7
    edges = torch.stack([source[keep], target[keep]])
    ids = torch.randperm(size, generator=torch.Generator().manual_seed(0)) if shuffled else torch.arange(size)
    return Edges.from_index(ids[edges], size, size)


def test_neighbours_come_near_and_edges_stay() -> None:
    edges = ring(500, shuffled=True)
    walk = walk_of(edges)
    assert walk is not None
    assert torch.equal(walk.order[walk.place], torch.arange(500))
    assert (walk.edges.source - walk.edges.target).abs().float().mean() < 10
    back = walk.order[walk.edges.edge_index]
    order = back[1].argsort(stable=True)
    assert torch.equal(back[:, order], edges.edge_index)  # within a row in the order they had
    assert torch.equal(walk.edges.ptr, Edges.from_index(walk.edges.edge_index, 500, 500).ptr)


def test_no_walk_where_none_helps() -> None:
    assert walk_of(ring(500, shuffled=False)) is None  # near already
    generator = torch.Generator().manual_seed(0)
    anywhere = torch.randint(500, (2, 4000), generator=generator)
    assert walk_of(Edges.from_index(anywhere, 500, 500)) is None
    assert walk_of(Edges.from_index(anywhere, 501, 500)) is None  # not one graph
    assert walk_of(Edges.from_index(torch.stack([torch.randperm(500), torch.arange(500)]), 500, 500)) is None
    assert walk_of(Edges.from_index(torch.empty(2, 0, dtype=torch.int64), 500, 500)) is None


def run(edges: Edges, backend: str, *leaves: Tensor) -> list[Tensor]:
    leaves = tuple(x.detach().requires_grad_() for x in leaves)
    out = attend(leaves[0], leaves[1], leaves[2], edges, backend=backend)
    grad = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    return [out, *torch.autograd.grad(out, leaves, grad)]


def test_results_are_those_of_the_reference() -> None:
    """Values and gradients, with slots, and channels that do not fill a register."""
    edges = ring(300, shuffled=True)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(300, 2, 3, 5, generator=generator, dtype=torch.float64)
    key, value = torch.randn(2, 300, 3, 5, generator=generator, dtype=torch.float64)
    assert edges.derive(walk_of) is not None
    for got, wanted in zip(
        run(edges, "fused", query, key, value), run(edges, "reference", query, key, value), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
