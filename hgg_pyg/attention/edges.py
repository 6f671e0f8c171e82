"""The edges of one graph, sorted by target once and reused by every layer that walks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor  # pyright: ignore[reportAttributeAccessIssue]
from torch_geometric.utils import is_torch_sparse_tensor

Derived = TypeVar("Derived")
AnyEdges: TypeAlias = "Tensor | SparseTensor | Edges"
"""[2, E] integers, a PyG `EdgeIndex`, a transposed adjacency (`SparseTensor`, torch.sparse), or `Edges`."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges from M sources to N targets, ascending by target; `from_index` makes and checks them.

    Give one to `attend` or to a layer instead of an `edge_index`, and what is derived from the edges (row pointers,
    their order by source) is computed once instead of once a call.
    """

    source: Tensor  # [E] int64
    target: Tensor  # [E] int64, ascending
    ptr: Tensor  # [N + 1] int64: the edges of target n are ptr[n] to ptr[n + 1]
    num_sources: int  # M
    num_targets: int  # N
    in_order: bool = False  # source e is the source of edge e, as `lay_out` leaves it
    order: Tensor | None = None  # [E] where each edge stood in what these were made of; None: in the same place
    _derived: dict[Callable[[Edges], Any], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_index(cls, edge_index: AnyEdges, num_sources: int, num_targets: int, ptr: Tensor | None = None) -> Edges:
        """Check edges, and sort them unless they are sorted.

        Args:
            edge_index: [2, E] int64 or int32, sources in row 0, targets in row 1; a PyG `EdgeIndex`, whose cached order
                and pointers are used; the adjacency of targets (rows) by sources, PyG's `adj_t`, as `SparseTensor` or
                torch.sparse CSR, CSC or COO, whose values are not looked at; or edges made before, which are returned
                as they are.
            num_sources: M.
            num_targets: N.
            ptr: [N + 1] row pointers, which say that the edges are sorted by target.

        Raises:
            ValueError: shape or type are wrong, an index is negative or too large, or edges that `ptr` says are sorted
                are not, or not so.
        """
        if isinstance(edge_index, Edges):
            sizes, wanted = (edge_index.num_sources, edge_index.num_targets), (num_sources, num_targets)
            if sizes != wanted:
                raise ValueError(f"edges: expected {wanted} sources and targets, found edges made for {sizes}")
            return edge_index
        if isinstance(edge_index, EdgeIndex):
            if not edge_index.is_sorted:
                return cls.from_index(edge_index.as_tensor(), num_sources, num_targets, ptr)
            return cls._from_csc(edge_index, num_sources, num_targets)
        edge_index = as_edge_index(edge_index)
        if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
            raise ValueError(f"edge_index: expected [2, E] integers, found {list(edge_index.shape)} {edge_index.dtype}")
        _check_range(edge_index, num_sources, num_targets)
        source, target = edge_index.contiguous()
        if ptr is not None:
            _check_pointers(ptr, target, num_targets)
            return cls(source, target, ptr.to(target), num_sources, num_targets)
        order = None
        if not bool((target[1:] >= target[:-1]).all()):
            target, order = target.sort(stable=True)
            source = source[order]
        return cls(source, target, _pointers(target, num_targets), num_sources, num_targets, order=order)

    @classmethod
    def _from_csc(cls, edge_index: EdgeIndex, num_sources: int, num_targets: int) -> Edges:
        """By the column pointers that a sorted `EdgeIndex` keeps, which it computes once if they are not there yet."""
        _check_range(edge_index.as_tensor(), num_sources, num_targets)
        if edge_index.sparse_size(1) not in (None, num_targets):
            raise ValueError(f"edge_index: expected {num_targets} columns, found {edge_index.sparse_size(1)}")
        (ptr, source), order = edge_index.get_csc()
        if len(ptr) <= num_targets:  # without a size, pointers end with the last target that has an edge
            ptr = torch.cat([ptr, ptr[-1:].expand(num_targets + 1 - len(ptr))])
        target = edge_index.as_tensor()[1].long()
        target = target if order is None else target[order]
        return cls(source.long(), target, ptr.long(), num_sources, num_targets, order=order)

    @cached_property
    def edge_index(self) -> Tensor:
        """[2, E] as PyG has it, sorted by target."""
        return torch.stack([self.source, self.target])

    @cached_property
    def degree(self) -> Tensor:
        """[N] edges of each target."""
        return self.ptr.diff()

    @cached_property
    def unique_sources(self) -> bool:
        """Whether no source has more than one edge."""
        return self.in_order or not len(self.source) or int(torch.bincount(self.source).max()) <= 1

    @cached_property
    def by_source(self) -> tuple[Tensor, Tensor]:
        """[M + 1] pointers and [E] edges sorted by source: the edges of source m are edge[ptr[m]:ptr[m + 1]]."""
        ascending, edge = self.source.sort(stable=True)
        return _pointers(ascending, self.num_sources), edge

    def derive(self, make: Callable[[Edges], Derived]) -> Derived:
        """What a variant's own `make` computes from the edges, computed once."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return self._derived[make]

    def lay_out(self, x: Tensor) -> tuple[Tensor, Edges]:
        """Copy the sources' rows [M, ...] into the order of the edges [E, ...]: read once in a line by every layer.

        Returns the copy and the edges that go with it.
        """
        if self.in_order:
            return x, self
        count = len(self.source)
        line = torch.arange(count, device=self.source.device)
        laid_out = Edges(line, self.target, self.ptr, count, self.num_targets, True, self.order)
        return x.index_select(0, self.source), laid_out


def as_edge_index(edges: AnyEdges) -> Tensor:
    """Any format of edges as [2, E] int64 (an `EdgeIndex` stays one), in the order in which the format has them.

    Adjacencies are PyG's `adj_t`: rows are targets.
    """
    if isinstance(edges, Edges):
        return edges.edge_index
    if not isinstance(edges, Tensor):  # SparseTensor
        row, column, _ = edges.coo()
        return torch.stack([column, row])
    if is_torch_sparse_tensor(edges):
        return _of_sparse(edges)
    small = edges.dtype == torch.int32  # torch_scatter takes int64 only
    return edges.long() if small else edges


def _of_sparse(adjacency: Tensor) -> Tensor:
    """[2, E] int64 of a torch.sparse adjacency, targets by sources, in the order of its values."""
    if adjacency.layout == torch.sparse_coo:
        row, column = adjacency._indices()
    elif adjacency.layout == torch.sparse_csr:
        column = adjacency.col_indices()
        row = _rows(adjacency.crow_indices())
    else:
        row = adjacency.row_indices()
        column = _rows(adjacency.ccol_indices())
    return torch.stack([column, row]).long()


def _rows(pointers: Tensor) -> Tensor:
    return torch.arange(len(pointers) - 1, device=pointers.device).repeat_interleave(pointers.diff())


def _check_range(edge_index: Tensor, num_sources: int, num_targets: int) -> None:
    for what, index, size in (("source", edge_index[0], num_sources), ("target", edge_index[1], num_targets)):
        if index.numel():
            low, high = (int(x) for x in index.aminmax())
            if low < 0 or high >= size:
                raise ValueError(f"edge_index: expected {what} indices in 0..{size - 1}, found {low}..{high}")


def _pointers(ascending: Tensor, size: int) -> Tensor:
    """[size + 1] where the entries of each index begin."""
    degree = torch.bincount(ascending, minlength=size)
    return torch.cat([degree.new_zeros(1), degree.cumsum(0)])


def _check_pointers(ptr: Tensor, target: Tensor, num_targets: int) -> None:
    """Refuse pointers that are not those of the edges, and edges that are not sorted."""
    if ptr.shape != (num_targets + 1,) or ptr.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"ptr: expected [{num_targets + 1}] integers, found {list(ptr.shape)} {ptr.dtype}")
    degree = ptr.diff()
    rises = bool((degree >= 0).all()) and int(ptr[0]) == 0 and int(ptr[-1]) == len(target)
    if not rises or not torch.equal(torch.arange(num_targets, device=ptr.device).repeat_interleave(degree), target):
        sorted_ = bool((target[1:] >= target[:-1]).all())
        raise ValueError(
            "ptr: expected edges sorted by target, found unsorted ones"
            if not sorted_
            else f"ptr: expected the row pointers of these {len(target)} edges, found others"
        )
