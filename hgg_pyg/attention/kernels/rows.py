"""The rows of a graph cut into pieces of bounded length, and shared out evenly.

One vertex may own half of all Gaussians: were a row the unit of work, one thread would do half of it. What a piece
computes depends on the row alone, so results do not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from hgg_pyg.attention.edges import Edges

PIECE = 1024  # edges
_ROW_COST = 12  # edges that a row costs besides its own: loading its query, writing its result


class Rows(NamedTuple):
    """Pieces in order of their rows. A row of several pieces has them added up from partial results afterwards."""

    row: np.ndarray  # [I] the row of a piece
    begin: np.ndarray  # [I] its first edge
    end: np.ndarray  # [I] one after its last edge
    partial: np.ndarray  # [I] where its partial result goes, -1 for the whole row of a single piece
    split_row: np.ndarray  # [K] rows of several pieces
    split_partial: np.ndarray  # [K + 1] the partial results of split row i are split_partial[i] to split_partial[i + 1]
    num_partials: int

    def groups(self, count: int) -> np.ndarray:
        """[count + 1] bounds between groups of successive pieces that cost about the same."""
        cost = np.cumsum(self.end - self.begin + _ROW_COST)
        total = cost[-1] if len(cost) else 0
        bounds = np.searchsorted(cost, total * np.arange(1, count) / count)
        return np.concatenate([[0], bounds, [len(cost)]])


def cut_rows(pointers: Tensor) -> Rows:
    """Pieces of rows whose edges are pointers[n] to pointers[n + 1]; an empty row is one empty piece."""
    ptr = pointers.numpy()
    pieces = np.maximum(-(-np.diff(ptr) // PIECE), 1)
    row = np.repeat(np.arange(len(pieces)), pieces)
    place = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # of a piece within its row
    begin = ptr[row] + PIECE * place
    end = np.minimum(begin + PIECE, ptr[row + 1])
    split = pieces > 1
    in_split = split[row]
    partial = np.where(in_split, np.cumsum(in_split) - 1, -1)
    split_partial = np.concatenate([[0], np.cumsum(pieces[split])])
    return Rows(row, begin, end, partial, np.flatnonzero(split), split_partial, int(in_split.sum()))


def rows_of_targets(edges: Edges) -> Rows:
    """Pieces of each target's edges; with `Edges.derive`, cut once."""
    return cut_rows(edges.ptr)


def rows_of_sources(edges: Edges) -> Rows:
    """Pieces of each source's edges, in the order of `Edges.by_source`."""
    return cut_rows(edges.by_source[0])
