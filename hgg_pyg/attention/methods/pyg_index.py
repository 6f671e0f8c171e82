"""Edge attention by PyG's own softmax and scatter, which find a target's edges by their index."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.utils import scatter, softmax

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._edgewise import edge_logits, to_edges
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


def pyg_index_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention edge by edge; see `attend` for the formula and `Variant` for the shapes."""
    size = len(query)
    queries, keys, values = to_edges(query, key, value, edges)
    weights = softmax(edge_logits(queries, keys), edges.target, num_nodes=size)
    return scatter(weights[..., None] * values, edges.target, 0, size, "sum").to(query.dtype)


VARIANT = Variant(
    "pyg_index",
    "PyG softmax by index, then scatter",
    pyg_index_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
)
