"""Tiles of edges: their features, products with the lines of a row, and sums weighted for each line.

Layouts: a tile is [edges, columns], sums are [lines, columns], weights [edges, lines]; columns are padded to whole
registers (`whole_wide`) and lines to eight (`whole`), by zeros. For products, lines are turned so that lanes are lines
(`to_runs` of wide.py): an edge's numbers are spread over them, and no sum across lanes is needed.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

from numba.extending import overload

from hgg_pyg.attention.kernels.widen import widened
from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.kernels.simd import WIDTH, prefetch, spread, store
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
    store_all,
    sum_runs,
    zeros,
)

TILE = 64  # edges; a multiple of BLOCK
AHEAD = 32  # edges whose features are asked for before those of an edge are used


@kernel
def whole(count):
    """The next multiple of WIDTH."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


@kernel
def whole_wide(count):
    """The next multiple of WIDE."""
    return (count + WIDE - 1) // WIDE * WIDE


@kernel
def fill(array, number):
    """Every number of an array of whole registers; numba's own array[:] = number takes its time to begin."""
    lanes = spread(array.dtype.type(number))
    for i in range(0, len(array), WIDTH):
        store(array, i, lanes)


@kernel
def _read_tile(features, source, in_order, columns, begin, count, tile):
    """Copy the features of `count` edges into a tile, widened to its type; padding is left as it is."""
    stride = whole_wide(columns)
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


@kernel
def find_tile(features, source, in_order, columns, begin, count, tile):
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


@kernel
def products(table, start, turned, count, columns, rows, features, ahead, out):
    """out[e, r] = table[e] . line r, for the edges of whole blocks; as many features from `ahead` on are asked for."""
    width, stride = whole_wide(columns), whole(rows)
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


@kernel
def add_weighted(table, start, weights, count, columns, rows, sums):
    """sums[r, c] += sum over edges of weights[e, r] * table[e, c]."""
    width, stride = whole_wide(columns), whole(rows)
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
