"""Edge attention by torch_scatter's operations on row pointers: no index of targets is read."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._compiling import untraced
from hgg_pyg.attention.methods._edgewise import differentiable_once, edge_logits, to_edges
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


@untraced
def segment_csr_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention edge by edge; see `attend` for the formula and `Variant` for the shapes."""
    from torch_scatter import gather_csr, segment_csr  # the other variants run without it

    queries, keys, values = (differentiable_once(x) for x in to_edges(query, key, value, edges))
    logits = edge_logits(queries, keys)
    with torch.no_grad():  # the shift only keeps exp in range
        shift = gather_csr(segment_csr(logits, edges.ptr, reduce="max"), edges.ptr)
    weights = (logits - shift).exp()
    weights = weights / gather_csr(segment_csr(weights, edges.ptr, reduce="sum"), edges.ptr)
    return segment_csr(weights[..., None] * values, edges.ptr, reduce="sum").to(query.dtype)


VARIANT = Variant(
    "segment_csr",
    "torch_scatter gather_csr and segment_csr",
    segment_csr_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
    requires=("torch_scatter",),
)
