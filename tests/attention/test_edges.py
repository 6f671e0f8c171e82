"""Edges: sorted and checked once, with what is derived from them."""

import dataclasses

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from hgg_pyg.attention import Edges, attend

SOURCE = [4, 0, 2, 2, 0, 2]
TARGET = [3, 1, 1, 3, 0, 1]
SORTED = [[0, 0, 2, 2, 4, 2], [0, 1, 1, 1, 3, 3]]  # by target, otherwise in their order
PTR = [0, 1, 4, 4, 6, 6]
SIZE = (6, 5)  # the last source and the last target have no edge


def unsorted() -> Tensor:
    return torch.tensor([SOURCE, TARGET])


def check(edges: Edges) -> None:
    assert [edges.source.tolist(), edges.target.tolist()] == SORTED
    assert edges.ptr.tolist() == PTR
    assert (edges.num_sources, edges.num_targets) == SIZE
    for x in (edges.source, edges.target, edges.ptr):
        assert type(x) is Tensor
        assert x.dtype == torch.int64


def test_are_sorted_by_target_in_a_stable_order() -> None:
    check(Edges.from_index(unsorted(), *SIZE))
    check(Edges.from_index(torch.tensor(SORTED), *SIZE))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_take_row_pointers(dtype: torch.dtype) -> None:
    edges = Edges.from_index(torch.tensor(SORTED), *SIZE, ptr=torch.tensor(PTR, dtype=dtype))
    check(edges)
    assert edges.edge_index.tolist() == SORTED


def test_edges_are_returned_as_they_are() -> None:
    edges = Edges.from_index(unsorted(), *SIZE)
    assert Edges.from_index(edges, *SIZE) is edges
    with pytest.raises(ValueError, match=r"edges: expected \(5, 6\) sources and targets, found .* \(6, 5\)"):
        Edges.from_index(edges, 5, 6)


@pytest.mark.parametrize("sparse_size", [None, SIZE, (6, None)])
@pytest.mark.parametrize("sort_order", ["col", "row", None])
def test_take_an_edge_index_of_pyg(sort_order: str | None, sparse_size: tuple[int | None, int | None] | None) -> None:
    index = unsorted()
    if sort_order == "col":
        index = torch.tensor(SORTED)
    if sort_order == "row":
        index = index[:, index[0].argsort(stable=True)]
    edges = Edges.from_index(EdgeIndex(index, sparse_size=sparse_size, sort_order=sort_order), *SIZE)
    assert edges.ptr.tolist() == PTR
    assert edges.target.tolist() == SORTED[1]
    found = sorted(zip(edges.target.tolist(), edges.source.tolist(), strict=True))
    assert found == sorted(zip(TARGET, SOURCE, strict=True))
    assert all(type(x) is Tensor for x in (edges.source, edges.target, edges.ptr))


def test_degree_and_unique_sources() -> None:
    edges = Edges.from_index(unsorted(), *SIZE)
    assert edges.degree.tolist() == [1, 3, 0, 2, 0]
    assert edges.degree is edges.degree
    assert not edges.unique_sources
    assert Edges.from_index(torch.tensor([[3, 1], [0, 0]]), 4, 1).unique_sources
    assert not Edges.from_index(torch.tensor([[3, 3], [0, 1]]), 4, 2).unique_sources
    assert Edges.from_index(torch.empty(2, 0, dtype=torch.int64), 4, 2).unique_sources


def test_by_source() -> None:
    edges = Edges.from_index(unsorted(), *SIZE)
    ptr, edge = edges.by_source
    assert ptr.tolist() == [0, 2, 2, 5, 5, 6, 6]
    for m in range(SIZE[0]):
        mine = edge[ptr[m] : ptr[m + 1]]
        assert mine.tolist() == (edges.source == m).nonzero().flatten().tolist()


def test_lay_out() -> None:
    edges = Edges.from_index(unsorted(), *SIZE)
    x = torch.randn(6, 2, 3, requires_grad=True)
    rows, line = edges.lay_out(x)
    assert torch.equal(rows, x[edges.source])
    assert line.source.tolist() == list(range(6))
    assert line.target.tolist() == edges.target.tolist()
    assert (line.num_sources, line.num_targets, line.in_order, line.unique_sources) == (6, 5, True, True)
    assert line.lay_out(rows) == (rows, line)
    rows.sum().backward()
    assert x.grad is not None
    assert x.grad[:, 0, 0].tolist() == [2, 0, 3, 0, 1, 0]


def test_derive_computes_once() -> None:
    calls = []

    def make(edges: Edges) -> int:
        calls.append(edges)
        return len(edges.source)

    edges, other = (Edges.from_index(unsorted(), *SIZE) for _ in range(2))
    assert [edges.derive(make), edges.derive(make), other.derive(make)] == [6, 6, 6]
    assert len(calls) == 2
    assert calls[0] is edges
    assert calls[1] is other


def test_are_frozen_and_equal_only_to_themselves() -> None:
    edges = Edges.from_index(unsorted(), *SIZE)
    assert edges == edges
    assert edges != Edges.from_index(unsorted(), *SIZE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        edges.num_sources = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_edges_are_walked_as_their_index_is() -> None:
    query, key, value = torch.randn(5, 1, 2), torch.randn(6, 1, 2), torch.randn(6, 1, 2)
    expected = attend(query, key, value, unsorted())
    sorted_index = torch.tensor(SORTED)
    for edges in (
        Edges.from_index(unsorted(), *SIZE),
        unsorted().int(),
        torch.sparse_coo_tensor(unsorted().flip(0), torch.ones(6), SIZE[::-1]),
        EdgeIndex(sorted_index, sort_order="col"),
        EdgeIndex(unsorted()),
    ):
        assert torch.equal(attend(query, key, value, edges), expected)
    assert torch.equal(attend(query, key, value, sorted_index, ptr=torch.tensor(PTR)), expected)


@pytest.mark.parametrize(
    ("index", "ptr", "message"),
    [
        (torch.zeros(3, 4, dtype=torch.int64), None, r"edge_index: expected \[2, E\] integers, found \[3, 4\]"),
        (torch.zeros(2, dtype=torch.int64), None, r"edge_index: expected \[2, E\] integers, found \[2\]"),
        (torch.zeros(2, 4, dtype=torch.int16), None, r"edge_index: expected \[2, E\] integers, found .*int16"),
        (torch.tensor([[0, 6], [0, 0]]), None, r"edge_index: expected source indices in 0\.\.5, found 0\.\.6"),
        (torch.tensor([[0, 1], [-1, 0]]), None, r"edge_index: expected target indices in 0\.\.4, found -1\.\.0"),
        (
            torch.tensor([[0, 1], [1, 0]]),
            torch.tensor([0, 1, 2, 2, 2, 2]),
            "ptr: expected edges sorted by target, found unsorted ones",
        ),
        (torch.tensor(SORTED), torch.tensor([0, 1, 4, 5, 6, 6]), "ptr: expected the row pointers of these 6 edges"),
        (torch.tensor(SORTED), torch.tensor(PTR[:-1]), r"ptr: expected \[6\] integers, found \[5\]"),
    ],
)
def test_wrong_edges_are_refused(index: Tensor, ptr: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Edges.from_index(index, *SIZE, ptr=ptr)
    assert "\n" not in str(caught.value)
