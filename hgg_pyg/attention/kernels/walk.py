"""The vertices of a graph under other ids, so that neighbours are near one another in memory.

A vertex's neighbours are read again by theirs. Where ids follow the mesh, successive rows read the same few keys and
values from a core's cache; where ids are in any order, each of them comes from memory that all cores share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges

_NEAR = 1 / 16  # of all ids: neighbours that are nearer than that on average are near enough


@dataclass(frozen=True)
class Walk:
    """A graph's vertices from neighbour to neighbour."""

    order: Tensor  # [N] the vertex at each place
    place: Tensor  # [N] the place of each vertex
    edges: Edges  # between places

    def there(self, x: Tensor) -> Tensor:
        """Rows of vertices [N, ...] as rows of places."""
        return _Reorder.apply(x, self.order, self.place)

    def back(self, x: Tensor) -> Tensor:
        """Rows of places [N, ...] as rows of vertices."""
        return _Reorder.apply(x, self.place, self.order)


def walk_of(edges: Edges) -> Walk | None:
    """A walk (reverse Cuthill-McKee); None where ids are near already, no walk makes them so, or there are two sets."""
    size = edges.num_targets
    if edges.num_sources != size or edges.unique_sources or _distance(edges.source, edges.target) < _NEAR * size:
        return None
    from scipy.sparse import csr_matrix  # loaded where it is needed: layers are imported without
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    links = np.ones(len(edges.source), np.int8), edges.source.numpy(), edges.ptr.numpy()
    found = reverse_cuthill_mckee(csr_matrix(links, shape=(size, size)), symmetric_mode=False)
    order = torch.from_numpy(found.astype(np.int64))
    place = torch.empty_like(order)
    place[order] = torch.arange(size)
    if _distance(place[edges.source], place[edges.target]) >= _NEAR * size:
        return None
    # The edges of a row in the order they had: its sums come out the same, whatever the ids.
    degree = edges.degree[order]
    ptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    target = torch.arange(size).repeat_interleave(degree)
    edge = torch.arange(len(target)) + (edges.ptr[order] - ptr[:-1])[target]
    return Walk(order, place, Edges(place[edges.source[edge]], target, ptr, size, size))


def _distance(source: Tensor, target: Tensor) -> float:
    """Between the ids of neighbours, on average."""
    return float((source - target).abs_().double().mean())


class _Reorder(torch.autograd.Function):
    """Rows in another order, each once: so the gradient is gathered too, not added up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return _gather(x, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (back,) = ctx.saved_tensors
        return _gather(grads[0], back), None, None


def _gather(x: Tensor, order: Tensor) -> Tensor:
    return x.flatten(1).index_select(0, order).view(x.shape)  # torch is slow with rows of several dimensions
