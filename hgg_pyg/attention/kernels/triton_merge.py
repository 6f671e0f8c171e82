"""What both families of Triton kernels share: the items' records, the merging of partial results, and their sizes."""

# Kernels' bodies are written in another language's types.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hgg_pyg.attention.kernels.triton_items import Items

LOWEST = tl.constexpr(-3e38)  # finite, since the difference of two infinities is not a number
TILE = 2048
"""numbers that a program holds of each array"""

Given = tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor]
"""What backward kernels read: query, key, value (None: it is the key), and the gradient of the result [N, S, H, C],
the logarithms of the sums of exponentials and the dot products of result and gradient [N, S, H]."""


@triton.jit
def load_item(ITEM):
    """Row, first entry, end and place of this program's item."""
    item = ITEM + tl.program_id(0).to(tl.int64) * 4
    return tl.load(item), tl.load(item + 1), tl.load(item + 2), tl.load(item + 3)


@triton.jit
def _merge_softmax(
    PART, PART_LSE, SPLIT, FIRST, OUT, LSE,
    D: tl.constexpr, C: tl.constexpr, ACC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    row = tl.load(SPLIT + tl.program_id(0))
    begin, end = tl.load(FIRST + tl.program_id(0)), tl.load(FIRST + tl.program_id(0) + 1)
    d = tl.program_id(1)
    lane, channel = tl.arange(0, BLOCK_P), tl.arange(0, BLOCK_C)
    highest = tl.full((BLOCK_P,), LOWEST, ACC)
    total = tl.zeros((BLOCK_P,), ACC)
    out = tl.zeros((BLOCK_P, BLOCK_C), ACC)
    for p0 in range(begin, end, BLOCK_P):
        place = p0 + lane
        live = place < end
        lse = tl.load(PART_LSE + place * D + d, mask=live, other=LOWEST)
        higher = tl.maximum(highest, lse)
        weight = tl.where(live, tl.exp(lse - higher), 0.0)
        fade = tl.exp(highest - higher)
        mask = live[:, None] & (channel < C)[None, :]
        part = tl.load(PART + (place[:, None] * D + d) * C + channel[None, :], mask=mask, other=0.0)
        total = total * fade + weight
        out = out * fade[:, None] + weight[:, None] * part
        highest = higher
    top = tl.max(highest, 0)
    fade = tl.exp(highest - top)
    total = tl.sum(total * fade, 0)
    out = tl.sum(out * fade[:, None], 0) / total
    tl.store(OUT + (row * D + d) * C + channel, out, mask=channel < C)
    tl.store(LSE + row * D + d, top + tl.log(total))


@triton.jit
def _merge_sum(
    PART, SPLIT, FIRST, OUT, D: tl.constexpr, ACC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr
):
    row = tl.load(SPLIT + tl.program_id(0))
    begin, end = tl.load(FIRST + tl.program_id(0)), tl.load(FIRST + tl.program_id(0) + 1)
    lane = tl.arange(0, BLOCK_P)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    total = tl.zeros((BLOCK_P, BLOCK_D), ACC)
    for p0 in range(begin, end, BLOCK_P):
        place = p0 + lane
        mask = (place < end)[:, None] & (d < D)[None, :]
        total += tl.load(PART + place[:, None] * D + d[None, :], mask=mask, other=0.0)
    tl.store(OUT + row * D + d, tl.sum(total, 0), mask=d < D)


@triton.jit
def _row_dot(A, B, OUT, rows, C: tl.constexpr, ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    channel = tl.arange(0, BLOCK_C)
    at = row[:, None] * C + channel[None, :]
    mask = (row < rows)[:, None] & (channel < C)[None, :]
    a = tl.load(A + at, mask=mask, other=0.0).to(ACC)
    b = tl.load(B + at, mask=mask, other=0.0).to(ACC)
    tl.store(OUT + row, tl.sum(a * b, 1), mask=row < rows)


def accumulator(dtype: torch.dtype) -> tl.dtype:
    """What a type is accumulated in."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def partial_results(items: Items, whole: Tensor) -> Tensor:
    """[places, ...] room for partial results of whole [rows, ...], in the type that they are accumulated in."""
    return whole.new_empty((items.places, *whole.shape[1:]), dtype=torch.promote_types(whole.dtype, torch.float32))


def merge_softmax(items: Items, part: Tensor, part_lse: Tensor, out: Tensor, lse: Tensor) -> None:
    """Write the rows of several items: part [places, S, H, C] and part_lse [places, S, H] into out and lse."""
    if items.places:
        width, channels = lse[0].numel(), out.shape[-1]
        block_c = triton.next_power_of_2(channels)
        sizes = {"D": width, "C": channels, "ACC": accumulator(out.dtype), "BLOCK_P": min(32, TILE // block_c)}
        sizes |= {"BLOCK_C": block_c, "enable_fp_fusion": True}
        _merge_softmax[len(items.split), width](part, part_lse, items.split, items.first, out, lse, **sizes)


def merge_sum(items: Items, part: Tensor, out: Tensor) -> None:
    """Write the rows of several items, each the sum of its part [places, ...], into out [rows, ...]."""
    if items.places:
        width = out[0].numel()
        sizes = {"D": width, "ACC": accumulator(out.dtype), "BLOCK_P": 32, "BLOCK_D": TILE // 32}
        grid = (len(items.split), triton.cdiv(width, sizes["BLOCK_D"]))
        _merge_sum[grid](part, items.split, items.first, out, **sizes, enable_fp_fusion=True)


def row_dot(a: Tensor, b: Tensor) -> Tensor:
    """Dot products [...] of two [..., C] along the last dimension, in float32 at least."""
    out = a.new_empty(a.shape[:-1], dtype=torch.promote_types(a.dtype, torch.float32))
    block_c = triton.next_power_of_2(a.shape[-1])
    sizes = {"C": a.shape[-1], "ACC": accumulator(a.dtype), "BLOCK_R": TILE // block_c, "BLOCK_C": block_c}
    grid = (triton.cdiv(out.numel(), sizes["BLOCK_R"]),)
    _row_dot[grid](a, b, out, out.numel(), **sizes, enable_fp_fusion=True)
    return out
