"""Triton kernels for one query a head: memory-bound, so all heads of a source's row are read at once.

A program works on one item (see `triton_items`) and a block of heads. Entry e of a tile belongs to lane e of the
program, and every lane keeps an online softmax or sum of its own, which are joined once, after the last tile: the loop
needs no exchange between lanes but the dot products'. Formulas: `triton_csr`.
"""

# Kernels' bodies are written in another language's types.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hgg_pyg.attention.kernels.triton_items import Items
from hgg_pyg.attention.kernels.triton_merge import (
    LOWEST,
    TILE,
    Given,
    accumulator,
    load_item,
    merge_softmax,
    merge_sum,
    partial_results,
)


@triton.jit
def _forward(
    QUERY, KEY, VALUE, SOURCE, ITEM, OUT, LSE, PART, PART_LSE,
    H: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row, begin, end, place = load_item(ITEM)
    lane, channel = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    within = head[:, None] * C + channel[None, :]
    valid = (head < H)[:, None] & (channel < C)[None, :]
    scale = tl.full((), C**-0.5, ACC)
    query = tl.load(QUERY + row * (H * C) + within, mask=valid, other=0.0).to(ACC) * scale

    top = tl.full((BLOCK_E, BLOCK_H), LOWEST, ACC)
    total = tl.zeros((BLOCK_E, BLOCK_H), ACC)
    out = tl.zeros((BLOCK_E, BLOCK_H, BLOCK_C), ACC)
    for e0 in range(begin, end, BLOCK_E):
        e = e0 + lane
        live = e < end
        source = e if SOURCE is None else tl.load(SOURCE + e, mask=live, other=0)
        at = source[:, None, None] * (H * C) + within[None, :, :]
        mask = live[:, None, None] & valid[None, :, :]
        key = tl.load(KEY + at, mask=mask, other=0.0).to(ACC)
        value = key if VALUE is None else tl.load(VALUE + at, mask=mask, other=0.0).to(ACC)
        logit = tl.sum(query[None, :, :] * key, 2)
        higher = tl.where(live[:, None], tl.maximum(top, logit), top)
        weight = tl.exp(tl.where(live[:, None], logit - higher, LOWEST))
        fade = tl.exp(top - higher)
        total = total * fade + weight
        out = out * fade[:, :, None] + weight[:, :, None] * value
        top = higher

    highest = tl.max(top, 0)
    fade = tl.exp(top - highest[None, :])
    total = tl.sum(total * fade, 0)
    out = tl.sum(out * fade[:, :, None], 0) / tl.where(total > 0, total, 1.0)[:, None]
    lse = tl.where(total > 0, highest + tl.log(tl.where(total > 0, total, 1.0)), 0.0)
    if place < 0:
        tl.store(OUT + row * (H * C) + within, out, mask=valid)
        tl.store(LSE + row * H + head, lse, mask=head < H)
    else:
        tl.store(PART + place * (H * C) + within, out, mask=valid)
        tl.store(PART_LSE + place * H + head, lse, mask=head < H)


@triton.jit
def _backward_query(
    QUERY, KEY, VALUE, SOURCE, ITEM, GRAD, LSE, DELTA, DQUERY, DKEY, DVALUE, PART,
    H: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row, begin, end, place = load_item(ITEM)
    lane, channel = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    within = head[:, None] * C + channel[None, :]
    valid = (head < H)[:, None] & (channel < C)[None, :]
    scale = tl.full((), C**-0.5, ACC)
    query = tl.load(QUERY + row * (H * C) + within, mask=valid, other=0.0).to(ACC) * scale
    grad = tl.load(GRAD + row * (H * C) + within, mask=valid, other=0.0).to(ACC)
    lse = tl.load(LSE + row * H + head, mask=head < H, other=0.0)
    delta = tl.load(DELTA + row * H + head, mask=head < H, other=0.0)

    dquery = tl.zeros((BLOCK_E, BLOCK_H, BLOCK_C), ACC)
    for e0 in range(begin, end, BLOCK_E):
        e = e0 + lane
        live = e < end
        source = e if SOURCE is None else tl.load(SOURCE + e, mask=live, other=0)
        at = source[:, None, None] * (H * C) + within[None, :, :]
        mask = live[:, None, None] & valid[None, :, :]
        key = tl.load(KEY + at, mask=mask, other=0.0).to(ACC)
        value = key if VALUE is None else tl.load(VALUE + at, mask=mask, other=0.0).to(ACC)
        logit = tl.sum(query[None, :, :] * key, 2)
        weight = tl.exp(tl.where(live[:, None], logit - lse[None, :], LOWEST))
        slope = weight * (tl.sum(grad[None, :, :] * value, 2) - delta[None, :])
        if DQUERY is not None:
            dquery += slope[:, :, None] * key
        if DKEY is not None:
            dkey = slope[:, :, None] * query[None, :, :]  # the scale is in the query
            if VALUE is None:
                dkey += weight[:, :, None] * grad[None, :, :]
            tl.store(DKEY + at, dkey, mask=mask)
        if DVALUE is not None:
            tl.store(DVALUE + at, weight[:, :, None] * grad[None, :, :], mask=mask)

    if DQUERY is not None:
        result = tl.sum(dquery, 0) * scale
        if place < 0:
            tl.store(DQUERY + row * (H * C) + within, result, mask=valid)
        else:
            tl.store(PART + place * (H * C) + within, result, mask=valid)


@triton.jit
def _backward_source(
    QUERY, KEY, VALUE, TARGET, ITEM, GRAD, LSE, DELTA, DKEY, DVALUE, PART_KEY, PART_VALUE,
    S: tl.constexpr, H: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row, begin, end, place = load_item(ITEM)
    lane, channel = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    within = head[:, None] * C + channel[None, :]
    valid = (head < H)[:, None] & (channel < C)[None, :]
    scale = tl.full((), C**-0.5, ACC)
    key = tl.load(KEY + row * (H * C) + within, mask=valid, other=0.0).to(ACC)
    value = key if VALUE is None else tl.load(VALUE + row * (H * C) + within, mask=valid, other=0.0).to(ACC)
    key = key * scale

    dkey = tl.zeros((BLOCK_E, BLOCK_H, BLOCK_C), ACC)
    dvalue = tl.zeros((BLOCK_E, BLOCK_H, BLOCK_C), ACC)
    for r0 in range(begin * S, end * S, BLOCK_E):  # an entry counts once for each slot of its target
        r = r0 + lane
        live = r < end * S
        slot = tl.load(TARGET + r // S, mask=live, other=0) * S + r % S
        at = slot[:, None] * H + head[None, :]
        mask = live[:, None] & (head < H)[None, :]
        lse = tl.load(LSE + at, mask=mask, other=0.0)
        delta = tl.load(DELTA + at, mask=mask, other=0.0)
        at = slot[:, None, None] * (H * C) + within[None, :, :]
        mask = live[:, None, None] & valid[None, :, :]
        query = tl.load(QUERY + at, mask=mask, other=0.0).to(ACC)
        grad = tl.load(GRAD + at, mask=mask, other=0.0).to(ACC)
        logit = tl.sum(query * key[None, :, :], 2)
        weight = tl.exp(tl.where(live[:, None], logit - lse, LOWEST))
        slope = weight * (tl.sum(grad * value[None, :, :], 2) - delta) * scale
        dkey += slope[:, :, None] * query
        if VALUE is None:
            dkey += weight[:, :, None] * grad
        else:
            dvalue += weight[:, :, None] * grad

    by_key = tl.sum(dkey, 0)
    by_value = tl.sum(dvalue, 0)
    if place < 0:
        if DKEY is not None:
            tl.store(DKEY + row * (H * C) + within, by_key, mask=valid)
        if DVALUE is not None:
            tl.store(DVALUE + row * (H * C) + within, by_value, mask=valid)
    else:
        if DKEY is not None:
            tl.store(PART_KEY + place * (H * C) + within, by_key, mask=valid)
        if DVALUE is not None:
            tl.store(PART_VALUE + place * (H * C) + within, by_value, mask=valid)


def forward(query: Tensor, key: Tensor, value: Tensor | None, items: Items) -> tuple[Tensor, Tensor]:
    """Result [N, 1, H, C] and logarithms of the sums of exponentials [N, 1, H]; `items` of the targets."""
    out = torch.empty_like(query)
    lse = query.new_empty(query.shape[:-1], dtype=torch.promote_types(query.dtype, torch.float32))
    part, part_lse = partial_results(items, out), partial_results(items, lse)
    grid, sizes = _launch(query, items)
    _forward[grid](query, key, value, items.neighbor, items.item, out, lse, part, part_lse, **sizes)
    merge_softmax(items, part, part_lse, out, lse)
    return out, lse


def backward_query(
    given: Given, items: Items, dquery: Tensor | None, dkey: Tensor | None = None, dvalue: Tensor | None = None
) -> None:
    """Write the gradients that are not None; those of key and value only where no source has two edges."""
    query, key, value, grad, lse, delta = given
    part = None if dquery is None else partial_results(items, dquery)
    grid, sizes = _launch(query, items)
    neighbor, item = items.neighbor, items.item
    _backward_query[grid](query, key, value, neighbor, item, grad, lse, delta, dquery, dkey, dvalue, part, **sizes)
    if dquery is not None and part is not None:
        merge_sum(items, part, dquery)


def backward_source(given: Given, items: Items, dkey: Tensor | None, dvalue: Tensor | None) -> None:
    """Write the gradients that are not None, of any number of queries per head; `items` of the sources."""
    query, key, value, grad, lse, delta = given
    part_key, part_value = (None if x is None else partial_results(items, x) for x in (dkey, dvalue))
    grid, sizes = _launch(query, items, slots=query.shape[1])
    neighbor, item = items.neighbor, items.item
    _backward_source[grid](
        query, key, value, neighbor, item, grad, lse, delta, dkey, dvalue, part_key, part_value, query.shape[1], **sizes
    )
    for part, out in ((part_key, dkey), (part_value, dvalue)):
        if part is not None and out is not None:
            merge_sum(items, part, out)


def _launch(query: Tensor, items: Items, slots: int = 1) -> tuple[tuple[int, int], dict]:
    """Grid and constants. Tiles are as short as rows are on average; a thread holds at most 16 numbers of each."""
    heads, channels = query.shape[2:]
    block_c = triton.next_power_of_2(channels)
    block_h = min(triton.next_power_of_2(heads), max(1, 256 // block_c))
    entries = triton.next_power_of_2(max(1, round(items.mean_degree * slots)))
    block_e = min(entries, TILE // (block_h * block_c))
    warps = min(4, max(1, block_e * block_h * block_c // 512))
    sizes = {"H": heads, "C": channels, "ACC": accumulator(query.dtype)}
    sizes |= {"BLOCK_E": block_e, "BLOCK_H": block_h, "BLOCK_C": block_c, "num_warps": warps, "enable_fp_fusion": True}
    return (len(items.item), triton.cdiv(heads, block_h)), sizes
