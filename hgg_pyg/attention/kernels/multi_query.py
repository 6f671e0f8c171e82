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

A tile of edges is read once for both products. Layouts: a tile is [edges, columns], sums are [lines, columns], weights
[edges, lines]; queries are turned so that lanes are lines (`to_runs` of wide.py), an edge's numbers are spread over
them, and no sum across lanes is needed. Columns are padded to whole registers and lines to eight, by zeros.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numba.extending import overload

from hgg_pyg.attention.kernels.rows import Rows
from hgg_pyg.attention.kernels.widen import widened
from hgg_pyg.kernels.numba_tools import OPTIONS, PARALLEL
from hgg_pyg.kernels.simd import WIDTH, exp_of_at_most_zero, fma, lane_sum, load, maximum, prefetch, spread, store
from hgg_pyg.kernels.wide import (
    BLOCK,
    RUN,
    WIDE,
    add_all,
    add_products,
    add_run_products,
    load_all,
    load_wide,
    places,
    spread_wide,
    store_all,
    sum_runs,
    to_runs,
    zeros,
)

TILE = 64  # edges; a multiple of BLOCK
AHEAD = 32
_LOWEST = -1e30  # below any logit, and finite: -inf minus -inf is not a number


@njit(**OPTIONS)
def whole(count):
    """The next multiple of WIDTH."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


@njit(**OPTIONS)
def _whole_wide(count):
    """The next multiple of WIDE."""
    return (count + WIDE - 1) // WIDE * WIDE


@njit(**OPTIONS)
def _read_tile(features, source, in_order, columns, begin, count, tile):
    """Copy the features of `count` edges into a tile, widened to its type; padding is left as it is."""
    stride = _whole_wide(columns)
    full = columns // WIDE * WIDE
    for e in range(count):
        if not in_order:
            ahead = source[min(begin + e + AHEAD, len(source) - 1)] * columns
            for c in range(0, columns, 64 // features.itemsize):
                prefetch(features, ahead + c)
        at = (begin + e if in_order else source[begin + e]) * columns
        for c in range(0, full, WIDE):
            store(tile, e * stride + c, load_wide(features, at + c))
        for c in range(full, columns):
            tile[e * stride + c] = widened(features[at + c])


def _as_tile(features, tile):
    raise NotImplementedError("numba replaces it")


@overload(_as_tile, inline="always")
def _features_as_tile(features, tile):
    return (lambda features, tile: features) if features == tile else lambda features, tile: tile


@njit(**OPTIONS)
def _tile(features, source, in_order, columns, begin, count, tile):
    """Where the features of `count` edges are: among all features if they can be read there, else in a tile.

    Also returns the place of features that are needed soon.
    """
    at = begin * columns if in_order else 0
    ahead = at + AHEAD * columns if in_order else 0
    readable = at + (count + BLOCK) * columns <= len(features)  # products are of whole blocks
    if in_order and features.itemsize == tile.itemsize and columns % WIDE == 0 and readable:
        return _as_tile(features, tile), at, ahead
    _read_tile(features, source, in_order, columns, begin, count, tile)
    return tile, 0, ahead


@njit(**OPTIONS)
def _line(layout, row, r):
    """Where line r of a row begins."""
    _, _, jump, skip = layout
    return row * jump + r * skip


@njit(**OPTIONS)
def _ask_ahead(matrix, layout, row):
    """Ask for a row of a matrix, if there is one."""
    rows, columns = layout[:2]
    for r in range(rows):
        at = _line(layout, row, r)
        for c in range(at, at + columns, 16):
            prefetch(matrix, c)


@njit(**OPTIONS)
def _turn(matrix, layout, row, turned):
    """The lines of a row as lanes; padding is left as it is: run c of line r begins at c * whole(lines) + r * RUN."""
    rows, columns, _, skip = layout
    stride = whole(rows)
    for r in range(0, rows, WIDTH):
        full = columns // WIDE * WIDE if r + WIDTH <= rows else 0
        for c in range(0, full, WIDE):
            lines = load_all(matrix, _line(layout, row, r) + c, skip)
            store_all(turned, c * stride + r * RUN, RUN * stride, to_runs(lines))
        for line in range(r, min(r + WIDTH, rows)):
            for c in range(full, columns):
                turned[c // RUN * RUN * stride + line * RUN + c % RUN] = matrix[_line(layout, row, line) + c]


@njit(**OPTIONS)
def _products(table, start, turned, count, columns, rows, features, ahead, out):
    """out[e, r] = table[e] . line r, for the edges of whole blocks; as many features from `ahead` on are asked for."""
    width, stride = _whole_wide(columns), whole(rows)
    zero = out.dtype.type(0)
    for e in range(0, count, BLOCK):
        edges, soon = places(start + e * width, width), ahead + e * columns
        for r in range(0, stride, WIDTH):
            sums, more = zeros(zero), zeros(zero)
            for c in range(0, width, RUN * RUN):
                prefetch(features, soon + c * BLOCK)
                sums = add_run_products(sums, table, edges, c, load_wide(turned, c * stride + r * RUN))
                if RUN > 1:  # other sums, for the next columns need not wait for these
                    prefetch(features, soon + c * BLOCK + 16)
                    after = load_wide(turned, (c + RUN) * stride + r * RUN)
                    more = add_run_products(more, table, edges, c + RUN, after)
            store_all(out, e * stride + r, stride, sum_runs(add_all(sums, more) if RUN > 1 else sums))


@njit(**OPTIONS)
def _add_weighted(table, start, weights, count, columns, rows, sums):
    """sums[r, c] += sum over edges of weights[e, r] * table[e, c]."""
    width, stride = _whole_wide(columns), whole(rows)
    for r in range(0, stride, WIDTH):
        c, lines = 0, places(r, 1)
        while c < width:
            at = r * width + c
            left = load_all(sums, at, width)
            if RUN > 1 and c + WIDE < width:
                right = load_all(sums, at + WIDE, width)
                for e in range(count):
                    x = start + e * width + c
                    left = add_products(left, weights, lines, e * stride, load_wide(table, x))
                    right = add_products(right, weights, lines, e * stride, load_wide(table, x + WIDE))
                store_all(sums, at + WIDE, width, right)
                c += WIDE
            else:
                for e in range(count):
                    left = add_products(left, weights, lines, e * stride, load_wide(table, start + e * width + c))
            store_all(sums, at, width, left)
            c += WIDE


@njit(**OPTIONS)
def _soften(scores, count, rows, scale, highest, total, sums, columns, again):
    """Online softmax: products become weights by the highest score so far; sums of earlier tiles follow it down."""
    stride, width = whole(rows), _whole_wide(columns)
    nothing = spread(scores.dtype.type(0))
    for r in range(0, stride, WIDTH):
        before = load(highest, r)
        top = before
        for e in range(count):
            top = maximum(top, load(scores, e * stride + r) * spread(scale))
        keep = exp_of_at_most_zero(before - top)
        added = load(total, r) * keep
        for e in range(count):
            weight = exp_of_at_most_zero(fma(load(scores, e * stride + r), spread(scale), nothing - top))
            store(scores, e * stride + r, weight)
            added = added + weight
        if again:
            store(highest, r, keep)
            for line in range(r, r + WIDTH):
                share = spread_wide(highest[line])
                for c in range(line * width, (line + 1) * width, WIDE):
                    store(sums, c, load_wide(sums, c) * share)
        store(highest, r, top)
        store(total, r, added)


@njit(**OPTIONS)
def _put_line(sums, columns, r, share, out, at):
    """out[at :] = share * line r of the sums."""
    width = _whole_wide(columns)
    full = columns // WIDE * WIDE
    for c in range(0, full, WIDE):
        store(out, at + c, load_wide(sums, r * width + c) * spread_wide(share))
    for c in range(full, columns):
        out[at + c] = sums[r * width + c] * share


@njit(**OPTIONS)
def _forward_group(first, last, layout, scale, query, features, source, in_order, pieces, z, lse, part_z, part_lse):
    rows, columns = layout[:2]
    real = z.dtype
    stride, width = whole(rows), _whole_wide(columns)
    turned, sums = np.zeros(width * stride, real), np.empty(width * stride, real)
    tile, scores = np.zeros(TILE * width, real), np.empty(TILE * stride, real)
    highest, total = np.empty(stride, real), np.empty(stride, real)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        sums[:], total[:], highest[:] = 0, 0, _LOWEST
        if begin < end:
            _turn(query, layout, row, turned)
            _ask_ahead(query, layout, row + 1)
            _ask_ahead(z, layout, row)
        for at in range(begin, end, TILE):
            count = min(TILE, end - at)
            table, start, ahead = _tile(features, source, in_order, columns, at, count, tile)
            _products(table, start, turned, count, columns, rows, features, ahead, scores)
            _soften(scores, count, rows, scale, highest, total, sums, columns, at > begin)
            _add_weighted(table, start, scores, count, columns, rows, sums)
        lse_at = (row if partial < 0 else partial) * rows
        for r in range(rows):
            over = total[r]
            out, at = (z, _line(layout, row, r)) if partial < 0 else (part_z, (lse_at + r) * columns)
            (lse if partial < 0 else part_lse)[lse_at + r] = highest[r] + math.log(over) if over > 0 else over
            _put_line(sums, columns, r, real.type(1) / over if over > 0 else over, out, at)


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
def _weights_and_slopes(scores, slopes, count, rows, scale, level, delta):
    """p = exp(s - l) in place of the products q . x, and p (dz . x - delta) in place of the products dz . x."""
    stride = whole(rows)
    for r in range(0, stride, WIDTH):
        up, drop = load(level, r), load(delta, r)
        for e in range(count):
            at = e * stride + r
            weight = exp_of_at_most_zero(fma(load(scores, at), spread(scale), up))
            store(scores, at, weight)
            store(slopes, at, weight * (load(slopes, at) - drop))


@njit(**OPTIONS)
def _copy_lines(matrix, layout, row, scale, lines):
    """lines[r, c] = scale * line r of a row of a matrix; padding is left as it is."""
    rows, columns = layout[:2]
    width = _whole_wide(columns)
    for r in range(rows):
        at = _line(layout, row, r)
        for c in range(columns):
            lines[r * width + c] = scale * matrix[at + c]


@njit(**OPTIONS)
def _feature_gradients(weights, slopes, count, rows, columns, queries, grads, lines, source, in_order, begin, out):
    """dx of `count` edges, each to the row of its source, which has no other edge."""
    stride, width = whole(rows), _whole_wide(columns)
    for first in range(0, count, BLOCK):
        edges = places(first * stride, stride)
        for c in range(0, width, WIDE):
            sums = zeros(out.dtype.type(0))
            for r in range(rows):
                sums = add_products(sums, slopes, edges, r, load_wide(queries, r * width + c))
                sums = add_products(sums, weights, edges, r, load_wide(grads, r * width + c))
            store_all(lines, c, width, sums)
        for e in range(first, min(first + BLOCK, count)):
            at = (begin + e if in_order else source[begin + e]) * columns
            line = (e - first) * width
            for c in range(columns):
                out[at + c] = lines[line + c]


@njit(**OPTIONS)
def _backward_group(first, last, layout, scale, query, features, source, in_order, pieces, z, lse, dz, dq, part_dq, dx):
    rows, columns = layout[:2]
    real = z.dtype
    stride, width = whole(rows), _whole_wide(columns)
    queries, grads = np.zeros(width * stride, real), np.zeros(width * stride, real)
    tile, sums = np.zeros(TILE * width, real), np.empty(width * stride, real)
    scores, slopes = np.zeros(TILE * stride, real), np.zeros(TILE * stride, real)
    level, delta = np.zeros(stride, real), np.zeros(stride, real)
    query_lines, grad_lines = np.zeros(rows * width, real), np.zeros(rows * width, real)
    lines = np.empty(BLOCK * width, real)
    for piece in range(first, last):
        row, begin, end, partial = pieces.row[piece], pieces.begin[piece], pieces.end[piece], pieces.partial[piece]
        sums[:] = 0
        if begin < end:
            _turn(query, layout, row, queries)
            _turn(dz, layout, row, grads)
            _ask_ahead(query, layout, row + 1)
            _ask_ahead(dz, layout, row + 1)
            _ask_ahead(z, layout, row + 1)
            _ask_ahead(dq, layout, row)
            for r in range(rows):
                level[r] = -lse[row * rows + r]
                delta[r] = _dot(dz, z, _line(layout, row, r), columns)
            if len(dx):
                _copy_lines(query, layout, row, scale, query_lines)
                _copy_lines(dz, layout, row, real.type(1), grad_lines)
        for at in range(begin, end, TILE):
            count = min(TILE, end - at)
            table, start, ahead = _tile(features, source, in_order, columns, at, count, tile)
            _products(table, start, queries, count, columns, rows, features, ahead, scores)
            _products(table, start, grads, count, columns, rows, features, ahead, slopes)
            _weights_and_slopes(scores, slopes, count, rows, scale, level, delta)
            _add_weighted(table, start, slopes, count, columns, rows, sums)
            if len(dx):
                _feature_gradients(
                    *(scores, slopes, count, rows, columns, query_lines, grad_lines, lines, source, in_order, at, dx)
                )
        for r in range(rows):
            out, at = (dq, _line(layout, row, r)) if partial < 0 else (part_dq, (partial * rows + r) * columns)
            _put_line(sums, columns, r, scale, out, at)


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
