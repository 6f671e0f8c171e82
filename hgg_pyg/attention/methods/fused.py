"""Fused attention: one pass over the edges with online softmax, by our own kernels, nothing of the edges' size kept."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._compiling import untraced
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


@untraced
def fused_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention in one pass forward and one or two backward, deterministic, long rows cut; see `attend` and `Variant`.

    numba on a CPU, Triton on a CUDA device; each is loaded, and compiled, when it is first needed.
    """
    if query.is_cuda:
        from hgg_pyg.attention.kernels.triton_csr import triton_attention

        return triton_attention(query, key, value, edges)
    from hgg_pyg.attention.kernels.cpu import cpu_attention

    return cpu_attention(query, key, value, edges)


VARIANT = Variant(
    "fused",
    "one pass, online softmax: numba on a CPU, Triton on CUDA",
    fused_attention,
    cpu=(*SINGLE, torch.bfloat16),
    cuda=SINGLE + HALF,
    storage=HALF,
    requires=("numba",),
    requires_cuda=("triton",),
)
