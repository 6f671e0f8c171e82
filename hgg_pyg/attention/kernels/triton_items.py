"""Rows of edges cut into pieces of bounded length, so that a row that owns half of all edges occupies many programs."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges

SPLIT = 512
"""edges of a piece at most"""


@dataclass(frozen=True)
class Items:
    """What the programs of a kernel work on: the rows are targets that list their sources, or sources their targets.

    A row of at most `SPLIT` entries is one item, also if it is empty, and the item's program writes the row's result.
    A longer row is several items; each writes a partial result to a place of its own, and these are merged afterwards.
    """

    neighbor: Tensor | None  # [E] int64: the other end of each entry; None: entry e's is e
    item: Tensor  # [I, 4] int64: row, first entry, end, place of its partial result or -1; the longest come first
    split: Tensor  # [L] int64: rows of several items
    first: Tensor  # [L + 1] int64: places first[l] to first[l + 1] belong to row split[l]
    places: int
    mean_degree: float


def cut_rows(ptr: Tensor, neighbor: Tensor | None, entries: int) -> Items:
    """Cut rows into items of at most `SPLIT` entries.

    Args:
        ptr: [R + 1] int64, the entries of row r are ptr[r] to ptr[r + 1].
        neighbor: [E] int64, or None; see `Items`.
        entries: E.
    """
    degree = ptr.diff()
    pieces = (degree + SPLIT - 1).div(SPLIT, rounding_mode="floor").clamp(min=1)
    row = torch.arange(len(degree), device=ptr.device).repeat_interleave(pieces)
    nth = torch.arange(len(row), device=ptr.device) - (pieces.cumsum(0) - pieces)[row]
    begin = ptr[row] + nth * SPLIT
    end = torch.minimum(begin + SPLIT, ptr[row + 1])
    partial = (pieces > 1)[row]
    place = torch.where(partial, partial.cumsum(0) - 1, -1)
    longest = (end - begin).argsort(descending=True, stable=True)  # started last, a long item would finish alone
    split = (pieces > 1).nonzero()[:, 0]
    first = torch.cat([ptr.new_zeros(1), pieces[split].cumsum(0)])
    item = torch.stack([row, begin, end, place], dim=1)[longest]
    return Items(neighbor, item, split, first, int(first[-1]), entries / max(len(degree), 1))


def by_target(edges: Edges) -> Items:
    """Items of the targets, computed once for the same `Edges`."""
    if edges not in _by_target:
        neighbor = None if edges.in_order else edges.source
        _by_target[edges] = cut_rows(edges.ptr, neighbor, len(edges.source))
    return _by_target[edges]


def by_source(edges: Edges) -> Items:
    """Items of the sources, computed once for the same `Edges`."""
    if edges not in _by_source:
        ptr, edge = edges.by_source
        _by_source[edges] = cut_rows(ptr, edges.target[edge], len(edge))
    return _by_source[edges]


_by_target: WeakKeyDictionary[Edges, Items] = WeakKeyDictionary()
_by_source: WeakKeyDictionary[Edges, Items] = WeakKeyDictionary()
