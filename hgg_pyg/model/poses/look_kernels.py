"""Numba kernels that draw coloured points, compare them with images and differentiate the error, tile by tile.

What they compute is `pulls.compare_by_autograd`. Drawn by `render`, images of seven channels and their gradients would
be written to memory and read again; here a tile is blended, compared and walked back while all of it is at hand. The
lanes of a register are a *block* of 4 x 2 pixels: of points that reach two pixels or three, blocks see fewer than half
rows do, which is what `render.tiles` has. A tile's pixels lie in the order of its blocks. No two tasks write to the
same place, so runs repeat bit for bit on any number of threads.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.simd import (
    WIDTH,
    any_above,
    ascending,
    bits_above,
    fma,
    lane_sums,
    load,
    lowest_bit,
    maximum,
    minus_abs,
    power_of_two,
    prefetch,
    spread,
    spread_at,
    square_root,
    store,
    where_above,
)
from hgg_pyg.render.binning import (
    CHORD,
    COLUMNS,
    MARGIN,
    OPACITY,
    REACH_Y,
    SKEW,
    TAPER,
    TILE,
    A,
    B,
    Bins,
    C,
    X,
    Y,
)
from hgg_pyg.render.tiles import PIXELS, Limits

ACROSS = 4  # columns of a block
BLOCKS = PIXELS // WIDTH  # of a tile, column by column
_AHEAD = 12  # entries: so early are a splat's numbers asked for, which lie anywhere

# Columns of an entry's numbers: its centre from that of the tile's first pixel; factors of dx^2, dx dy and dy^2 in the
# logarithm to base 2 of its alpha over its opacity; opacity; colour.
_X, _Y, _HALF_A, _WHOLE_B, _HALF_C, _TOP, _RED, _GREEN, _BLUE = range(9)
_NUMBERS = 9
# Columns of what is summed: with s the slope of the error by the exponent of alpha, s dx, s dy, s dx^2, s dx dy; the
# gradients by the channels of `pulls.compare_by_autograd` but the last three; s dy^2; those three; nothing.
ROOM = 2 * WIDTH


class Squares(NamedTuple):
    """P images that points are compared with."""

    rgb: np.ndarray  # [P, H, W, 3]
    inside: np.ndarray  # [P, H, W] masks
    detail: np.ndarray  # [P, H, W] per squared pixel
    zoom: np.ndarray  # [P] pixels per metre


class _Tile(NamedTuple):
    """One tile's entries, and for each block those that it sees."""

    numbers: np.ndarray  # [entries * _NUMBERS]
    listed: np.ndarray  # [BLOCKS, entries] int32, front to back
    starts: np.ndarray  # [BLOCKS + 1] how many the blocks before see


class _Pixels(NamedTuple):
    """A tile's pixels while they are blended, then while they are walked back."""

    left: np.ndarray  # [PIXELS] transmittance; below zero of what is full or outside the image
    behind: np.ndarray  # [PIXELS] B of `render.tiles.blend_backward`
    colors: np.ndarray  # [3 * PIXELS] blended, then the error's gradients by them
    told: np.ndarray  # [3 * PIXELS] masks, steepness, errors of colour


@kernel
def _place_of(lane_column, lane_row, block, real):
    """Columns and rows of a block's pixels."""
    across, down = block // (TILE // 2) * ACROSS, block % (TILE // 2) * 2
    return lane_column + spread(real(across)), lane_row + spread(real(down))


@kernel
def _seen_blocks(x, y, at, geometry):
    """The blocks that an entry is seen in, as bits of an integer; see render/binning.py."""
    real = geometry.dtype.type
    zero, margin, reach_y = spread(real(0)), spread(real(MARGIN)), spread_at(geometry, at + REACH_Y)
    skew, chord = spread_at(geometry, at + SKEW), spread_at(geometry, at + CHORD)
    taper = spread_at(geometry, at + TAPER)
    found = np.int64(0)
    for row in range(0, TILE, WIDTH):
        if abs(y - real(row) - real(3.5)) > geometry[at + REACH_Y] + real(4):
            continue
        dy = spread(y) - ascending(real(row))
        middle, reach = spread(x) - skew * dy, square_root(maximum(zero, chord - taper * dy * dy)) + margin
        left, right = middle - reach, middle + reach
        # What is outside, so that what is not a number counts as inside
        away = bits_above(maximum(dy, zero - dy), reach_y)
        for column in range(TILE // ACROSS):
            first, last = spread(real(column * ACROSS)), spread(real(column * ACROSS + ACROSS - 1))
            rows = (away | bits_above(first, right) | bits_above(left, last)) ^ 255
            rows = (rows | (rows >> 1)) & 85  # of two rows, the upper one's bit
            rows = (rows | (rows >> 1)) & 51
            rows = (rows | (rows >> 2)) & 15
            found |= rows << (column * (TILE // 2) + row // 2)
    return found


@kernel
def _open_tile(bins, first, end, tile_y, tile_x):
    """Take up a tile's entries, and list which each block sees."""
    geometry, payload, real = bins.geometry, bins.payload, bins.geometry.dtype.type
    count = end - first
    numbers, listed = np.empty(count * _NUMBERS, geometry.dtype), np.empty((BLOCKS, count), np.int32)
    starts, counts = np.zeros(BLOCKS + 1, np.int64), np.zeros(BLOCKS, np.int64)
    centre, scale = real(0.5), real(-math.log2(math.e))
    half_scale = real(0.5) * scale
    for k in range(count):
        ahead = np.int64(bins.splats[min(first + k + _AHEAD, end - 1)])
        prefetch(geometry, ahead * COLUMNS)
        prefetch(payload, ahead * 3)
        splat = np.int64(bins.splats[first + k])
        at, to = splat * COLUMNS, k * _NUMBERS
        x, y = geometry[at + X] - real(tile_x) - centre, geometry[at + Y] - real(tile_y) - centre
        numbers[to + _X], numbers[to + _Y], numbers[to + _TOP] = x, y, geometry[at + OPACITY]
        numbers[to + _HALF_A], numbers[to + _WHOLE_B] = half_scale * geometry[at + A], scale * geometry[at + B]
        numbers[to + _HALF_C] = half_scale * geometry[at + C]
        for d in range(3):
            numbers[to + _RED + d] = payload[splat * 3 + d]
        seen = _seen_blocks(x, y, at, geometry)
        while seen != 0:
            block = np.uint64(lowest_bit(seen))
            listed[block, np.uint64(counts[block])] = k
            counts[block] += 1
            seen &= seen - 1
    for block in range(BLOCKS):
        starts[block + 1] = starts[block] + counts[block]
    return _Tile(numbers, listed, starts)


@kernel
def _blend_block(tile, block, lanes, limits, pixels, alphas):
    """Blend a block's entries front to back, and keep their alphas, 0 where not blended. How many it took."""
    numbers, first, count = tile.numbers, tile.starts[block], tile.starts[block + 1] - tile.starts[block]
    real = numbers.dtype.type
    zero, one, least = spread(real(0)), spread(real(1)), spread(limits.transmittance_min)
    faint, p = spread(limits.alpha_min), block * WIDTH
    columns, rows = _place_of(load(lanes, 0), load(lanes, WIDTH), block, real)
    left, red, green, blue = load(pixels.left, p), zero, zero, zero
    for i in range(count):
        at = np.int64(tile.listed[block, i]) * _NUMBERS
        dx, dy = spread_at(numbers, at + _X) - columns, spread_at(numbers, at + _Y) - rows
        power = fma(dx, spread_at(numbers, at + _HALF_A), spread_at(numbers, at + _WHOLE_B) * dy)
        power = fma(dx, power, spread_at(numbers, at + _HALF_C) * dy * dy)
        alpha = spread_at(numbers, at + _TOP) * power_of_two(power)
        alpha = where_above(faint, alpha, zero, alpha)
        after = left * (one - alpha)
        alpha = where_above(after, least, alpha, zero)
        weight = alpha * left
        left = where_above(after, least, after, minus_abs(left))
        red = fma(weight, spread_at(numbers, at + _RED), red)
        green = fma(weight, spread_at(numbers, at + _GREEN), green)
        blue = fma(weight, spread_at(numbers, at + _BLUE), blue)
        store(alphas, (first + i) * WIDTH, alpha)
        if i % TILE == TILE - 1 and not any_above(left, zero):
            count = i + 1
            break
    store(pixels.left, p, left)
    store(pixels.colors, p, red)
    store(pixels.colors, PIXELS + p, green)
    store(pixels.colors, 2 * PIXELS + p, blue)
    return count


@kernel
def _differentiate_block(tile, block, count, lanes, pixels, alphas, sums):
    """Walk a block's entries back to front, and add to their sums; see `render.tiles.blend_backward`."""
    numbers, first, p = tile.numbers, tile.starts[block], block * WIDTH
    real = numbers.dtype.type
    zero, one = spread(real(0)), spread(real(1))
    columns, rows = _place_of(load(lanes, 0), load(lanes, WIDTH), block, real)
    left, behind = load(pixels.left, p), load(pixels.behind, p)
    red, green, blue = load(pixels.colors, p), load(pixels.colors, PIXELS + p), load(pixels.colors, 2 * PIXELS + p)
    inside, steep, wrong = load(pixels.told, p), load(pixels.told, PIXELS + p), load(pixels.told, 2 * PIXELS + p)
    for i in range(count - 1, -1, -1):
        k = np.int64(tile.listed[block, i])
        at, to = k * _NUMBERS, k * ROOM
        alpha = load(alphas, (first + i) * WIDTH)
        dx, dy = spread_at(numbers, at + _X) - columns, spread_at(numbers, at + _Y) - rows
        inverse = one / (one - alpha)
        left = left * inverse
        weight = alpha * left
        value = spread_at(numbers, at + _RED) * red
        value = fma(spread_at(numbers, at + _GREEN), green, value)
        value = fma(spread_at(numbers, at + _BLUE), blue, value)
        slope = alpha * (inverse * behind - left * value)
        behind = fma(weight, value, behind)
        by_x, by_y = slope * dx, slope * dy
        found = lane_sums(
            *(by_x, by_y, by_x * dx, by_x * dy, weight * red, weight * green, weight * blue, weight),
        )
        more = lane_sums(by_y * dy, weight * inside, weight * steep, weight * wrong, zero, zero, zero, zero)
        store(sums, to, load(sums, to) + found)
        store(sums, to + WIDTH, load(sums, to + WIDTH) + more)


@kernel
def _compare_tile(view, tile_y, tile_x, squares, pixels):
    """Turn what was blended into the gradients of the error by it, and into what pixels tell points."""
    height, width = squares.inside.shape[1:]
    one = squares.rgb.dtype.type(1)
    steepness = squares.zoom[view] * squares.zoom[view]
    for row in range(min(TILE, height - tile_y)):
        for column in range(min(TILE, width - tile_x)):
            block = column // ACROSS * (TILE // 2) + row // 2
            p, y, x = block * WIDTH + row % 2 * ACROSS + column % ACROSS, tile_y + row, tile_x + column
            left, inside = abs(pixels.left[p]), squares.inside[view, y, x]
            wrong, of_left = one - one, inside - (one - left)
            for d in range(3):
                away = pixels.colors[d * PIXELS + p] + left - squares.rgb[view, y, x, d]  # in white surroundings
                pixels.colors[d * PIXELS + p] = inside * away
                of_left += inside * away
                wrong += inside * away * away
            pixels.left[p], pixels.behind[p] = left, left * of_left
            pixels.told[p], pixels.told[PIXELS + p] = inside, squares.detail[view, y, x] * steepness
            pixels.told[2 * PIXELS + p] = wrong


@kernel
def _look_at_tile(bins, number, lanes, limits, squares, found):
    dtype = bins.geometry.dtype
    height, width = squares.inside.shape[1:]
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    view, tile_y, tile_x = number // (across * down), number // across % down * TILE, number % across * TILE
    first, end = bins.first_entry[number], bins.first_entry[number + 1]
    tile = _open_tile(bins, first, end, tile_y, tile_x)
    pixels = _Pixels(
        *(np.full(PIXELS, -1, dtype), np.zeros(PIXELS, dtype)),
        *(np.zeros(3 * PIXELS, dtype), np.zeros(3 * PIXELS, dtype)),
    )
    for row in range(min(TILE, height - tile_y)):
        for column in range(min(TILE, width - tile_x)):
            block = column // ACROSS * (TILE // 2) + row // 2
            pixels.left[block * WIDTH + row % 2 * ACROSS + column % ACROSS] = 1
    alphas, counts = np.empty(tile.starts[BLOCKS] * WIDTH, dtype), np.empty(BLOCKS, np.int64)
    for block in range(BLOCKS):
        counts[block] = _blend_block(tile, block, lanes, limits, pixels, alphas)
    _compare_tile(view, tile_y, tile_x, squares, pixels)
    sums = np.zeros((end - first) * ROOM, dtype)
    for block in range(BLOCKS):
        _differentiate_block(tile, block, counts[block], lanes, pixels, alphas, sums)
    for k in range(end - first):
        to = bins.slots[first + k] * ROOM
        store(found, to, load(sums, k * ROOM))
        store(found, to + WIDTH, load(sums, k * ROOM + WIDTH))


@parallel_kernel
def look_at_tiles(bins: Bins, limits: Limits, squares: Squares):
    """What each slot's splat is told by the pixels of its tile. [E * ROOM]"""
    dtype = bins.geometry.dtype
    found, lanes = np.empty(bins.slots.shape[0] * ROOM, dtype), np.empty(2 * WIDTH, dtype)
    for i in range(WIDTH):
        lanes[i], lanes[WIDTH + i] = i % ACROSS, i // ACROSS
    for tile in prange(bins.first_entry.shape[0] - 1):
        if bins.first_entry[tile] < bins.first_entry[tile + 1]:
            _look_at_tile(bins, np.int64(tile), lanes, limits, squares, found)
    return found
