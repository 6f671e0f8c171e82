"""Edge attention by torch_scatter: gather to the edges, softmax by target, scatter back. The semantics of record."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_scatter import scatter_softmax, scatter_sum


def edge_softmax(logits: Tensor, target: Tensor, num_targets: int) -> Tensor:
    """Softmax over the edges that share a target, along the first dimension, in float32 at least.

    Args:
        logits: [E, ...].
        target: [E] int64.
        num_targets: N.

    Returns:
        [E, ...] weights that sum to one over the edges of each target that has any.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return scatter_softmax(logits, target, dim=0, dim_size=num_targets)


def scatter_attention(query: Tensor, key: Tensor, value: Tensor, edge_index: Tensor) -> Tensor:
    """Attention of N targets over their sources: the call and the result of `reference_attention`.

    Half-precision inputs are accumulated in float32; the result has the type of `query`.

    Args:
        query: [N, H, C], or [N, S, H, C] for S slots that attend to the same keys independently.
        key: [M, H, C].
        value: [M, H, C].
        edge_index: [2, E] int64, sources in row 0, targets in row 1, in any order.

    Returns:
        Of the shape of `query`; exactly zero for a target without a source.
    """
    source, target = edge_index
    slots = query if query.ndim == 4 else query[:, None]
    logits = (slots[target] * key[source][:, None]).sum(-1) / query.shape[-1] ** 0.5  # [E, S, H]
    weights = edge_softmax(logits, target, len(query))
    messages = weights[..., None] * value[source][:, None]  # [E, S, H, C]
    return scatter_sum(messages, target, dim=0, dim_size=len(query)).to(query.dtype).view_as(query)
