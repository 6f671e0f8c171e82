"""Edge attention by torch_scatter: gather to the edges, softmax by target, scatter back. The semantics of record.

torch_scatter is loaded when it is first needed: where it is not installed, the other variants still run.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._compiling import untraced
from hgg_pyg.attention.methods._edgewise import edge_logits, to_edges
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


@untraced
def edge_softmax(logits: Tensor, target: Tensor, num_targets: int) -> Tensor:
    """Softmax over the edges that share a target, along the first dimension, in float32 at least.

    Args:
        logits: [E, ...].
        target: [E] int64.
        num_targets: N.

    Returns:
        [E, ...] weights that sum to one over the edges of each target that has any.
    """
    from torch_scatter import scatter_softmax

    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return scatter_softmax(logits, target, dim=0, dim_size=num_targets)


@untraced
def scatter_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention edge by edge, half precision accumulated in float32; see `attend` and `Variant`."""
    from torch_scatter import scatter_sum

    queries, keys, values = to_edges(query, key, value, edges)
    weights = edge_softmax(edge_logits(queries, keys), edges.target, len(query))
    messages = weights[..., None] * values  # [E, S, H, C]
    return scatter_sum(messages, edges.target, dim=0, dim_size=len(query)).to(query.dtype)


VARIANT = Variant(
    "scatter",
    "torch_scatter softmax and sum, edge by edge",
    scatter_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
    requires=("torch_scatter",),
)
