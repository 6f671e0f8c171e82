"""Rows gathered to the edges: what is shared by the variants that work edge by edge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.attention.edges import Edges


def to_edges(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> tuple[Tensor, Tensor, Tensor]:
    """The rows that each edge joins: query [E, S, H, C], key and value [E, 1, H, C], in float32 at least.

    They are converted before they are gathered, so that gradients, which the gathering sums, are summed in float32.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    keys = _of_sources(key.to(wide), edges)
    values = keys if value is key else _of_sources(value.to(wide), edges)
    return query.to(wide).index_select(0, edges.target), keys, values


def edge_logits(query: Tensor, key: Tensor) -> Tensor:
    """Scaled dot products [E, S, H] of a query [E, S, H, C] and a key [E, 1, H, C]."""
    return (query * key).sum(-1) / query.shape[-1] ** 0.5


def differentiable_once(x: Tensor) -> Tensor:
    """The same tensor, whose gradient refuses to be differentiated again.

    For operations whose own backward pass is not recorded: torch would give wrong second derivatives without a word.
    """
    return _Once.apply(x)


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad


def _of_sources(x: Tensor, edges: Edges) -> Tensor:
    return (x if edges.in_order else x.index_select(0, edges.source))[:, None]
