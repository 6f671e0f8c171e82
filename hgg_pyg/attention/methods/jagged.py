"""Edge attention by jagged nested tensors: scaled dot-product attention over rows of keys of unequal length."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._padding import gather
from hgg_pyg.attention.registry import HALF, Variant


@dataclass(frozen=True)
class Rows:
    """The targets that have an edge: the kernels know no empty row."""

    target: Tensor  # [n] int64
    offsets: Tensor  # [n + 1] int64: where the edges of each begin
    shortest: int
    longest: int


def filled_rows(edges: Edges) -> Rows:
    target = edges.degree.nonzero().flatten()
    low, high = (int(x) for x in edges.degree[target].aminmax())
    return Rows(target, torch.cat([edges.ptr[:1], edges.ptr[target + 1]]), low, high)


def jagged_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention row by row, slots being the queries of a row; see `attend` and `Variant`.

    On a CPU torch pads all rows to the longest, so that time and memory grow as N times the largest degree: on the
    graph of a body, where that is 60 times the mean, this does not fit. Only CUDA devices have kernels for it.
    """
    rows, slots = edges.derive(filled_rows), query.shape[1]
    keys = key if edges.in_order else gather(key, edges.source)
    values = keys if value is key else value if edges.in_order else gather(value, edges.source)
    queries = query.index_select(0, rows.target).flatten(0, 1)
    starts = slots * torch.arange(len(rows.target) + 1, device=query.device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors is in prototype stage")
        out = F.scaled_dot_product_attention(
            _jagged(queries, starts, slots, slots),
            _jagged(keys, rows.offsets, rows.shortest, rows.longest),
            _jagged(values, rows.offsets, rows.shortest, rows.longest),
        )
        out = out.transpose(1, 2).values().unflatten(0, (-1, slots))
    return query.new_zeros(query.shape).index_copy(0, rows.target, out)


def _jagged(x: Tensor, offsets: Tensor, shortest: int, longest: int) -> Tensor:
    """[n, H, ragged, C] of rows [sum of lengths, H, C]"""
    nested = torch.nested.nested_tensor_from_jagged(x, offsets, min_seqlen=shortest, max_seqlen=longest)
    return nested.transpose(1, 2)


VARIANT = Variant(
    "jagged",
    "jagged nested tensors, scaled_dot_product_attention",
    jagged_attention,
    cuda=(torch.float32, *HALF),
)
