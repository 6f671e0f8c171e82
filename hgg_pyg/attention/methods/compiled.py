"""PyG's edge attention under torch.compile, which fuses the gathering into the loops over the edges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch_geometric.utils import scatter, softmax

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._compiling import many_kinds
from hgg_pyg.attention.methods._edgewise import edge_logits
from hgg_pyg.attention.registry import HALF, Variant


def compiled_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention edge by edge; see `attend` for the formula and `Variant` for the shapes.

    The first call compiles for about 20 s, the first of every other kind of input (see `_compiling`) for about 7 s.
    Sums are added atomically, so that with several threads two runs may differ in the last bits.
    """
    keys = key.float().contiguous()
    values = keys if value is key else value.float().contiguous()
    with many_kinds():
        out = _compiled()(query.float().contiguous(), keys, values, edges.source, edges.target)
    return out.to(query.dtype)


@cache
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(_attention, dynamic=True, fullgraph=True)


def _attention(query: Tensor, key: Tensor, value: Tensor, source: Tensor, target: Tensor) -> Tensor:
    size = query.shape[0]
    logits = edge_logits(query[target], key[source][:, None])
    weights = softmax(logits, target, num_nodes=size)
    return scatter(weights[..., None] * value[source][:, None], target, 0, size, "sum")


VARIANT = Variant(
    "compiled",
    "PyG softmax by index under torch.compile; the first call compiles",
    compiled_attention,
    cpu=(torch.float32, *HALF),
    cuda=(torch.float32, *HALF),
    deterministic=False,
)
