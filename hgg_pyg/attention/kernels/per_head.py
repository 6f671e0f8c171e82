"""Numba kernels of attention with a key and a value for each head: S slots of a target ask the same H keys of an edge.

.. math::
    s_e = \\lambda \\, q_n \\cdot k_e, \\qquad p_e = \\exp(s_e - t_n) / \\Sigma_n, \\qquad o_n = \\sum_e p_e v_e

for each slot and head, over the edges e of target n; t is the highest s, and the sum that of exp(s - t). Backward:

.. math::
    \\delta_n = \\dot o_n \\cdot o_n, \\quad \\dot s_e = p_e (\\dot o_n \\cdot v_e - \\delta_n), \\\\
    \\dot q_n = \\lambda \\sum_e \\dot s_e k_e, \\quad
    \\dot k_e = \\lambda \\dot s_e q_n, \\quad \\dot v_e = p_e \\dot o_n

Where no source has two edges, the last two are written as they come; else p and ds are kept, and a second pass sums
them source by source. Channels are the lanes of a register in products and sums, and their number a multiple of its
width; in the softmax lanes are heads: the weights of a tile are [edges, heads], heads padded to whole registers.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from hgg_pyg.attention.kernels.multi_query import add_parts, merge_softmax
from hgg_pyg.attention.kernels.rows import Rows
from hgg_pyg.attention.kernels.tiles import fill, whole
from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.simd import (
    WIDTH,
    exp_of_at_most_zero,
    fma,
    lane_sum,
    lane_sums,
    load,
    maximum,
    prefetch,
    spread,
    spread_at,
    store,
)

TILE = 64  # edges
LINE = 16  # float32 numbers that come from memory together
_LOWEST = -1e30  # below any logit, and finite: -inf minus -inf is not a number


@kernel
def _lines(lines, columns):
    """The layout of contiguous rows, as multi_query.py has it."""
    return lines, columns, lines * columns, columns


@kernel
def _find(source, in_order, begin, count, size, key, value, places):
    """Where in flat arrays the rows of the edges' sources begin; rows anywhere in memory are asked for ahead."""
    for e in range(count):
        places[e] = (begin + e if in_order else source[begin + e]) * size
        if not in_order:
            for c in range(0, size, LINE):
                prefetch(key, places[e] + c)
                prefetch(value, places[e] + c)


@kernel
def _products(table, places, count, line, at, heads, channels, out):
    """out[e, h] = table[e, h] . line[h]."""
    stride, real = whole(heads), out.dtype.type
    for e in range(count):
        for first in range(0, heads // WIDTH * WIDTH, WIDTH):
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(real(0))
            for c in range(first * channels, (first + 1) * channels, WIDTH):
                x, y = places[e] + c, at + c
                s0 = fma(load(table, x), load(line, y), s0)
                s1 = fma(load(table, x + channels), load(line, y + channels), s1)
                s2 = fma(load(table, x + 2 * channels), load(line, y + 2 * channels), s2)
                s3 = fma(load(table, x + 3 * channels), load(line, y + 3 * channels), s3)
                s4 = fma(load(table, x + 4 * channels), load(line, y + 4 * channels), s4)
                s5 = fma(load(table, x + 5 * channels), load(line, y + 5 * channels), s5)
                s6 = fma(load(table, x + 6 * channels), load(line, y + 6 * channels), s6)
                s7 = fma(load(table, x + 7 * channels), load(line, y + 7 * channels), s7)
            store(out, e * stride + first, lane_sums(s0, s1, s2, s3, s4, s5, s6, s7))
        for h in range(heads // WIDTH * WIDTH, heads):
            sum_ = spread(real(0))
            for c in range(h * channels, (h + 1) * channels, WIDTH):
                sum_ = fma(load(table, places[e] + c), load(line, at + c), sum_)
            out[e * stride + h] = lane_sum(sum_)


@kernel
def _add_weighted(table, places, count, weights, heads, channels, sums):
    """sums[h] += sum over edges of weights[e, h] * table[e, h]; four sums side by side hide each other's latency."""
    stride, size = whole(heads), heads * channels
    full = size // (4 * WIDTH) * (4 * WIDTH)
    for c in range(0, full, 4 * WIDTH):
        c1, c2, c3 = c + WIDTH, c + 2 * WIDTH, c + 3 * WIDTH
        h0, h1, h2, h3 = c // channels, c1 // channels, c2 // channels, c3 // channels
        s0, s1, s2, s3 = load(sums, c), load(sums, c1), load(sums, c2), load(sums, c3)
        for e in range(count):
            x, w = places[e], e * stride
            s0 = fma(spread_at(weights, w + h0), load(table, x + c), s0)
            s1 = fma(spread_at(weights, w + h1), load(table, x + c1), s1)
            s2 = fma(spread_at(weights, w + h2), load(table, x + c2), s2)
            s3 = fma(spread_at(weights, w + h3), load(table, x + c3), s3)
        store(sums, c, s0)
        store(sums, c1, s1)
        store(sums, c2, s2)
        store(sums, c3, s3)
    for c in range(full, size, WIDTH):
        sum_ = load(sums, c)
        for e in range(count):
            sum_ = fma(spread_at(weights, e * stride + c // channels), load(table, places[e] + c), sum_)
        store(sums, c, sum_)


@kernel
def _soften(scores, count, heads, channels, scale, highest, sum_of_exp, sums, again):
    """Online softmax: products become weights by the highest score so far; sums of earlier tiles follow it down."""
    stride, nothing = whole(heads), spread(scores.dtype.type(0))
    for h in range(0, stride, WIDTH):
        before = load(highest, h)
        top = before
        for e in range(count):
            top = maximum(top, load(scores, e * stride + h) * spread(scale))
        keep = exp_of_at_most_zero(before - top)
        added = load(sum_of_exp, h) * keep
        for e in range(h, h + count * stride, stride):
            weight = exp_of_at_most_zero(fma(load(scores, e), spread(scale), nothing - top))
            store(scores, e, weight)
            added = added + weight
        store(highest, h, top)
        store(sum_of_exp, h, added)
        if again:
            store(scores, count * stride + h, keep)
    if again:
        for c in range(0, heads * channels, WIDTH):
            store(sums, c, load(sums, c) * spread_at(scores, count * stride + c // channels))


@kernel
def _forward_group(
    first, last, shape, scale, query, key, value, source, in_order, pieces, out, level, part_out, part_level
):
    slots, heads, channels = shape
    size, real = heads * channels, out.dtype
    scores, sums = np.zeros((TILE + 1) * whole(heads), real), np.empty(size, real)
    highest, sum_of_exp = np.empty(whole(heads), real), np.empty(whole(heads), real)
    places = np.empty(TILE, np.int64)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        to, to_level, place = (out, level, row) if partial < 0 else (part_out, part_level, partial)
        for s in range(slots):
            fill(sums, 0)
            fill(sum_of_exp, 0)
            fill(highest, _LOWEST)
            for at in range(begin, end, TILE):
                count = min(TILE, end - at)
                _find(source, in_order, at, count, size, key, value, places)
                _products(key, places, count, query, (row * slots + s) * size, heads, channels, scores)
                _soften(scores, count, heads, channels, scale, highest, sum_of_exp, sums, at > begin)
                _add_weighted(value, places, count, scores, heads, channels, sums)
            at, lines = (place * slots + s) * size, slots * heads
            for h in range(heads):
                over = sum_of_exp[h]
                share = spread(real.type(1) / over if over > 0 else over)
                to_level[place * 2 * lines + s * heads + h] = highest[h]
                to_level[(place * 2 + 1) * lines + s * heads + h] = over
                for c in range(h * channels, (h + 1) * channels, WIDTH):
                    store(to, at + c, load(sums, c) * share)


@parallel_kernel
def forward(groups, shape, scale, query, key, value, source, in_order, pieces: Rows, out, level, part_out, part_level):
    """out [N * S * H * C] and level [N * 2 * S * H], see multi_query.py, for shape (S, H, C); all flat."""
    for g in prange(len(groups) - 1):
        _forward_group(
            *(groups[g], groups[g + 1], shape, scale, query, key, value, source, in_order),
            *(pieces, out, level, part_out, part_level),
        )
    for i in range(len(pieces.split_row)):
        merge_softmax(pieces, i, _lines(shape[0] * shape[1], shape[2]), out, level, part_out, part_level)


@kernel
def _weights_and_slopes(scores, slopes, count, heads, scale, below, share, drop):
    """p = exp(s - t) / sum in place of the products q . k, and p (do . v - delta) in place of the products do . v."""
    stride = whole(heads)
    for h in range(0, stride, WIDTH):
        down, part, less = load(below, h), load(share, h), load(drop, h)
        for at in range(h, h + count * stride, stride):
            weight = exp_of_at_most_zero(fma(load(scores, at), spread(scale), down)) * part
            store(scores, at, weight)
            store(slopes, at, weight * (load(slopes, at) - less))


@kernel
def _put(weights, scale, count, heads, channels, line, at, places, again, out):
    """out[e, h] = scale * weights[e, h] * line[h], added to what is there where `again`."""
    stride = whole(heads)
    for e in range(count):
        for h in range(heads):
            weight = spread(scale * weights[e * stride + h])
            for c in range(h * channels, (h + 1) * channels, WIDTH):
                number = weight * load(line, at + c)
                store(out, places[e] + c, number + load(out, places[e] + c) if again else number)


@kernel
def _keep(scores, slopes, count, heads, scale, at, step, kept):
    """kept[at + e * step :] = scale * slopes[e], then scores[e]: [2, heads] of an edge, whole registers first."""
    stride, full = whole(heads), heads // WIDTH * WIDTH
    for e in range(count):
        for h in range(0, full, WIDTH):
            store(kept, at + h, load(slopes, e * stride + h) * spread(scale))
            store(kept, at + heads + h, load(scores, e * stride + h))
        for h in range(full, heads):
            kept[at + h] = scale * slopes[e * stride + h]
            kept[at + heads + h] = scores[e * stride + h]
        at += step


@kernel
def _backward_group(
    first, last, shape, scale, query, key, value, source, in_order, pieces, out, level, grad, dq, part_dq, dk, dv, kept
):
    slots, heads, channels = shape
    size, real = heads * channels, out.dtype
    scores, slopes = np.zeros(whole(heads) * TILE, real), np.zeros(whole(heads) * TILE, real)
    sums, places = np.empty(size, real), np.empty(TILE, np.int64)
    below, share, delta = np.zeros(whole(heads), real), np.zeros(whole(heads), real), np.zeros(whole(heads), real)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        for s in range(slots):
            line, level_at = (row * slots + s) * size, row * 2 * slots * heads + s * heads
            for h in range(heads):
                dot = spread(real.type(0))
                for c in range(line + h * channels, line + (h + 1) * channels, WIDTH):
                    dot = fma(load(grad, c), load(out, c), dot)
                delta[h] = lane_sum(dot)
                below[h] = -level[level_at + h]
                share[h] = 1 / level[level_at + slots * heads + h] if begin < end else 0
            fill(sums, 0)
            for at in range(begin, end, TILE):
                count = min(TILE, end - at)
                _find(source, in_order, at, count, size, key, value, places)
                _products(key, places, count, query, line, heads, channels, scores)
                _products(value, places, count, grad, line, heads, channels, slopes)
                _weights_and_slopes(scores, slopes, count, heads, scale, below, share, delta)
                _add_weighted(key, places, count, slopes, heads, channels, sums)
                if len(kept):
                    step = slots * heads * 2
                    _keep(scores, slopes, count, heads, scale, at * step + s * heads * 2, step, kept)
                elif len(dk):
                    _put(slopes, scale, count, heads, channels, query, line, places, s > 0, dk)
                    _put(scores, real.type(1), count, heads, channels, grad, line, places, s > 0, dv)
            to, place = (dq, row) if partial < 0 else (part_dq, partial)
            for c in range(0, size, WIDTH):
                store(to, (place * slots + s) * size + c, load(sums, c) * spread(scale))


@parallel_kernel
def backward(
    groups, shape, scale, query, key, value, source, in_order, pieces: Rows, out, level, grad, dq, part_dq, dk, dv, kept
):
    """dq; dk and dv where they and `kept` allow: `kept` [E * S * H * 2], if not empty, takes ds and p instead; flat."""
    for g in prange(len(groups) - 1):
        _backward_group(
            *(groups[g], groups[g + 1], shape, scale, query, key, value, source, in_order, pieces),
            *(out, level, grad, dq, part_dq, dk, dv, kept),
        )
    for i in range(len(pieces.split_row)):
        add_parts(pieces, i, _lines(shape[0] * shape[1], shape[2]), dq, part_dq)


@kernel
def _sum_group(first, last, shape, query, grad, target, edge, pieces, kept, dkv, part_dkv):
    slots, heads, channels = shape
    size = heads * channels
    stride, real = whole(heads), dkv.dtype
    slopes, weights, places = np.zeros(TILE * stride, real), np.zeros(TILE * stride, real), np.empty(TILE, np.int64)
    for_key, for_value = np.empty(size, real), np.empty(size, real)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        fill(for_key, 0)
        fill(for_value, 0)
        for s in range(slots):
            for at in range(begin, end, TILE):
                count = min(TILE, end - at)
                for j in range(count):
                    e = edge[at + j]
                    places[j] = (target[e] * slots + s) * size
                    for c in range(0, size, LINE):
                        prefetch(query, places[j] + c)
                        prefetch(grad, places[j] + c)
                    prefetch(kept, (edge[min(at + j + 16, len(edge) - 1)] * slots + s) * heads * 2)
                    from_ = (e * slots + s) * heads * 2
                    full = heads // WIDTH * WIDTH
                    for h in range(0, full, WIDTH):
                        store(slopes, j * stride + h, load(kept, from_ + h))
                        store(weights, j * stride + h, load(kept, from_ + heads + h))
                    for h in range(full, heads):
                        slopes[j * stride + h] = kept[from_ + h]
                        weights[j * stride + h] = kept[from_ + heads + h]
                _add_weighted(query, places, count, slopes, heads, channels, for_key)
                _add_weighted(grad, places, count, weights, heads, channels, for_value)
        to, at = (dkv, row * 2 * size) if partial < 0 else (part_dkv, partial * 2 * size)
        for c in range(size):
            to[at + c] = for_key[c]
            to[at + size + c] = for_value[c]


@parallel_kernel
def sum_by_source(groups, shape, query, grad, target, edge, pieces: Rows, kept, dkv, part_dkv):
    """dk and dv of each source side by side, [M * 2 * H * C], from what `backward` kept; pieces are of sources."""
    for g in prange(len(groups) - 1):
        _sum_group(groups[g], groups[g + 1], shape, query, grad, target, edge, pieces, kept, dkv, part_dkv)
    for i in range(len(pieces.split_row)):
        add_parts(pieces, i, _lines(2 * shape[1], shape[2]), dkv, part_dkv)
