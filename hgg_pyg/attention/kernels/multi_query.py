"""Numba kernels of multi-query attention: R lines of a target ask the same features, key and value at once.

.. math::
    s_{er} = \\lambda \\, q_{nr} \\cdot x_e, \\qquad p_{er} = \\exp(s_{er} - \\ell_{nr}), \\qquad
    z_{nr} = \\sum_e p_{er} x_e

over the edges e of target n, with l the logarithm of the sum of exp(s), kept for the backward pass:

.. math::
    \\delta_{nr} = \\dot z_{nr} \\cdot z_{nr}, \\qquad
    \\dot s_{er} = p_{er} (\\dot z_{nr} \\cdot x_e - \\delta_{nr}), \\\\
    \\dot q_{nr} = \\lambda \\sum_e \\dot s_{er} x_e, \\qquad
    \\dot x_e = \\sum_r \\lambda \\dot s_{er} q_{nr} + p_{er} \\dot z_{nr}

A tile of edges is read once for both products. Within it lines are the lanes of a register: an edge's number is spread
over them, so no sum across lanes is needed. Layouts: a tile is [edges, columns], transposed queries and sums are
[columns, lines], weights [edges, lines], with columns and lines padded to whole registers by zeros.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from hgg_pyg.attention.kernels.rows import Rows
from hgg_pyg.attention.kernels.widen import widened
from hgg_pyg.kernels.numba_tools import OPTIONS, PARALLEL
from hgg_pyg.kernels.simd import (
    WIDTH,
    exp_of_at_most_zero,
    fma,
    lane_sum,
    load,
    maximum,
    prefetch,
    scatter,
    spread,
    spread_at,
    store,
)

TILE = 64  # edges; a multiple of WIDTH
AHEAD = 32
_LOWEST = -1e30  # below any logit, and finite: -inf minus -inf is not a number


@njit(**OPTIONS)
def whole(count):
    """The next multiple of WIDTH."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


@njit(**OPTIONS)
def _read_tile(features, source, in_order, columns, begin, count, tile):
    """Copy the features of `count` edges into a tile, widened to its type; rows up to a whole register become zero."""
    stride = whole(columns)
    full = columns // WIDTH * WIDTH
    for e in range(count):
        at = (begin + e if in_order else source[begin + e]) * columns
        ahead = (begin + e + AHEAD if in_order else source[min(begin + e + AHEAD, len(source) - 1)]) * columns
        for c in range(0, full, WIDTH):
            prefetch(features, ahead + c)
            store(tile, e * stride + c, load(features, at + c))
        for c in range(full, columns):
            tile[e * stride + c] = widened(features[at + c])
    tile[count * stride : whole(count) * stride] = 0


@njit(**OPTIONS)
def _line(layout, row, r):
    """Where line r of a row begins."""
    _, _, jump, skip = layout
    return row * jump + r * skip


@njit(**OPTIONS)
def _transpose(matrix, layout, row, scale, transposed):
    """transposed[c, r] = scale * line r of a row of a matrix; padding is left as it is."""
    rows, columns = layout[:2]
    stride = whole(rows)
    full = columns // WIDTH * WIDTH
    for r in range(rows):
        at = _line(layout, row, r)
        for c in range(0, full, WIDTH):
            scatter(transposed, c * stride + r, stride, load(matrix, at + c) * spread(scale))
        for c in range(full, columns):
            transposed[c * stride + r] = scale * matrix[at + c]


@njit(**OPTIONS)
def _products(tile, queries, count, columns, rows, out):
    """out[e, r] = tile[e] . queries[:, r], eight edges by eight rows at a time."""
    width, stride = whole(columns), whole(rows)
    nothing = spread(out.dtype.type(0))
    for e in range(0, count, 8):
        for r in range(0, stride, WIDTH):
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = nothing
            at = e * width
            for c in range(columns):
                q = load(queries, c * stride + r)
                s0 = fma(spread_at(tile, at + c), q, s0)
                s1 = fma(spread_at(tile, at + c + width), q, s1)
                s2 = fma(spread_at(tile, at + c + 2 * width), q, s2)
                s3 = fma(spread_at(tile, at + c + 3 * width), q, s3)
                s4 = fma(spread_at(tile, at + c + 4 * width), q, s4)
                s5 = fma(spread_at(tile, at + c + 5 * width), q, s5)
                s6 = fma(spread_at(tile, at + c + 6 * width), q, s6)
                s7 = fma(spread_at(tile, at + c + 7 * width), q, s7)
            at = e * stride + r
            store(out, at, s0)
            store(out, at + stride, s1)
            store(out, at + 2 * stride, s2)
            store(out, at + 3 * stride, s3)
            store(out, at + 4 * stride, s4)
            store(out, at + 5 * stride, s5)
            store(out, at + 6 * stride, s6)
            store(out, at + 7 * stride, s7)


@njit(**OPTIONS)
def _add_weighted(tile, weights, count, columns, rows, sums):
    """sums[c, r] += sum over edges of tile[e, c] * weights[e, r], eight columns by eight rows at a time."""
    width, stride = whole(columns), whole(rows)
    for c in range(0, width, 8):
        for r in range(0, stride, WIDTH):
            at = c * stride + r
            a0, a1, a2, a3 = (
                load(sums, at),
                load(sums, at + stride),
                load(sums, at + 2 * stride),
                load(sums, at + 3 * stride),
            )
            at += 4 * stride
            a4, a5, a6, a7 = (
                load(sums, at),
                load(sums, at + stride),
                load(sums, at + 2 * stride),
                load(sums, at + 3 * stride),
            )
            for e in range(count):
                w = load(weights, e * stride + r)
                x = e * width + c
                a0 = fma(spread_at(tile, x), w, a0)
                a1 = fma(spread_at(tile, x + 1), w, a1)
                a2 = fma(spread_at(tile, x + 2), w, a2)
                a3 = fma(spread_at(tile, x + 3), w, a3)
                a4 = fma(spread_at(tile, x + 4), w, a4)
                a5 = fma(spread_at(tile, x + 5), w, a5)
                a6 = fma(spread_at(tile, x + 6), w, a6)
                a7 = fma(spread_at(tile, x + 7), w, a7)
            at = c * stride + r
            store(sums, at, a0)
            store(sums, at + stride, a1)
            store(sums, at + 2 * stride, a2)
            store(sums, at + 3 * stride, a3)
            store(sums, at + 4 * stride, a4)
            store(sums, at + 5 * stride, a5)
            store(sums, at + 6 * stride, a6)
            store(sums, at + 7 * stride, a7)


@njit(**OPTIONS)
def _soften(scores, count, rows, highest, total, sums, columns):
    """Online softmax: a tile's scores become weights by the highest score so far; earlier sums are scaled to it."""
    stride = whole(rows)
    nothing = spread(scores.dtype.type(0))
    for r in range(0, stride, WIDTH):
        before = load(highest, r)
        top = before
        for e in range(count):
            top = maximum(top, load(scores, e * stride + r))
        store(highest, r, top)
        keep = exp_of_at_most_zero(before - top)
        added = nothing
        for e in range(count):
            weight = exp_of_at_most_zero(load(scores, e * stride + r) - top)
            store(scores, e * stride + r, weight)
            added = added + weight
        store(total, r, fma(load(total, r), keep, added))
        for c in range(whole(columns)):
            store(sums, c * stride + r, load(sums, c * stride + r) * keep)


@njit(**OPTIONS)
def _forward_group(first, last, layout, scale, query, features, source, in_order, pieces, z, lse, part_z, part_lse):
    rows, columns = layout[:2]
    real = z.dtype
    stride, width = whole(rows), whole(columns)
    queries, sums = np.zeros(columns * stride, real), np.empty(width * stride, real)
    tile, scores = np.zeros(TILE * width, real), np.empty(TILE * stride, real)
    highest, total = np.empty(stride, real), np.empty(stride, real)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        _transpose(query, layout, row, scale, queries)
        sums[:], total[:], highest[:] = 0, 0, _LOWEST
        for at in range(begin, end, TILE):
            count = min(TILE, end - at)
            _read_tile(features, source, in_order, columns, at, count, tile)
            _products(tile, queries, count, columns, rows, scores)
            _soften(scores, count, rows, highest, total, sums, columns)
            _add_weighted(tile, scores, count, columns, rows, sums)
        lse_at = (row if partial < 0 else partial) * rows
        for r in range(rows):
            over = total[r]
            share = 1 / over if over > 0 else over
            out, at = (z, _line(layout, row, r)) if partial < 0 else (part_z, (lse_at + r) * columns)
            (lse if partial < 0 else part_lse)[lse_at + r] = highest[r] + math.log(over) if over > 0 else over
            for c in range(columns):
                out[at + c] = sums[c * stride + r] * share


@njit(parallel=PARALLEL, **OPTIONS)
def forward(groups, layout, scale, query, features, source, in_order, pieces: Rows, z, lse, part_z, part_lse):
    """z and lse [N * R] of queries and features [M * F]; all flat.

    Layout is (R, F, jump, skip): line r of target n of query and z begins at n * jump + r * skip.
    """
    for g in prange(len(groups) - 1):
        _forward_group(
            *(groups[g], groups[g + 1], layout, scale, query, features, source, in_order),
            *(pieces, z, lse, part_z, part_lse),
        )
    for i in range(len(pieces.split_row)):
        merge_softmax(pieces, i, layout, z, lse, part_z, part_lse)


@njit(**OPTIONS)
def merge_softmax(pieces, i, layout, z, lse, part_z, part_lse):
    """The result of a row from those of its pieces: their mean, weighted by their shares of the sum of exp."""
    rows, columns = layout[:2]
    row, first, last = pieces.split_row[i], pieces.split_partial[i], pieces.split_partial[i + 1]
    for r in range(rows):
        top = part_lse[first * rows + r]
        for p in range(first + 1, last):
            top = max(top, part_lse[p * rows + r])
        total = z.dtype.type(0)
        for p in range(first, last):
            total += math.exp(part_lse[p * rows + r] - top)
        at = _line(layout, row, r)
        lse[row * rows + r] = top + math.log(total)
        z[at : at + columns] = 0
        for p in range(first, last):
            share = math.exp(part_lse[p * rows + r] - top) / total
            for c in range(columns):
                z[at + c] += share * part_z[(p * rows + r) * columns + c]


@njit(**OPTIONS)
def _weights_and_slopes(scores, slopes, count, rows, lse, delta):
    """p = exp(s - l) in place of the scores s, and p (dz . x - delta) in place of the products dz . x."""
    stride = whole(rows)
    for r in range(0, stride, WIDTH):
        level, drop = load(lse, r), load(delta, r)
        for e in range(count):
            at = e * stride + r
            weight = exp_of_at_most_zero(load(scores, at) - level)
            store(scores, at, weight)
            store(slopes, at, weight * (load(slopes, at) - drop))


@njit(**OPTIONS)
def _feature_gradients(weights, slopes, count, rows, columns, queries, grads, source, in_order, begin, out):
    """dx of `count` edges, each to the row of its source, which has no other edge."""
    stride, width = whole(rows), whole(columns)
    line = np.empty(width, out.dtype)
    nothing = spread(out.dtype.type(0))
    for e in range(count):
        for c in range(0, width, WIDTH):
            sum_ = nothing
            for r in range(rows):
                sum_ = fma(spread_at(slopes, e * stride + r), load(queries, r * width + c), sum_)
                sum_ = fma(spread_at(weights, e * stride + r), load(grads, r * width + c), sum_)
            store(line, c, sum_)
        at = (begin + e if in_order else source[begin + e]) * columns
        out[at : at + columns] = line[:columns]


@njit(**OPTIONS)
def _backward_group(first, last, layout, scale, query, features, source, in_order, pieces, z, lse, dz, dq, part_dq, dx):
    rows, columns = layout[:2]
    real = z.dtype
    stride, width = whole(rows), whole(columns)
    queries, grads = np.zeros(columns * stride, real), np.zeros(columns * stride, real)
    tile, sums = np.zeros(TILE * width, real), np.empty(width * stride, real)
    scores, slopes = np.empty(TILE * stride, real), np.empty(TILE * stride, real)
    level, delta = np.zeros(stride, real), np.zeros(stride, real)
    query_lines, grad_lines = np.zeros(rows * width, real), np.zeros(rows * width, real)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        _transpose(query, layout, row, scale, queries)
        _transpose(dz, layout, row, real.type(1), grads)
        for r in range(rows):
            at = _line(layout, row, r)
            level[r] = lse[row * rows + r]
            delta[r] = _dot(dz, z, at, columns)
            if len(dx):
                for c in range(columns):
                    query_lines[r * width + c] = scale * query[at + c]
                    grad_lines[r * width + c] = dz[at + c]
        sums[:] = 0
        for e in range(begin, end, TILE):
            count = min(TILE, end - e)
            _read_tile(features, source, in_order, columns, e, count, tile)
            _products(tile, queries, count, columns, rows, scores)
            _products(tile, grads, count, columns, rows, slopes)
            _weights_and_slopes(scores, slopes, count, rows, level, delta)
            _add_weighted(tile, slopes, count, columns, rows, sums)
            if len(dx):
                _feature_gradients(
                    scores, slopes, count, rows, columns, query_lines, grad_lines, source, in_order, e, dx
                )
        for r in range(rows):
            out, at = (dq, _line(layout, row, r)) if partial < 0 else (part_dq, (partial * rows + r) * columns)
            for c in range(columns):
                out[at + c] = scale * sums[c * stride + r]


@njit(**OPTIONS)
def _dot(a, b, at, count):
    """a[at : at + count] . b[at : at + count]"""
    sum_ = spread(a.dtype.type(0))
    full = count // WIDTH * WIDTH
    for c in range(at, at + full, WIDTH):
        sum_ = fma(load(a, c), load(b, c), sum_)
    rest = lane_sum(sum_)
    for c in range(at + full, at + count):
        rest += a[c] * b[c]
    return rest


@njit(parallel=PARALLEL, **OPTIONS)
def backward(groups, layout, scale, query, features, source, in_order, pieces: Rows, z, lse, dz, dq, part_dq, dx):
    """dq, and dx [M * F], sources being unique, unless it is empty; layout as in `forward`, of dz and dq too."""
    for g in prange(len(groups) - 1):
        _backward_group(
            *(groups[g], groups[g + 1], layout, scale, query, features, source, in_order),
            *(pieces, z, lse, dz, dq, part_dq, dx),
        )
    for i in range(len(pieces.split_row)):
        add_parts(pieces, i, layout, dq, part_dq)


@njit(**OPTIONS)
def add_parts(pieces, i, layout, sums, parts):
    """The sum of a row from those of its pieces, in their order."""
    rows, columns = layout[:2]
    for r in range(rows):
        at = _line(layout, pieces.split_row[i], r)
        sums[at : at + columns] = 0
        for p in range(pieces.split_partial[i], pieces.split_partial[i + 1]):
            for c in range(columns):
                sums[at + c] += parts[(p * rows + r) * columns + c]
