"""The edges of one graph, sorted by target once and reused by every layer that walks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

Derived = TypeVar("Derived")


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
    _derived: dict[Callable[[Edges], Any], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_index(
        cls, edge_index: Tensor | Edges, num_sources: int, num_targets: int, ptr: Tensor | None = None
    ) -> Edges:
        """Check edges, and sort them unless they are sorted.

        Args:
            edge_index: [2, E] int64, sources in row 0, targets in row 1; or a PyG
                `EdgeIndex`; or edges made before, which are returned as they are.
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
            edge_index = edge_index.as_tensor()
        if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
            raise ValueError(f"edge_index: expected [2, E] int64, found {list(edge_index.shape)} {edge_index.dtype}")
        source, target = edge_index.contiguous()
        for what, index, size in (("source", source, num_sources), ("target", target, num_targets)):
            if index.numel():
                low, high = (int(x) for x in index.aminmax())
                if low < 0 or high >= size:
                    raise ValueError(f"edge_index: expected {what} indices in 0..{size - 1}, found {low}..{high}")
        if ptr is not None:
            _check_pointers(ptr, target, num_targets)
            return cls(source, target, ptr.to(target), num_sources, num_targets)
        if not bool((target[1:] >= target[:-1]).all()):
            target, order = target.sort(stable=True)
            source = source[order]
        return cls(source, target, _pointers(target, num_targets), num_sources, num_targets)

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
        return x.index_select(0, self.source), Edges(line, self.target, self.ptr, count, self.num_targets, True)


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
