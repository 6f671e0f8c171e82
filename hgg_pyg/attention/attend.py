"""The one call behind which every variant stands."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import AnyEdges, Edges
from hgg_pyg.attention.registry import Variant, get_variant


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge_index: AnyEdges,
    ptr: Tensor | None = None,
    backend: str | Variant = "scatter",
) -> Tensor:
    r"""Attention of N targets over their sources (Eqs. 9-12 after the projections).

    .. math::
        o_n = \sum_{m \in B(n)} \frac{\exp(q_n \cdot k_m / \sqrt{C})}
                                     {\sum_{m' \in B(n)} \exp(q_n \cdot k_{m'} / \sqrt{C})} v_m

    per head. B(n) is a multiset: an edge given twice counts twice. Where it is empty the result is exactly zero.

    Args:
        query: [N, H, C], or [N, S, H, C] for S slots that attend to the same keys independently.
        key: [M, H, C], of the query's type, or of half precision under a float32 query.
        value: [M, H, C], of the key's type.
        edge_index: [2, E] integers, sources in row 0, targets in row 1, in any order, or another format that
            `Edges.from_index` takes; `Edges` themselves spare the sorting and checking of the others.
        ptr: [N + 1] row pointers, which say that the edges are sorted by target.
        backend: how it is computed: a `Variant`, a name from `variants()`, "module:NAME" of a `Variant` of yours, or
            "auto".

    Returns:
        Of the shape and type of `query`.

    Raises:
        ValueError: shapes, types or devices do not fit one another, edges are wrong (see `Edges.from_index`), or the
            backend is unknown or cannot run here.
    """
    _check(query, key, value)
    chosen = get_variant(backend, query.device.type, query.dtype)
    edges = Edges.from_index(edge_index, len(key), len(query), ptr)
    slots = query if query.ndim == 4 else query.unsqueeze(1)
    if not len(edges.source) or not query.numel():
        return _nothing(query, key, value)
    if key.dtype != query.dtype and key.dtype not in chosen.storage:
        key, value = convert(key, value, query.dtype)
    out = chosen.compute(slots, key, value, edges)
    if out.shape != slots.shape or out.dtype != query.dtype:
        expected, found = (f"{list(x.shape)} {x.dtype}" for x in (slots, out))
        raise ValueError(f"attention backend {chosen.name!r}: expected a result of {expected}, found {found}")
    return out.view_as(query)


def convert(key: Tensor, value: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Key and value in a type; one tensor stays one, by which variants know the folded form."""
    converted = key.to(dtype)
    return converted, converted if value is key else value.to(dtype)


def _check(query: Tensor, key: Tensor, value: Tensor) -> None:
    if query.ndim not in (3, 4) or key.ndim != 3:
        shapes = f"{list(query.shape)} and {list(key.shape)}"
        raise ValueError(f"query, key: expected [N, H, C] or [N, S, H, C], and [M, H, C]; found {shapes}")
    if query.shape[-2:] != key.shape[-2:]:
        expected, found = list(query.shape[-2:]), list(key.shape[-2:])
        raise ValueError(f"key: expected the query's heads and channels {expected}, found {found}")
    if value.shape != key.shape:
        raise ValueError(f"value: expected the key's shape {list(key.shape)}, found {list(value.shape)}")
    apart = len({x.device for x in (query, key, value)}) > 1
    if not query.is_floating_point() or value.dtype != key.dtype or apart:
        found = ", ".join(f"{x.dtype} on {x.device}" for x in (query, key, value))
        raise ValueError(f"query, key, value: expected floating point of one type and device, found {found}")
    stored = query.dtype == torch.float32 and key.dtype in (torch.bfloat16, torch.float16)
    if key.dtype != query.dtype and not stored:
        raise ValueError(f"key: expected {query.dtype}, or half precision under float32, found {key.dtype}")


def _nothing(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Zeros of the query's shape, with gradients of zero even where the inputs are not finite."""
    every = torch.ones((), dtype=torch.bool, device=query.device)
    return query.masked_fill(every, 0) + (key.sum() + value.sum()).to(query.dtype).masked_fill(every, 0)
