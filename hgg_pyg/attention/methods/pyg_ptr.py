"""Edge attention by PyG's own softmax and segment, which find a target's edges by row pointers."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.utils import segment, softmax

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._edgewise import differentiable_once, edge_logits, to_edges
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


def pyg_ptr_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention edge by edge; see `attend` for the formula and `Variant` for the shapes.

    `segment` sums in the type it is given, and bfloat16 ones stop adding up at 256: it is given float32.
    """
    queries, keys, values = (differentiable_once(x) for x in to_edges(query, key, value, edges))
    weights = softmax(edge_logits(queries, keys), ptr=edges.ptr)
    return segment(weights[..., None] * values, edges.ptr, "sum").to(query.dtype)


VARIANT = Variant(
    "pyg_ptr",
    "PyG softmax by row pointers, then segment",
    pyg_ptr_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
    requires=("torch_scatter",),
)
