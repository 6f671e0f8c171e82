"""Every format of edges gives the same result, gradients and attention weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from hgg_pyg.attention import AnyEdges, Edges
from tests.nn.conv_cases import KINDS, LAYERS, Case, assert_same, case

# Torch warns once that its sparse tensors are in beta, and once that their invariants are not checked.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse")

Make = Callable[[Tensor, tuple[int, int]], AnyEdges]


def by_column(index: Tensor) -> Tensor:
    return index[:, index[1].argsort(stable=True)]


def by_row(index: Tensor) -> Tensor:
    return index[:, index[0].argsort(stable=True)]


def coo(index: Tensor, size: tuple[int, int]) -> Tensor:
    """The adjacency of targets by sources."""
    return torch.sparse_coo_tensor(index.flip(0), torch.ones(index.shape[1]).double(), size[::-1])


def sparse_tensor(index: Tensor, size: tuple[int, int]) -> SparseTensor:
    return SparseTensor(row=index[1], col=index[0], sparse_sizes=size[::-1])


def small(adjacency: Tensor) -> Tensor:
    parts = adjacency.crow_indices().int(), adjacency.col_indices().int(), adjacency.values()
    return torch.sparse_csr_tensor(*parts, adjacency.shape)


FORMATS: dict[str, Make] = {
    "int64": lambda index, size: index.clone(),
    "int32": lambda index, size: index.int(),
    "strided": lambda index, size: index.t().contiguous().t(),
    "EdgeIndex": lambda index, size: EdgeIndex(index),
    "EdgeIndex of int32": lambda index, size: EdgeIndex(index.int()),
    "EdgeIndex with sizes": lambda index, size: EdgeIndex(index, sparse_size=size),
    "EdgeIndex by column": lambda index, size: EdgeIndex(by_column(index), sort_order="col"),
    "EdgeIndex by column with sizes": lambda index, size: EdgeIndex(
        by_column(index), sparse_size=size, sort_order="col"
    ),
    "EdgeIndex by row": lambda index, size: EdgeIndex(by_row(index), sort_order="row"),
    "EdgeIndex by row with sizes": lambda index, size: EdgeIndex(by_row(index), sparse_size=size, sort_order="row"),
    "EdgeIndex of int32 by column": lambda index, size: EdgeIndex(
        by_column(index).int(), sparse_size=size, sort_order="col"
    ),
    "EdgeIndex with its cache": lambda index, size: EdgeIndex(
        by_row(index), sparse_size=size, sort_order="row"
    ).fill_cache_(),
    "COO": coo,
    "COO, coalesced": lambda index, size: coo(index, size).coalesce(),
    "CSR": lambda index, size: coo(index, size).to_sparse_csr(),
    "CSR of int32": lambda index, size: small(coo(index, size).to_sparse_csr()),
    "CSC": lambda index, size: coo(index, size).to_sparse_csc(),
    "Edges": lambda index, size: Edges.from_index(index, *size),
    "SparseTensor": sparse_tensor,
}
needs_torch_sparse = pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch_sparse is not installed")
ALL = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[needs_torch_sparse] * (name == "SparseTensor")) for name in FORMATS]
)


def simple(kind: str, slots: int = 0, fused: bool = False) -> tuple[Case, Tensor]:
    """A case without double edges, which a sparse adjacency would add up."""
    c = case(kind, slots, fused=fused)
    index = c.edges.unique(dim=1)
    c.edges = index[:, torch.randperm(index.shape[1])]
    return c, c.edges


@ALL
@LAYERS
@KINDS
@pytest.mark.parametrize("slots", [0, 2])
def test_values_and_gradients(name: str, kind: str, slots: int, fused: bool) -> None:
    c, index = simple(kind, slots, fused)
    edges = FORMATS[name](index, c.sizes)
    leaves = c.leaves()
    assert_same(c(edges), c(), leaves)


def by_pair(edges: AnyEdges, weights: Tensor, size: tuple[int, int]) -> Tensor:
    """[targets, sources] weights of the first head and slot, placed by the format itself."""
    values = weights.flatten(1)[:, 0].detach()
    if isinstance(edges, Edges):
        edges = edges.edge_index
    if not isinstance(edges, Tensor):
        return edges.to_dense().flatten(2)[..., 0]  # the weights came back as its values
    if edges.layout == torch.sparse_coo:
        return torch.sparse_coo_tensor(edges._indices(), values, edges.shape).to_dense()
    if edges.layout == torch.sparse_csr:
        return torch.sparse_csr_tensor(edges.crow_indices(), edges.col_indices(), values, edges.shape).to_dense()
    if edges.layout == torch.sparse_csc:
        return torch.sparse_csc_tensor(edges.ccol_indices(), edges.row_indices(), values, edges.shape).to_dense()
    dense = values.new_zeros(size[::-1])
    source, target = torch.stack([edges[0], edges[1]]).long()
    dense[target, source] = values
    return dense


@ALL
@KINDS
@pytest.mark.parametrize("slots", [0, 2])
def test_attention_weights_come_in_the_order_of_the_format(name: str, kind: str, slots: int) -> None:
    c, index = simple(kind, slots)
    edges = FORMATS[name](index, c.sizes)
    out, (same, weights) = c.conv(c.x, edges, return_attention_weights=True)
    torch.testing.assert_close(out, c())
    assert same is edges or name == "SparseTensor"
    expected = c.conv(c.x, index, return_attention_weights=True)[1][1]
    assert weights.shape == expected.shape
    torch.testing.assert_close(by_pair(same, weights, c.sizes), by_pair(index, expected, c.sizes))


@pytest.mark.parametrize("name", [name for name in FORMATS if "CS" in name or "COO" in name])
def test_values_of_an_adjacency_are_its_edge_features(name: str) -> None:
    c = case("intra", edge_dim=1)
    index = c.edges.unique(dim=1)
    adjacency = FORMATS[name](index, c.sizes)
    assert isinstance(adjacency, Tensor)
    values = adjacency._values() if adjacency.layout == torch.sparse_coo else adjacency.values()
    values.copy_(torch.randn(len(values)))
    target, source = adjacency.to_dense().nonzero().T
    features = adjacency.to_dense()[target, source]
    torch.testing.assert_close(c(adjacency), c.conv(c.x, torch.stack([source, target]), features[:, None]))


@pytest.mark.parametrize("order", ["col", "row"])
def test_a_cached_edge_index_is_not_built_again(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    c, index = simple("intra", fused=True)
    edges = FORMATS["EdgeIndex by column with sizes" if order == "col" else "EdgeIndex with its cache"](index, c.sizes)
    assert isinstance(edges, EdgeIndex)
    edges.fill_cache_()
    expected = c()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("sorted again")

    for owner in (Tensor, torch):
        for name in ("sort", "argsort"):
            monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr("hgg_pyg.attention.edges._pointers", refuse)
    torch.testing.assert_close(c(edges), expected)
    first, again = (Edges.from_index(edges, *c.sizes) for _ in range(2))
    (ptr, source), _ = edges.get_csc()
    for made in (first, again):
        assert made.ptr.data_ptr() == ptr.data_ptr()
        assert made.source.data_ptr() == source.data_ptr()


@LAYERS
@KINDS
def test_edges_that_do_not_fit_the_nodes_are_refused(kind: str, fused: bool) -> None:
    c = case(kind, fused=fused)
    sources, targets = c.sizes
    for wrong in ([[0, sources], [0, 0]], [[0, 0], [0, targets]], [[-1, 0], [0, 0]]):
        for edges in (torch.tensor(wrong), EdgeIndex(torch.tensor(wrong))):
            with pytest.raises((ValueError, IndexError)):
                c(edges)
