"""Numba kernels of multi-query attention: R lines of a target ask the same features, key and value at once.

.. math::
    s_{er} = \\lambda \\, q_{nr} \\cdot x_e, \\qquad p_{er} = \\exp(s_{er} - t_{nr}) / \\Sigma_{nr}, \\qquad
    z_{nr} = \\sum_e p_{er} x_e

over the edges e of target n, with t the highest s and the sum of exp(s - t). These two are kept for the backward pass:
the logarithm of the sum of exp(s) would be one number less, but its rounding is that of the weights. Backward:

.. math::
    \\delta_{nr} = \\dot z_{nr} \\cdot z_{nr}, \\qquad
    \\dot s_{er} = p_{er} (\\dot z_{nr} \\cdot x_e - \\delta_{nr}), \\\\
    \\dot q_{nr} = \\lambda \\sum_e \\dot s_{er} x_e, \\qquad
    \\dot x_e = \\sum_r \\lambda \\dot s_{er} q_{nr} + p_{er} \\dot z_{nr}

A tile of edges is read once for both products; see tiles.py for how its numbers lie.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from hgg_pyg.attention.kernels.rows import Rows
from hgg_pyg.attention.kernels.tiles import TILE, add_weighted, find_tile, products, whole, whole_wide
from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.simd import WIDTH, exp_of_at_most_zero, fma, lane_sum, load, maximum, prefetch, spread, store
from hgg_pyg.kernels.wide import (
    BLOCK,
    RUN,
    WIDE,
    add_products,
    load_all,
    load_wide,
    places,
    spread_wide,
    store_all,
    to_runs,
    zeros,
)

_LOWEST = -1e30  # below any logit, and finite: -inf minus -inf is not a number


@kernel
def _line(layout, row, r):
    """Where line r of a row begins."""
    _, _, jump, skip = layout
    return row * jump + r * skip


@kernel
def _ask_ahead(matrix, layout, row):
    """Ask for a row of a matrix, if there is one."""
    rows, columns = layout[:2]
    for r in range(rows):
        at = _line(layout, row, r)
        for c in range(at, at + columns, 16):
            prefetch(matrix, c)


@kernel
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


@kernel
def _soften(scores, count, rows, scale, highest, total, sums, columns, again):
    """Online softmax: products become weights by the highest score so far; sums of earlier tiles follow it down."""
    stride, width = whole(rows), whole_wide(columns)
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


@kernel
def _put_line(sums, columns, r, share, out, at):
    """out[at :] = share * line r of the sums."""
    width = whole_wide(columns)
    full = columns // WIDE * WIDE
    for c in range(0, full, WIDE):
        store(out, at + c, load_wide(sums, r * width + c) * spread_wide(share))
    for c in range(full, columns):
        out[at + c] = sums[r * width + c] * share


@kernel
def _forward_group(first, last, layout, scale, query, features, source, in_order, pieces, z, level, part_z, part_level):
    rows, columns = layout[:2]
    real = z.dtype
    stride, width = whole(rows), whole_wide(columns)
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
            table, start, ahead = find_tile(features, source, in_order, columns, at, count, tile)
            products(table, start, turned, count, columns, rows, features, ahead, scores)
            _soften(scores, count, rows, scale, highest, total, sums, columns, at > begin)
            add_weighted(table, start, scores, count, columns, rows, sums)
        to_level, place = (level, row) if partial < 0 else (part_level, partial)
        for r in range(rows):
            over = total[r]
            to_level[place * 2 * rows + r] = highest[r]
            to_level[(place * 2 + 1) * rows + r] = over
            out, at = (z, _line(layout, row, r)) if partial < 0 else (part_z, (partial * rows + r) * columns)
            _put_line(sums, columns, r, real.type(1) / over if over > 0 else over, out, at)


@parallel_kernel
def forward(groups, layout, scale, query, features, source, in_order, pieces: Rows, z, level, part_z, part_level):
    """z of queries and features [M * F], and level [N * 2 * R]: the highest s of a line and its sum of exp; all flat.

    Layout is (R, F, jump, skip): line r of target n of query and z begins at n * jump + r * skip.
    """
    for g in prange(len(groups) - 1):
        _forward_group(
            *(groups[g], groups[g + 1], layout, scale, query, features, source, in_order),
            *(pieces, z, level, part_z, part_level),
        )
    for i in range(len(pieces.split_row)):
        merge_softmax(pieces, i, layout, z, level, part_z, part_level)


@kernel
def merge_softmax(pieces, i, layout, z, level, part_z, part_level):
    """The result of a row from those of its pieces: their mean, weighted by their shares of the sum of exp."""
    rows, columns = layout[:2]
    row, first, last = pieces.split_row[i], pieces.split_partial[i], pieces.split_partial[i + 1]
    for r in range(rows):
        top = part_level[first * 2 * rows + r]
        for p in range(first + 1, last):
            top = max(top, part_level[p * 2 * rows + r])
        total = z.dtype.type(0)
        for p in range(first, last):
            total += math.exp(part_level[p * 2 * rows + r] - top) * part_level[(p * 2 + 1) * rows + r]
        at = _line(layout, row, r)
        level[row * 2 * rows + r] = top
        level[(row * 2 + 1) * rows + r] = total
        z[at : at + columns] = 0
        for p in range(first, last):
            share = math.exp(part_level[p * 2 * rows + r] - top) * part_level[(p * 2 + 1) * rows + r] / total
            for c in range(columns):
                z[at + c] += share * part_z[(p * rows + r) * columns + c]


@kernel
def _weights_and_slopes(scores, slopes, count, rows, scale, below, share, delta):
    """p = exp(s - t) / sum in place of the products q . x, and p (dz . x - delta) in place of the products dz . x."""
    stride = whole(rows)
    for r in range(0, stride, WIDTH):
        down, part, drop = load(below, r), load(share, r), load(delta, r)
        for e in range(count):
            at = e * stride + r
            weight = exp_of_at_most_zero(fma(load(scores, at), spread(scale), down)) * part
            store(scores, at, weight)
            store(slopes, at, weight * (load(slopes, at) - drop))


@kernel
def _copy_lines(matrix, layout, row, scale, lines):
    """lines[r, c] = scale * line r of a row of a matrix; padding is left as it is."""
    rows, columns = layout[:2]
    width = whole_wide(columns)
    for r in range(rows):
        at = _line(layout, row, r)
        for c in range(columns):
            lines[r * width + c] = scale * matrix[at + c]


@kernel
def _feature_gradients(weights, slopes, count, rows, columns, queries, grads, lines, source, in_order, begin, out):
    """dx of `count` edges, each to the row of its source, which has no other edge."""
    stride, width = whole(rows), whole_wide(columns)
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


@kernel
def _backward_group(
    first, last, layout, scale, query, features, source, in_order, pieces, z, level, dz, dq, part_dq, dx
):
    rows, columns = layout[:2]
    real = z.dtype
    stride, width = whole(rows), whole_wide(columns)
    queries, grads = np.zeros(width * stride, real), np.zeros(width * stride, real)
    tile, sums = np.zeros(TILE * width, real), np.empty(width * stride, real)
    scores, slopes = np.zeros(TILE * stride, real), np.zeros(TILE * stride, real)
    below, share, delta = np.zeros(stride, real), np.zeros(stride, real), np.zeros(stride, real)
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
                below[r] = -level[row * 2 * rows + r]
                share[r] = 1 / level[(row * 2 + 1) * rows + r]
                delta[r] = _dot(dz, z, _line(layout, row, r), columns)
            if len(dx):
                _copy_lines(query, layout, row, scale, query_lines)
                _copy_lines(dz, layout, row, real.type(1), grad_lines)
        for at in range(begin, end, TILE):
            count = min(TILE, end - at)
            table, start, ahead = find_tile(features, source, in_order, columns, at, count, tile)
            products(table, start, queries, count, columns, rows, features, ahead, scores)
            products(table, start, grads, count, columns, rows, features, ahead, slopes)
            _weights_and_slopes(scores, slopes, count, rows, scale, below, share, delta)
            add_weighted(table, start, slopes, count, columns, rows, sums)
            if len(dx):
                _feature_gradients(
                    *(scores, slopes, count, rows, columns, query_lines, grad_lines, lines, source, in_order, at, dx)
                )
        for r in range(rows):
            out, at = (dq, _line(layout, row, r)) if partial < 0 else (part_dq, (partial * rows + r) * columns)
            _put_line(sums, columns, r, scale, out, at)


@kernel
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


@parallel_kernel
def backward(groups, layout, scale, query, features, source, in_order, pieces: Rows, z, level, dz, dq, part_dq, dx):
    """dq, and dx [M * F], sources being unique, unless it is empty; layout as in `forward`, of dz and dq too."""
    for g in prange(len(groups) - 1):
        _backward_group(
            *(groups[g], groups[g + 1], layout, scale, query, features, source, in_order),
            *(pieces, z, level, dz, dq, part_dq, dx),
        )
    for i in range(len(pieces.split_row)):
        add_parts(pieces, i, layout, dq, part_dq)


@kernel
def add_parts(pieces, i, layout, sums, parts):
    """The sum of a row from those of its pieces, in their order."""
    rows, columns = layout[:2]
    for r in range(rows):
        at = _line(layout, pieces.split_row[i], r)
        sums[at : at + columns] = 0
        for p in range(pieces.split_partial[i], pieces.split_partial[i + 1]):
            for c in range(columns):
                sums[at + c] += parts[(p * rows + r) * columns + c]
