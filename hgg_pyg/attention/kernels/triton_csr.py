r"""Fused attention along sorted edges on CUDA: one pass over the edges forward, nothing kept of their number.

For a query q_n, the keys and values of its edges e and the scale s = 1/sqrt(C), with running maximum t, sum l and
result o per program:

.. math::
    z_e = s\, q_n \cdot k_e, \quad t' = \max(t, \max_e z_e), \quad
    l' = l\, e^{t - t'} + \sum_e e^{z_e - t'}, \quad o' = o\, e^{t - t'} + \sum_e e^{z_e - t'} v_e

and finally o_n = o / l and L_n = t + log l; both are zero without edges. Rows of many edges are cut into items (see
`triton_items`), whose partial (o_i, L_i) are merged in a fixed order: L_n = log sum_i exp L_i,
o_n = sum_i exp(L_i - L_n) o_i.

Backward recomputes the weights from L. With g_n the gradient of o_n and D_n = g_n . o_n:

.. math::
    p_e = e^{z_e - L_n}, \quad d_e = p_e (g_n \cdot v_e - D_n), \quad
    \partial q_n = s \sum_e d_e k_e, \quad \partial k_m = s \sum_{e \ni m} d_e q_{n(e)}, \quad
    \partial v_m = \sum_{e \ni m} p_e g_{n(e)}

The sum over a target's edges is a pass over the targets; where no source has two edges, the same order of work writes
the gradients of the sources. Otherwise a second pass, over the sources, sums those. There are no atomic operations, so
results repeat bit for bit. Everything is accumulated in float32 (float64 for float64).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.kernels import triton_matrix, triton_vector
from hgg_pyg.attention.kernels.triton_items import by_source, by_target
from hgg_pyg.attention.kernels.triton_merge import row_dot

MOST_CHANNELS = 256


def triton_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention of N targets over their sources; see `hgg_pyg.attention.attend` for the formula.

    Where `value` is the very tensor `key` (folded projections), it is read once, and its gradient is written once.
    Gradients that are not needed are not computed: with frozen keys and values, nothing of their size is allocated.

    Args:
        query: [N, S, H, C] of float32, bfloat16, float16 or float64, on CUDA.
        key: [M, H, C], of the query's type, or of half precision under a float32 query.
        value: [M, H, C], of the key's type.
        edges: from M sources to N targets.

    Returns:
        [N, S, H, C] of the query's type.

    Raises:
        ValueError: more than 256 channels per head.
    """
    if query.shape[-1] > MOST_CHANNELS:
        raise ValueError(f"query: expected at most {MOST_CHANNELS} channels per head, found {query.shape[-1]}")
    with torch.cuda.device_of(query):
        return _Attention.apply(query, key, None if value is key else value, edges)  # pyright: ignore[reportReturnType]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor | None, edges: Edges) -> Tensor:
        query, key = query.contiguous(), key.contiguous()
        value = None if value is None else value.contiguous()
        kernels = triton_vector if query.shape[1] == 1 else triton_matrix
        out, lse = kernels.forward(query, key, value, by_target(edges))
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.edges = edges
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        edges: Edges = ctx.edges
        need_query, need_key, need_value = ctx.needs_input_grad[:3]
        need_source = need_key or need_value
        unique = need_source and edges.unique_sources
        grad = grad.contiguous()
        with torch.cuda.device_of(query):
            given = (query, key, value, grad, lse, row_dot(grad, out))
            # With unique sources, a source without an edge has no program that would write its zeros.
            make = torch.zeros_like if unique and len(edges.source) < len(key) else torch.empty_like
            dquery = torch.empty_like(query) if need_query else None
            dkey = make(key) if need_key else None
            dvalue = make(value) if need_value else None
            if query.shape[1] == 1:
                if unique:
                    triton_vector.backward_query(given, by_target(edges), dquery, dkey, dvalue)
                elif dquery is not None:
                    triton_vector.backward_query(given, by_target(edges), dquery)
            else:
                if dquery is not None:
                    triton_matrix.backward_query(given, by_target(edges), dquery)
                if unique:
                    triton_matrix.backward_unique(given, by_target(edges), dkey, dvalue)
            if need_source and not unique:
                triton_vector.backward_source(given, by_source(edges), dkey, dvalue)
        return dquery, dkey, dvalue, None
