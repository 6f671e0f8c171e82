"""Numba kernels of attention with a key and a value for each head: S slots of a target ask the same H keys of an edge.

.. math::
    s_e = \\lambda \\, q_n \\cdot k_e, \\qquad p_e = \\exp(s_e - \\ell_n), \\qquad o_n = \\sum_e p_e v_e

for each slot and head, over the edges e of target n; l is the logarithm of the sum of exp(s). Backward:

.. math::
    \\delta_n = \\dot o_n \\cdot o_n, \\quad \\dot s_e = p_e (\\dot o_n \\cdot v_e - \\delta_n), \\\\
    \\dot q_n = \\lambda \\sum_e \\dot s_e k_e, \\quad
    \\dot k_e = \\lambda \\dot s_e q_n, \\quad \\dot v_e = p_e \\dot o_n

Where no source has two edges, the last two are written as they come; else p and ds are kept, and a second pass sums
them source by source. Channels are the lanes of a register and their number a multiple of its width; weights of a tile
are [heads, edges], so that the softmax has edges for lanes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from hgg_pyg.attention.kernels.multi_query import add_parts, merge_softmax
from hgg_pyg.attention.kernels.rows import Rows
from hgg_pyg.attention.kernels.simd import (
    WIDTH,
    exp_of_at_most_zero,
    fma,
    lane_sum,
    load,
    spread,
    spread_at,
    store,
)
from hgg_pyg.numba_tools import OPTIONS, PARALLEL

TILE = 64  # edges; a multiple of WIDTH
_LOWEST = -1e30  # below any logit, and finite: -inf minus -inf is not a number


@njit(**OPTIONS)
def _lines(lines, columns):
    """The layout of contiguous rows, as multi_query.py has it."""
    return lines, columns, lines * columns, columns


@njit(**OPTIONS)
def _find(source, in_order, begin, count, size, places):
    """Where in a flat array the rows of the edges' sources begin."""
    for e in range(count):
        places[e] = (begin + e if in_order else source[begin + e]) * size


@njit(**OPTIONS)
def _products(table, places, count, line, at, heads, channels, out):
    """out[h, e] = table[e, h] . line[h]; the rest of the last register of edges is 0."""
    for e in range(count):
        for h in range(heads):
            sum_ = spread(out.dtype.type(0))
            for c in range(h * channels, (h + 1) * channels, WIDTH):
                sum_ = fma(load(table, places[e] + c), load(line, at + c), sum_)
            out[h * TILE + e] = lane_sum(sum_)
    for e in range(count, (count + WIDTH - 1) // WIDTH * WIDTH):
        for h in range(heads):
            out[h * TILE + e] = 0


@njit(**OPTIONS)
def _add_weighted(table, places, count, weights, heads, channels, sums):
    """sums[h] += sum over edges of weights[h, e] * table[e, h]."""
    for h in range(heads):
        for c in range(h * channels, (h + 1) * channels, WIDTH):
            sum_ = load(sums, c)
            for e in range(count):
                sum_ = fma(spread_at(weights, h * TILE + e), load(table, places[e] + c), sum_)
            store(sums, c, sum_)


@njit(**OPTIONS)
def _soften(scores, count, heads, channels, scale, highest, sum_of_exp, sums):
    """Online softmax: products become weights by the highest score so far; earlier sums are scaled down to it."""
    real = scores.dtype.type
    end = (count + WIDTH - 1) // WIDTH * WIDTH
    for h in range(heads):
        for e in range(count, end):
            scores[h * TILE + e] = _LOWEST
        top = highest[h]
        for e in range(count):
            top = max(top, scale * scores[h * TILE + e])
        keep = real(math.exp(highest[h] - top))
        added = spread(real(0))
        for e in range(h * TILE, h * TILE + end, WIDTH):
            weight = exp_of_at_most_zero(fma(load(scores, e), spread(scale), spread(-top)))
            store(scores, e, weight)
            added = added + weight
        highest[h] = top
        sum_of_exp[h] = sum_of_exp[h] * keep + lane_sum(added)
        for c in range(h * channels, (h + 1) * channels, WIDTH):
            store(sums, c, load(sums, c) * spread(keep))


@njit(**OPTIONS)
def _forward_group(
    first, last, shape, scale, query, key, value, source, in_order, pieces, out, lse, part_out, part_lse
):
    slots, heads, channels = shape
    size, real = heads * channels, out.dtype
    scores, sums = np.empty(heads * TILE, real), np.empty(size, real)
    highest, sum_of_exp, places = np.empty(heads, real), np.empty(heads, real), np.empty(TILE, np.int64)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        to, to_lse, place = (out, lse, row) if partial < 0 else (part_out, part_lse, partial)
        for s in range(slots):
            sums[:], sum_of_exp[:], highest[:] = 0, 0, _LOWEST
            for at in range(begin, end, TILE):
                count = min(TILE, end - at)
                _find(source, in_order, at, count, size, places)
                _products(key, places, count, query, (row * slots + s) * size, heads, channels, scores)
                _soften(scores, count, heads, channels, scale, highest, sum_of_exp, sums)
                _add_weighted(value, places, count, scores, heads, channels, sums)
            at = (place * slots + s) * size
            for h in range(heads):
                over = sum_of_exp[h]
                share = 1 / over if over > 0 else over
                to_lse[(place * slots + s) * heads + h] = highest[h] + math.log(over) if over > 0 else over
                for c in range(h * channels, (h + 1) * channels):
                    to[at + c] = sums[c] * share


@njit(parallel=PARALLEL, **OPTIONS)
def forward(groups, shape, scale, query, key, value, source, in_order, pieces: Rows, out, lse, part_out, part_lse):
    """out [N * S * H * C] and lse [N * S * H], for shape (S, H, C); all flat."""
    for g in prange(len(groups) - 1):
        _forward_group(
            *(groups[g], groups[g + 1], shape, scale, query, key, value, source, in_order),
            *(pieces, out, lse, part_out, part_lse),
        )
    for i in range(len(pieces.split_row)):
        merge_softmax(pieces, i, _lines(shape[0] * shape[1], shape[2]), out, lse, part_out, part_lse)


@njit(**OPTIONS)
def _weights_and_slopes(scores, slopes, count, heads, scale, lse, lse_at, delta):
    """p = exp(s - l) in place of the products q . k, and p (do . v - delta) in place of the products do . v."""
    for h in range(heads):
        level, drop = spread(-lse[lse_at + h]), spread(delta[h])
        for e in range(h * TILE, h * TILE + count, WIDTH):
            weight = exp_of_at_most_zero(fma(load(scores, e), spread(scale), level))
            store(scores, e, weight)
            store(slopes, e, weight * (load(slopes, e) - drop))


@njit(**OPTIONS)
def _put(weights, scale, count, heads, channels, line, at, places, again, out):
    """out[e, h] = scale * weights[h, e] * line[h], added to what is there where `again`."""
    for e in range(count):
        for h in range(heads):
            weight = spread(scale * weights[h * TILE + e])
            for c in range(h * channels, (h + 1) * channels, WIDTH):
                number = weight * load(line, at + c)
                store(out, places[e] + c, number + load(out, places[e] + c) if again else number)


@njit(**OPTIONS)
def _backward_group(
    first, last, shape, scale, query, key, value, source, in_order, pieces, out, lse, grad, dq, part_dq, dk, dv, kept
):
    slots, heads, channels = shape
    size, real = heads * channels, out.dtype
    scores, slopes = np.empty(heads * TILE, real), np.empty(heads * TILE, real)
    sums, delta, places = np.empty(size, real), np.empty(heads, real), np.empty(TILE, np.int64)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        for s in range(slots):
            line, lse_at = (row * slots + s) * size, (row * slots + s) * heads
            for h in range(heads):
                dot = spread(real.type(0))
                for c in range(line + h * channels, line + (h + 1) * channels, WIDTH):
                    dot = fma(load(grad, c), load(out, c), dot)
                delta[h] = lane_sum(dot)
            sums[:] = 0
            for at in range(begin, end, TILE):
                count = min(TILE, end - at)
                _find(source, in_order, at, count, size, places)
                _products(key, places, count, query, line, heads, channels, scores)
                _products(value, places, count, grad, line, heads, channels, slopes)
                _weights_and_slopes(scores, slopes, count, heads, scale, lse, lse_at, delta)
                _add_weighted(key, places, count, slopes, heads, channels, sums)
                if len(kept):
                    for e in range(count):
                        for h in range(heads):
                            to = (((at + e) * slots + s) * heads + h) * 2
                            kept[to], kept[to + 1] = scale * slopes[h * TILE + e], scores[h * TILE + e]
                elif len(dk):
                    _put(slopes, scale, count, heads, channels, query, line, places, s > 0, dk)
                    _put(scores, real.type(1), count, heads, channels, grad, line, places, s > 0, dv)
            to, place = (dq, row) if partial < 0 else (part_dq, partial)
            for c in range(size):
                to[(place * slots + s) * size + c] = scale * sums[c]


@njit(parallel=PARALLEL, **OPTIONS)
def backward(
    groups, shape, scale, query, key, value, source, in_order, pieces: Rows, out, lse, grad, dq, part_dq, dk, dv, kept
):
    """dq; dk and dv where they and `kept` allow: `kept` [E * S * H * 2], if not empty, takes ds and p instead; flat."""
    for g in prange(len(groups) - 1):
        _backward_group(
            *(groups[g], groups[g + 1], shape, scale, query, key, value, source, in_order, pieces),
            *(out, lse, grad, dq, part_dq, dk, dv, kept),
        )
    for i in range(len(pieces.split_row)):
        add_parts(pieces, i, _lines(shape[0] * shape[1], shape[2]), dq, part_dq)


@njit(**OPTIONS)
def _sum_group(first, last, shape, query, grad, target, edge, pieces, kept, dkv, part_dkv):
    slots, heads, channels = shape
    size = heads * channels
    sums = np.empty(2 * size, dkv.dtype)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        sums[:] = 0
        for j in range(begin, end):
            e = edge[j]
            for s in range(slots):
                at, line = (e * slots + s) * heads * 2, (target[e] * slots + s) * size
                for h in range(heads):
                    slope, weight = spread_at(kept, at + 2 * h), spread_at(kept, at + 2 * h + 1)
                    for c in range(h * channels, (h + 1) * channels, WIDTH):
                        store(sums, c, fma(slope, load(query, line + c), load(sums, c)))
                        store(sums, size + c, fma(weight, load(grad, line + c), load(sums, size + c)))
        to, place = (dkv, row) if partial < 0 else (part_dkv, partial)
        to[place * 2 * size : (place + 1) * 2 * size] = sums


@njit(parallel=PARALLEL, **OPTIONS)
def sum_by_source(groups, shape, query, grad, target, edge, pieces: Rows, kept, dkv, part_dkv):
    """dk and dv of each source side by side, [M * 2 * H * C], from what `backward` kept; pieces are of sources."""
    for g in prange(len(groups) - 1):
        _sum_group(groups[g], groups[g + 1], shape, query, grad, target, edge, pieces, kept, dkv, part_dkv)
    for i in range(len(pieces.split_row)):
        add_parts(pieces, i, _lines(2 * shape[1], shape[2]), dkv, part_dkv)
