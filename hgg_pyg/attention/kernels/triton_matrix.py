"""Triton kernels for several queries per head: products of small matrices, [slots, C] by [C, entries of a tile].

A program works on one item (see `triton_items`), one head and a block of slots, so that a tile of keys is read once
for many queries, and where the values are the keys, once for both products. Formulas: `triton_csr`.
"""

# Kernels' bodies are written in another language's types.
# pyright: reportArgumentType=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hgg_pyg.attention.kernels.triton_items import Items
from hgg_pyg.attention.kernels.triton_merge import (
    LOWEST,
    Given,
    accumulator,
    load_item,
    merge_softmax,
    merge_sum,
    partial_results,
)

PRECISION = "ieee"
"""of products of float32 matrices: none is rounded; "tf32x3" would take them to tensor cores in three parts"""


@triton.jit
def _forward(
    QUERY, KEY, VALUE, SOURCE, ITEM, OUT, LSE, PART, PART_LSE,
    S: tl.constexpr, H: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr, OPERAND: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row, begin, end, place = load_item(ITEM)
    head = tl.program_id(1) % H
    slot = tl.program_id(1) // H * BLOCK_S + tl.arange(0, BLOCK_S)
    lane, channel = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    within = (slot * H + head)[:, None] * C + channel[None, :]
    valid = (slot < S)[:, None] & (channel < C)[None, :]
    query = tl.load(QUERY + row * (S * H * C) + within, mask=valid, other=0.0).to(OPERAND)
    scale = tl.full((), C**-0.5, ACC)

    top = tl.full((BLOCK_S,), LOWEST, ACC)
    total = tl.zeros((BLOCK_S,), ACC)
    out = tl.zeros((BLOCK_S, BLOCK_C), ACC)
    for e0 in range(begin, end, BLOCK_E):
        e = e0 + lane
        live = e < end
        source = e if SOURCE is None else tl.load(SOURCE + e, mask=live, other=0)
        at = (source[:, None] * H + head) * C + channel[None, :]
        mask = live[:, None] & (channel < C)[None, :]
        key = tl.load(KEY + at, mask=mask, other=0.0).to(OPERAND)
        value = key if VALUE is None else tl.load(VALUE + at, mask=mask, other=0.0).to(OPERAND)
        logit = tl.dot(query, tl.trans(key), input_precision=PRECISION, out_dtype=ACC) * scale
        logit = tl.where(live[None, :], logit, LOWEST)
        higher = tl.maximum(top, tl.max(logit, 1))
        weight = tl.exp(logit - higher[:, None])
        fade = tl.exp(top - higher)
        total = total * fade + tl.sum(weight, 1)
        out = out * fade[:, None]
        out = tl.dot(weight.to(OPERAND), value, out, input_precision=PRECISION, out_dtype=ACC)
        top = higher

    out = out / tl.where(total > 0, total, 1.0)[:, None]
    lse = tl.where(total > 0, top + tl.log(tl.where(total > 0, total, 1.0)), 0.0)
    if place < 0:
        tl.store(OUT + row * (S * H * C) + within, out, mask=valid)
        tl.store(LSE + row * (S * H) + slot * H + head, lse, mask=slot < S)
    else:
        tl.store(PART + place * (S * H * C) + within, out, mask=valid)
        tl.store(PART_LSE + place * (S * H) + slot * H + head, lse, mask=slot < S)


@triton.jit
def _backward_query(
    QUERY, KEY, VALUE, SOURCE, ITEM, GRAD, LSE, DELTA, DQUERY, PART,
    S: tl.constexpr, H: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr, OPERAND: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row, begin, end, place = load_item(ITEM)
    head = tl.program_id(1) % H
    slot = tl.program_id(1) // H * BLOCK_S + tl.arange(0, BLOCK_S)
    lane, channel = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    within = (slot * H + head)[:, None] * C + channel[None, :]
    valid = (slot < S)[:, None] & (channel < C)[None, :]
    query = tl.load(QUERY + row * (S * H * C) + within, mask=valid, other=0.0).to(OPERAND)
    grad = tl.load(GRAD + row * (S * H * C) + within, mask=valid, other=0.0).to(OPERAND)
    lse = tl.load(LSE + row * (S * H) + slot * H + head, mask=slot < S, other=0.0)
    delta = tl.load(DELTA + row * (S * H) + slot * H + head, mask=slot < S, other=0.0)
    scale = tl.full((), C**-0.5, ACC)

    dquery = tl.zeros((BLOCK_S, BLOCK_C), ACC)
    for e0 in range(begin, end, BLOCK_E):
        e = e0 + lane
        live = e < end
        source = e if SOURCE is None else tl.load(SOURCE + e, mask=live, other=0)
        at = (source[:, None] * H + head) * C + channel[None, :]
        mask = live[:, None] & (channel < C)[None, :]
        key = tl.load(KEY + at, mask=mask, other=0.0).to(OPERAND)
        value = key if VALUE is None else tl.load(VALUE + at, mask=mask, other=0.0).to(OPERAND)
        logit = tl.dot(query, tl.trans(key), input_precision=PRECISION, out_dtype=ACC) * scale
        weight = tl.exp(tl.where(live[None, :], logit - lse[:, None], LOWEST))
        slope = tl.dot(grad, tl.trans(value), input_precision=PRECISION, out_dtype=ACC) - delta[:, None]
        slope = (weight * slope).to(OPERAND)
        dquery = tl.dot(slope, key, dquery, input_precision=PRECISION, out_dtype=ACC)

    dquery *= scale
    if place < 0:
        tl.store(DQUERY + row * (S * H * C) + within, dquery, mask=valid)
    else:
        tl.store(PART + place * (S * H * C) + within, dquery, mask=valid)


@triton.jit
def _backward_unique(
    QUERY, KEY, VALUE, SOURCE, ITEM, GRAD, LSE, DELTA, DKEY, DVALUE,
    S: tl.constexpr, H: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr, OPERAND: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row, begin, end, _ = load_item(ITEM)
    head = tl.program_id(1)
    lane, channel = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_C)
    scale = tl.full((), C**-0.5, ACC)
    for e0 in range(begin, end, BLOCK_E):
        e = e0 + lane
        live = e < end
        source = e if SOURCE is None else tl.load(SOURCE + e, mask=live, other=0)
        at = (source[:, None] * H + head) * C + channel[None, :]
        mask = live[:, None] & (channel < C)[None, :]
        key = tl.load(KEY + at, mask=mask, other=0.0).to(OPERAND)
        value = key if VALUE is None else tl.load(VALUE + at, mask=mask, other=0.0).to(OPERAND)
        dkey = tl.zeros((BLOCK_E, BLOCK_C), ACC)
        dvalue = tl.zeros((BLOCK_E, BLOCK_C), ACC)
        for s0 in range(0, S, BLOCK_S):
            slot = s0 + tl.arange(0, BLOCK_S)
            valid = (slot < S)[:, None] & (channel < C)[None, :]
            within = row * (S * H * C) + (slot * H + head)[:, None] * C + channel[None, :]
            query = tl.load(QUERY + within, mask=valid, other=0.0).to(OPERAND)
            grad = tl.load(GRAD + within, mask=valid, other=0.0).to(OPERAND)
            lse = tl.load(LSE + row * (S * H) + slot * H + head, mask=slot < S, other=0.0)
            delta = tl.load(DELTA + row * (S * H) + slot * H + head, mask=slot < S, other=0.0)
            logit = tl.dot(key, tl.trans(query), input_precision=PRECISION, out_dtype=ACC) * scale
            weight = tl.exp(tl.where(live[:, None], logit - lse[None, :], LOWEST))
            slope = tl.dot(value, tl.trans(grad), input_precision=PRECISION, out_dtype=ACC) - delta[None, :]
            slope = (weight * slope * scale).to(OPERAND)
            weight = weight.to(OPERAND)
            dkey = tl.dot(slope, query, dkey, input_precision=PRECISION, out_dtype=ACC)
            if VALUE is None:
                dkey = tl.dot(weight, grad, dkey, input_precision=PRECISION, out_dtype=ACC)
            else:
                dvalue = tl.dot(weight, grad, dvalue, input_precision=PRECISION, out_dtype=ACC)
        if DKEY is not None:
            tl.store(DKEY + at, dkey, mask=mask)
        if DVALUE is not None:
            tl.store(DVALUE + at, dvalue, mask=mask)


def forward(query: Tensor, key: Tensor, value: Tensor | None, items: Items) -> tuple[Tensor, Tensor]:
    """Result [N, S, H, C] and logarithms of the sums of exponentials [N, S, H]; `items` of the targets."""
    out = torch.empty_like(query)
    lse = query.new_empty(query.shape[:-1], dtype=torch.promote_types(query.dtype, torch.float32))
    part, part_lse = partial_results(items, out), partial_results(items, lse)
    grid, sizes = _launch(query, items)
    _forward[grid](query, key, value, items.neighbor, items.item, out, lse, part, part_lse, **sizes)
    merge_softmax(items, part, part_lse, out, lse)
    return out, lse


def backward_query(given: Given, items: Items, dquery: Tensor) -> None:
    """Write the gradient of the query; `items` of the targets."""
    query, key, value, grad, lse, delta = given
    part = partial_results(items, dquery)
    grid, sizes = _launch(query, items)
    _backward_query[grid](query, key, value, items.neighbor, items.item, grad, lse, delta, dquery, part, **sizes)
    merge_sum(items, part, dquery)


def backward_unique(given: Given, items: Items, dkey: Tensor | None, dvalue: Tensor | None) -> None:
    """Write the gradients that are not None where no source has two edges; `items` of the targets."""
    query, key, value, grad, lse, delta = given
    _, sizes = _launch(query, items)
    if query.element_size() > 2:  # four products live at once
        sizes |= {"BLOCK_E": 16, "BLOCK_S": 16, "num_warps": 8 if sizes["BLOCK_C"] > 64 else 4}
    grid = (len(items.item), query.shape[2])
    _backward_unique[grid](query, key, value, items.neighbor, items.item, grad, lse, delta, dkey, dvalue, **sizes)


def _launch(query: Tensor, items: Items) -> tuple[tuple[int, int], dict]:
    """Grid and constants: blocks as large as registers allow (sm_90), in less than 99 KB of shared memory.

    Float64 of 256 channels needs up to 164 KB.
    """
    slots, heads, channels = query.shape[1:]
    block_s, block_c = triton.next_power_of_2(slots), max(16, triton.next_power_of_2(channels))
    if query.element_size() == 2:
        block_e, block_s = 32, min(max(16, block_s), 64, 8192 // block_c)  # tensor cores take 16 rows at least
        warps = 8 if block_s * block_c == 8192 else 4
    else:
        block_s = min(max(8, block_s), 32, 4096 // block_c)
        block_e, warps = 16 if block_s * block_c >= 1024 else 32, 8 if block_s * block_c == 4096 else 4
    sizes = {"S": slots, "H": heads, "C": channels}
    sizes |= {"ACC": accumulator(query.dtype), "OPERAND": _operand(query.dtype), "PRECISION": PRECISION}
    sizes |= {"BLOCK_E": block_e, "BLOCK_S": block_s, "BLOCK_C": block_c, "enable_fp_fusion": True}
    sizes |= {"num_warps": warps, "num_stages": 3 if block_c < 256 and query.element_size() < 8 else 1}
    return (len(items.item), heads * triton.cdiv(slots, block_s)), sizes


def _operand(dtype: torch.dtype) -> tl.dtype:
    """In what type matrices are multiplied."""
    if dtype == torch.bfloat16 and not isinstance(_forward, triton.JITFunction):
        return tl.float32  # Triton's interpreter would multiply the bits of bfloat16 as integers
    return getattr(tl, str(dtype).removeprefix("torch."))
