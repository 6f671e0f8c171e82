"""Edge attention that normalises last: one division a target instead of one an edge. Plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._edgewise import edge_logits, to_edges
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


def late_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Sums of exp(logit) value and of exp(logit), then their ratio; see `attend` and `Variant`."""
    target, size = edges.target, query.shape[:-1]
    queries, keys, values = to_edges(query, key, value, edges)
    logits = edge_logits(queries, keys)  # [E, S, H]
    with torch.no_grad():  # the shift only keeps exp in range
        shift = logits.new_zeros(size)
        index = target[:, None, None].expand_as(logits)
        shift.scatter_reduce_(0, index, logits, "amax", include_self=False)
    weights = (logits - shift.index_select(0, target)).exp()
    total = weights.new_zeros(size).index_add(0, target, weights)
    messages = weights[..., None] * values
    summed = messages.new_zeros(query.shape).index_add(0, target, messages)
    # Shifted by its maximum, a total is 1 at least, or 0 where there is no source.
    return (summed / total.clamp(min=1)[..., None]).to(query.dtype)


VARIANT = Variant(
    "late",
    "plain torch, normalised after the sum",
    late_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
)
