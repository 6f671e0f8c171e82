"""The rows of a graph cut into pieces of bounded length, and shared out evenly.

One vertex may own half of all Gaussians: were a row the unit of work, one thread would do half of it. What a piece
computes depends on the row alone, so results do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges

PIECE = 1024  # edges, on a CPU
_ROW_COST = 12  # edges that a row costs besides its own: loading its query, writing its result


@dataclass(frozen=True)
class Pieces:
    """Pieces in order of their rows. A row of several pieces has them added up from partial results afterwards."""

    row: Tensor  # [I] the row of a piece
    begin: Tensor  # [I] its first edge
    end: Tensor  # [I] one after its last edge
    partial: Tensor  # [I] where its partial result goes, -1 for the whole row of a single piece
    split_row: Tensor  # [K] rows of several pieces
    split_partial: Tensor  # [K + 1] the partial results of split row i are split_partial[i] to split_partial[i + 1]


def cut_rows(ptr: Tensor, size: int) -> Pieces:
    """Pieces of at most `size` edges of rows whose edges are ptr[n] to ptr[n + 1]; an empty row is one empty piece."""
    count = ((ptr.diff() + size - 1) // size).clamp(min=1)
    row = torch.arange(len(count), device=ptr.device).repeat_interleave(count)
    place = torch.arange(len(row), device=ptr.device) - (count.cumsum(0) - count)[row]
    begin = ptr[row] + size * place
    split = (count > 1)[row]
    split_row = (count > 1).nonzero().flatten()
    return Pieces(
        row,
        begin,
        torch.minimum(begin + size, ptr[row + 1]),
        torch.where(split, split.cumsum(0) - 1, -1),
        split_row,
        torch.cat([ptr.new_zeros(1), count[split_row].cumsum(0)]),
    )


class Rows(NamedTuple):
    """`Pieces` as numba takes them."""

    row: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    partial: np.ndarray
    split_row: np.ndarray
    split_partial: np.ndarray

    @classmethod
    def of(cls, ptr: Tensor) -> Rows:
        """Pieces of at most `PIECE` edges."""
        pieces = cut_rows(ptr, PIECE)
        return cls(*(getattr(pieces, name).numpy() for name in cls._fields))

    @property
    def num_partials(self) -> int:
        """Partial results of all split rows."""
        return int(self.split_partial[-1])

    def groups(self, count: int) -> np.ndarray:
        """[count + 1] bounds between groups of successive pieces that cost about the same."""
        cost = np.cumsum(self.end - self.begin + _ROW_COST)
        total = cost[-1] if len(cost) else 0
        bounds = np.searchsorted(cost, total * np.arange(1, count) / count)
        return np.concatenate([[0], bounds, [len(cost)]])


def rows_of_targets(edges: Edges) -> Rows:
    """Pieces of each target's edges; with `Edges.derive`, cut once."""
    return Rows.of(edges.ptr)


def rows_of_sources(edges: Edges) -> Rows:
    """Pieces of each source's edges, in the order of `Edges.by_source`."""
    return Rows.of(edges.by_source[0])
