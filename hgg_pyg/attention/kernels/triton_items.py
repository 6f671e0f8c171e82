"""Rows of edges cut into pieces of bounded length, so that a row that owns half of all edges occupies many programs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.kernels.rows import cut_rows

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


def by_target(edges: Edges) -> Items:
    """Items of the targets, computed once for the same `Edges`."""
    return edges.derive(_of_targets)


def by_source(edges: Edges) -> Items:
    """Items of the sources, computed once for the same `Edges`."""
    return edges.derive(_of_sources)


def _of_targets(edges: Edges) -> Items:
    return _items(edges.ptr, None if edges.in_order else edges.source)


def _of_sources(edges: Edges) -> Items:
    ptr, edge = edges.by_source
    return _items(ptr, edges.target[edge])


def _items(ptr: Tensor, neighbor: Tensor | None) -> Items:
    pieces = cut_rows(ptr, SPLIT)
    longest = (pieces.end - pieces.begin).argsort(descending=True, stable=True)  # a long one started last ends alone
    item = torch.stack([pieces.row, pieces.begin, pieces.end, pieces.partial], dim=1)[longest]
    places, mean_degree = int(pieces.split_partial[-1]), int(ptr[-1]) / max(len(ptr) - 1, 1)
    return Items(neighbor, item, pieces.split_row, pieces.split_partial, places, mean_degree)
