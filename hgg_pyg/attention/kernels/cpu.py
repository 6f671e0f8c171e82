"""Fused attention on a CPU: the numba kernels joined into autograd."""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from hgg_pyg.attention.attend import convert
from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.kernels import multi_query, per_head
from hgg_pyg.attention.kernels.rows import Rows, rows_of_sources, rows_of_targets
from hgg_pyg.attention.kernels.walk import walk_of
from hgg_pyg.kernels.numba_tools import numba_threads
from hgg_pyg.kernels.simd import WIDTH

log = logging.getLogger("hgg_pyg")
_GROUPS = 8  # of pieces of rows, a thread


def cpu_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """One pass over the edges, forward and backward, with online softmax; see `attend` and `Variant`.

    Float32 and float64; key and value may be bfloat16 under a float32 query; a bfloat16 query is computed in float32.
    Where key and value are one tensor with one head, each feature is read once for both (multi_query.py); else
    per_head.py. Results do not depend on the number of threads, bit for bit.
    """
    wide = query.to(torch.promote_types(query.dtype, torch.float32))
    if key.dtype == torch.float16:  # numba reads the bits of bfloat16 only
        key, value = convert(key, value, wide.dtype)
    _announce(wide.dtype)
    if key is value and key.shape[1] == 1:
        return _MultiQuery.apply(wide.squeeze(2), key.squeeze(1), edges).to(query.dtype).unsqueeze(2)
    extra = -query.shape[-1] % WIDTH
    if extra:  # registers hold whole channels; zeros change no product
        wide, key, value = (F.pad(x, (0, extra)) for x in (wide, key, value))
    scale, walk = query.shape[-1] ** -0.5, edges.derive(walk_of)
    if walk is None:
        out = _PerHead.apply(wide, key, value, edges, scale)
    else:
        out = walk.back(_PerHead.apply(walk.there(wide), walk.there(key), walk.there(value), walk.edges, scale))
    out = out[..., : query.shape[-1]] if extra else out
    return out.to(query.dtype)


@functools.cache
def _announce(dtype: torch.dtype) -> None:
    """Say once why the first attention takes longer."""
    log.info(
        "fused attention: loading its %s kernels; compiling them takes about half a minute, once on a machine", dtype
    )


class _MultiQuery(torch.autograd.Function):
    """Of queries [N, R, F] and features [M, F]: [N, R, F]; see multi_query.py.

    Strides of the query are kept: projections of all heads by one batched product leave it as [R, N, F] in memory.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, features: Tensor, edges: Edges) -> Tensor:
        query = query if query.stride(-1) == 1 and _is_dense(query) else query.contiguous()
        num_targets, rows, columns = query.shape
        pieces = edges.derive(rows_of_targets)
        out, level = torch.empty_like(query), query.new_empty(num_targets, 2, rows)
        part = query.new_empty(pieces.num_partials, rows, columns)
        part_level = query.new_empty(pieces.num_partials, 2, rows)
        results = _storage(out), _flat(level), _flat(part), _flat(part_level)
        inputs = _storage(query), _flat(features), _flat(edges.source), edges.in_order, pieces
        with numba_threads() as threads:
            groups = pieces.groups(threads * _GROUPS)
            multi_query.forward(groups, _layout(query), _number(columns**-0.5, query), *inputs, *results)
        ctx.save_for_backward(query, features, out, level)
        ctx.edges = edges
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, features, out, level = ctx.saved_tensors
        edges: Edges = ctx.edges
        pieces = edges.derive(rows_of_targets)
        _, rows, columns = query.shape
        grad = grads[0] if grads[0].stride() == query.stride() else torch.empty_like(query).copy_(grads[0])
        dq, part_dq = torch.empty_like(query), query.new_empty(pieces.num_partials, rows, columns)
        dx, in_order = query.new_empty(0), edges.in_order
        shared = ctx.needs_input_grad[1] and not edges.unique_sources
        if ctx.needs_input_grad[1]:
            dx = query.new_zeros(len(edges.source) if shared else len(features), columns)
        if shared:  # the kernel writes one line an edge: lay the features out like that
            features, in_order = features[edges.source], True
        inputs = _storage(query), _flat(features), _flat(edges.source), in_order, pieces
        results = _storage(out), _flat(level), _storage(grad), _storage(dq), _flat(part_dq), _flat(dx)
        with numba_threads() as threads:
            groups = pieces.groups(threads * _GROUPS)
            multi_query.backward(groups, _layout(query), _number(columns**-0.5, query), *inputs, *results)
        if shared:
            dx = query.new_zeros(edges.num_sources, columns).index_add_(0, edges.source, dx)
        return dq, dx.to(features.dtype) if ctx.needs_input_grad[1] else None, None


class _PerHead(torch.autograd.Function):
    """Of query [N, S, H, C], key and value [M, H, C]: [N, S, H, C], C a multiple of WIDTH; see per_head.py."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, edges: Edges, scale: float) -> Tensor:
        num_targets, *shape = query.shape
        pieces = edges.derive(rows_of_targets)
        out, level = query.new_empty(query.shape), query.new_empty(num_targets, 2, *shape[:2])
        part = query.new_empty(pieces.num_partials, *shape)
        part_level = query.new_empty(pieces.num_partials, 2, *shape[:2])
        inputs = _flat(query), _flat(key), _flat(value), _flat(edges.source), edges.in_order, pieces
        results = _flat(out), _flat(level), _flat(part), _flat(part_level)
        with numba_threads() as threads:
            groups = pieces.groups(threads * _GROUPS)
            per_head.forward(groups, tuple(shape), _number(scale, query), *inputs, *results)
        ctx.save_for_backward(query, key, value, out, level)
        ctx.edges, ctx.scale = edges, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, out, level = ctx.saved_tensors
        edges: Edges = ctx.edges
        pieces = edges.derive(rows_of_targets)
        shape = tuple(query.shape[1:])
        dq, part_dq = query.new_empty(query.shape), query.new_empty(pieces.num_partials, *shape)
        wanted = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        direct = wanted and edges.unique_sources
        make = query.new_empty if edges.in_order else query.new_zeros  # a source without an edge gets zeros
        dk, dv = make(key.shape if direct else 0), make(key.shape if direct else 0)
        kept = query.new_empty(len(edges.source) * shape[0] * shape[1] * 2 if wanted and not direct else 0)
        scale, flat_query, flat_grad = _number(ctx.scale, query), _flat(query), _flat(grads[0])
        inputs = flat_query, _flat(key), _flat(value), _flat(edges.source), edges.in_order, pieces
        results = _flat(out), _flat(level), flat_grad, _flat(dq), _flat(part_dq), _flat(dk), _flat(dv), _flat(kept)
        with numba_threads() as threads:
            per_head.backward(pieces.groups(threads * _GROUPS), shape, scale, *inputs, *results)
        if wanted and not direct:
            dk, dv = _sum_by_source(edges, shape, flat_query, flat_grad, kept).unbind(1)
        return dq, dk.to(key.dtype) if wanted else None, dv.to(value.dtype) if wanted else None, None, None


def _sum_by_source(edges: Edges, shape: tuple[int, ...], query: np.ndarray, grad: np.ndarray, kept: Tensor) -> Tensor:
    """[M, 2, H, C] gradients of key and value, from slopes and weights of the edges."""
    pieces: Rows = edges.derive(rows_of_sources)
    sums = kept.new_empty(edges.num_sources, 2, *shape[1:])
    part = kept.new_empty(pieces.num_partials, 2, *shape[1:])
    places = _flat(edges.target), _flat(edges.by_source[1]), pieces
    with numba_threads() as threads:
        groups = pieces.groups(threads * _GROUPS)
        per_head.sum_by_source(groups, shape, query, grad, *places, _flat(kept), _flat(sums), _flat(part))
    return sums


def _is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's numbers fill a piece of memory, in whatever order of dimensions."""
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()


def _layout(query: Tensor) -> tuple[int, int, int, int]:
    _, rows, columns = query.shape
    return rows, columns, query.stride(0), query.stride(1)


def _storage(tensor: Tensor) -> np.ndarray:
    """A dense tensor's numbers in one line, in the order of its memory."""
    return tensor.detach().as_strided((tensor.numel(),), (1,)).numpy()


def _flat(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers in one line; bfloat16 as the bits of uint16."""
    tensor = tensor.detach().contiguous().view(-1)
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _number(value: float, like: Tensor) -> np.floating:
    """A number of a tensor's type: kernels compute in the type of their scalars."""
    return np.float64(value) if like.dtype == torch.float64 else np.float32(value)
