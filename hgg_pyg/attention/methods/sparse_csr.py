"""Edge attention by torch.sparse: sampled products, softmax and products of CSR matrices, head by head."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.registry import SINGLE, Variant


def sparse_csr_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention by CSR matrices [N, M] of one entry an edge, also where edges are equal; see `attend` and `Variant`."""
    if len(edges.source) > len(query) * len(key):  # equal edges: torch refuses more entries than there are places
        value, _ = edges.lay_out(value)
        key, edges = edges.lay_out(key)
    return _SparseAttention.apply(query, key, value, edges)


class _SparseAttention(torch.autograd.Function):
    """Matrices that hold an entry twice break a promise of torch's CSR format, but its products only walk the rows."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
        scale = query.shape[-1] ** -0.5
        weights, out = [], torch.empty_like(query, memory_format=torch.contiguous_format)
        for s, h in _slots_and_heads(query):
            logits = scale * _sampled(query[:, s, h], key[:, h], edges)
            weight = _softmax(logits, edges)
            out[:, s, h] = _product(weight, value[:, h], edges)
            weights.append(weight)
        ctx.save_for_backward(query, key, value, *weights)
        ctx.edges = edges
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        edges = ctx.edges
        query, key, value, *weights = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        grad_query, grad_key, grad_value = (
            torch.zeros_like(x, memory_format=torch.contiguous_format) if needed else None
            for x, needed in zip((query, key, value), ctx.needs_input_grad[:3], strict=True)
        )
        for (s, h), weight in zip(_slots_and_heads(query), weights, strict=True):
            upstream = grad[:, s, h]
            if grad_value is not None:
                grad_value[:, h] += _product(weight, upstream, edges, transposed=True)
            if grad_query is None and grad_key is None:
                continue
            along = weight * _sampled(upstream, value[:, h], edges)
            mean = along.new_zeros(len(query)).index_add(0, edges.target, along)
            grad_logits = scale * (along - weight * mean[edges.target])
            if grad_query is not None:
                grad_query[:, s, h] = _product(grad_logits, key[:, h], edges)
            if grad_key is not None:
                grad_key[:, h] += _product(grad_logits, query[:, s, h], edges, transposed=True)
        return grad_query, grad_key, grad_value, None


def _slots_and_heads(query: Tensor) -> list[tuple[int, int]]:
    return [(s, h) for s in range(query.shape[1]) for h in range(query.shape[2])]


def _softmax(logits: Tensor, edges: Edges) -> Tensor:
    """Of the entries [E] of each row."""
    shift = logits.new_zeros(edges.num_targets)
    shift.scatter_reduce_(0, edges.target, logits, "amax", include_self=False)
    weight = (logits - shift[edges.target]).exp()
    total = weight.new_zeros(edges.num_targets).index_add(0, edges.target, weight)
    return weight / total[edges.target]


def _sampled(left: Tensor, right: Tensor, edges: Edges) -> Tensor:
    """Dot products [E] of the rows of left [N, C] and right [M, C] that edges join."""
    pattern = _matrix(edges.ptr, edges.source, left.new_zeros(len(edges.source)), edges.num_sources)
    return torch.sparse.sampled_addmm(pattern, left.contiguous(), right.contiguous().T, beta=0.0).values()


def _product(entries: Tensor, dense: Tensor, edges: Edges, transposed: bool = False) -> Tensor:
    """The [N, M] matrix of these entries, or its transpose, times a dense one."""
    if transposed:
        ptr, edge = edges.by_source
        return _matrix(ptr, edges.target[edge], entries[edge], edges.num_targets) @ dense.contiguous()
    return _matrix(edges.ptr, edges.source, entries, edges.num_sources) @ dense.contiguous()


def _matrix(ptr: Tensor, column: Tensor, entries: Tensor, columns: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(ptr, column, entries, (len(ptr) - 1, columns), check_invariants=False)


VARIANT = Variant(
    "sparse_csr",
    "torch.sparse CSR matrices, head by head",
    sparse_csr_attention,
    cpu=SINGLE if torch.backends.mkl.is_available() else (),
    cuda=SINGLE,
)
