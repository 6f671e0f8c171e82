"""Numba kernels of the CPU rasteriser: blend the splats of every tile, and differentiate the blend.

reference.py states what they compute. What makes them fast: a tile is a task; eight pixels of a row are the lanes of a
register, with nothing that branches on a pixel; they begin where a splat does if they can hold it, and halves of rows
that a wider one does not touch are skipped. What makes them repeatable bit for bit, on any number of threads: no two
tasks write to the same place. The backward pass writes one row of gradients for each entry, into its slot, and sums a
splat's slots afterwards in a fixed order. Arrays are flat where lanes are read from them; words and columns: see
binning.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.simd import (
    WIDTH,
    exp_of_at_most_zero,
    fma,
    lane_sum,
    load,
    maximum,
    spread,
    spread_at,
    store,
    where_above,
)
from hgg_pyg.render.binning import (
    CHORD,
    COLUMNS,
    MARGIN,
    OPACITY,
    REACH_X,
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

PIXELS = TILE * TILE  # of a tile


class Limits(NamedTuple):
    """Thresholds of blending, as numpy scalars of the arrays' dtype; see projection.py."""

    alpha_min: np.floating
    alpha_max: np.floating
    transmittance_min: np.floating


class Images(NamedTuple):
    """What blending gives, or the gradients of a loss with respect to it."""

    blended: np.ndarray  # [V, H, W, D]
    transmittance: np.ndarray  # [V, H, W] what is left of it behind all splats


@kernel
def _place(tile: np.int64, height: int, width: int) -> tuple[np.int64, np.int64, np.int64]:
    """A tile's view, and the row and column of its first pixel."""
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    return tile // (across * down), tile // across % down * TILE, tile % across * TILE


@kernel
def _rows(y: float, reach: float) -> tuple[int, int]:
    """Rows of a tile within reach of a centre y rows below its first: the first one, and one after the last."""
    first = min(max(math.ceil(y - reach), 0.0), float(TILE))
    last = min(max(math.floor(y + reach) + 1.0, first), float(TILE))
    return int(first), int(last)


@kernel
def _columns(x: float, reach: float) -> tuple[int, int]:
    """Where the lanes of a row begin for a splat within reach of a centre x columns right of a tile's first: at
    range(first, end, WIDTH). Once for what fits them, else at each half of the row; nowhere for what is outside.
    """
    first, last = max(math.ceil(x - reach), 0.0), min(math.floor(x + reach), TILE - 1.0)
    if last < first:
        return 0, 0
    if last - first < WIDTH:
        start = int(min(first, float(TILE - WIDTH)))
        return start, start + 1
    return 0, TILE


@kernel
def _misses(middle: float, chord: float, first: float) -> bool:
    """Whether none of the `WIDTH` pixels from `first` on is within a chord: half its length squared about a middle."""
    outside = max(first - middle, middle - (first + (WIDTH - 1))) - MARGIN
    return outside > 0 and outside * outside > chord


@kernel
def _alpha(dx, half_a, row_b, row_c, opacity, zero, limits):
    """A splat's alpha at pixels, 0 where too faint, and its alpha before clamping."""
    exponent = fma(dx, fma(dx, half_a, row_b), row_c)
    raw = opacity * exp_of_at_most_zero(zero - exponent)
    top, least = spread(limits.alpha_max), spread(limits.alpha_min)
    alpha = where_above(raw, top, top, raw)
    alpha = where_above(zero, exponent, zero, alpha)
    return where_above(least, alpha, zero, alpha), raw


@kernel
def _blend_tile(bins, tile, limits, images, last_entry):
    """Blend one tile's entries front to back; see blend."""
    geometry, payload, real = bins.geometry, bins.payload, bins.geometry.dtype.type
    channels = images.blended.shape[3]
    zero, one, half = spread(real(0)), spread(real(1)), real(0.5)
    height, width = last_entry.shape[1:]
    view, tile_y, tile_x = _place(tile, height, width)
    inside_y, inside_x = min(TILE, height - tile_y), min(TILE, width - tile_x)
    left, alive = np.ones(PIXELS, geometry.dtype), np.zeros(PIXELS, geometry.dtype)  # left: transmittance
    last = np.full(PIXELS, -1, geometry.dtype)  # counted from the tile's first entry: few enough to be exact
    blended, columns = np.zeros(channels * PIXELS, geometry.dtype), np.arange(TILE).astype(geometry.dtype)
    for row in range(inside_y):
        alive[row * TILE : row * TILE + inside_x] = 1
    first = bins.first_entry[tile]
    for entry in range(first, bins.first_entry[tile + 1]):
        splat = np.int64(bins.splats[entry])
        at = splat * COLUMNS
        half_a, b, half_c = half * geometry[at + A], geometry[at + B], half * geometry[at + C]
        x, y = geometry[at + X] - real(tile_x) - half, geometry[at + Y] - real(tile_y) - half
        skew, chord, taper = geometry[at + SKEW], geometry[at + CHORD], geometry[at + TAPER]
        opacity, here, splat_x = spread_at(geometry, at + OPACITY), spread(real(entry - first)), spread(x)
        first_row, end_row = _rows(y, geometry[at + REACH_Y])
        first_column, end_column = _columns(x, geometry[at + REACH_X])
        wide = end_column - first_column > 1
        for row in range(first_row, end_row):
            dy = y - real(row)
            middle, half_chord = x - skew * dy, chord - taper * dy * dy
            for i in range(first_column, end_column, WIDTH):
                if wide and _misses(middle, half_chord, real(i)):
                    continue
                p = row * TILE + i
                dx = splat_x - load(columns, i)
                alpha, _ = _alpha(dx, spread(half_a), spread(b * dy), spread(half_c * dy * dy), opacity, zero, limits)
                before, lives = load(left, p), load(alive, p)
                alpha = alpha * lives
                after = before * (one - alpha)
                least = spread(limits.transmittance_min)
                weight = where_above(after, least, alpha * before, zero)
                store(left, p, where_above(after, least, after, before))
                store(alive, p, where_above(after, least, lives, zero))
                store(last, p, where_above(weight, zero, here, load(last, p)))
                for d in range(channels):
                    value, q = spread_at(payload, splat * channels + d), d * PIXELS + p
                    store(blended, q, fma(weight, value, load(blended, q)))
        if (entry - first) % TILE == TILE - 1:
            lives = zero
            for p in range(0, PIXELS, WIDTH):
                lives = maximum(lives, load(alive, p))
            if lane_sum(lives) == 0:
                break
    for row in range(inside_y):
        for i in range(inside_x):
            p = row * TILE + i
            images.transmittance[view, tile_y + row, tile_x + i] = left[p]
            last_entry[view, tile_y + row, tile_x + i] = np.int32(last[p])
            for d in range(channels):
                images.blended[view, tile_y + row, tile_x + i, d] = blended[d * PIXELS + p]


@parallel_kernel
def blend(bins: Bins, views: int, height: int, width: int, channels: int, limits: Limits):
    """Blend every tile front to back.

    Returns the images, and the last entry blended at each pixel, counted within its tile, -1 where none. [V, H, W]
    """
    dtype = bins.geometry.dtype
    blended, transmittance = np.zeros((views, height, width, channels), dtype), np.ones((views, height, width), dtype)
    images = Images(blended, transmittance)
    last_entry = np.full((views, height, width), -1, np.int32)
    for tile in prange(bins.first_entry.shape[0] - 1):
        if bins.first_entry[tile] < bins.first_entry[tile + 1]:
            _blend_tile(bins, np.int64(tile), limits, images, last_entry)
    return images, last_entry


@kernel
def _blend_tile_backward(bins, tile, limits, transmittance, last_entry, grads, gradients):
    """Walk one tile's entries back to front; see blend_backward."""
    geometry, payload, real = bins.geometry, bins.payload, bins.geometry.dtype.type
    channels = grads.blended.shape[3]
    zero, one, half = spread(real(0)), spread(real(1)), real(0.5)
    height, width = last_entry.shape[1:]
    view, tile_y, tile_x = _place(tile, height, width)
    left, behind = np.ones(PIXELS, geometry.dtype), np.zeros(PIXELS, geometry.dtype)  # left: transmittance
    last, columns = np.full(PIXELS, -1, geometry.dtype), np.arange(TILE).astype(geometry.dtype)
    grad, sums = np.zeros(channels * PIXELS, geometry.dtype), np.empty(channels * WIDTH, geometry.dtype)
    end_blended = np.int64(0)
    for row in range(min(TILE, height - tile_y)):
        for i in range(min(TILE, width - tile_x)):
            p, v, u = row * TILE + i, tile_y + row, tile_x + i
            left[p], last[p] = transmittance[view, v, u], last_entry[view, v, u]
            end_blended = max(end_blended, np.int64(last_entry[view, v, u]) + 1)
            behind[p] = left[p] * grads.transmittance[view, v, u]
            for d in range(channels):
                grad[d * PIXELS + p] = grads.blended[view, v, u, d]
    first, count = bins.first_entry[tile], OPACITY + 1 + channels
    for entry in range(first + end_blended, bins.first_entry[tile + 1]):
        for column in range(count):
            gradients[bins.slots[entry], column] = 0
    for entry in range(first + end_blended - 1, first - 1, -1):
        splat, slot = np.int64(bins.splats[entry]), bins.slots[entry]
        at = splat * COLUMNS
        a, b, c = geometry[at + A], geometry[at + B], geometry[at + C]
        x, y = geometry[at + X] - real(tile_x) - half, geometry[at + Y] - real(tile_y) - half
        skew, chord, taper = geometry[at + SKEW], geometry[at + CHORD], geometry[at + TAPER]
        opacity, here, splat_x = spread_at(geometry, at + OPACITY), spread(real(entry - first)), spread(x)
        first_row, end_row = _rows(y, geometry[at + REACH_Y])
        first_column, end_column = _columns(x, geometry[at + REACH_X])
        wide = end_column - first_column > 1
        sum_1 = sum_x = sum_y = sum_xx = sum_xy = sum_yy = zero
        for d in range(channels):
            store(sums, d * WIDTH, zero)
        for row in range(first_row, end_row):
            dy = y - real(row)
            middle, half_chord = x - skew * dy, chord - taper * dy * dy
            for i in range(first_column, end_column, WIDTH):
                if wide and _misses(middle, half_chord, real(i)):
                    continue
                p = row * TILE + i
                dx = splat_x - load(columns, i)
                row_b, row_c = spread(b * dy), spread(half * c * dy * dy)
                alpha, raw = _alpha(dx, spread(half * a), row_b, row_c, opacity, zero, limits)
                alpha = where_above(here, load(last, p), zero, alpha)
                inverse = one / (one - alpha)
                before, hidden = load(left, p) * inverse, load(behind, p)
                weight, value = alpha * before, zero
                for d in range(channels):
                    upstream = load(grad, d * PIXELS + p)
                    value = fma(spread_at(payload, splat * channels + d), upstream, value)
                    store(sums, d * WIDTH, fma(weight, upstream, load(sums, d * WIDTH)))
                store(left, p, before)
                store(behind, p, fma(weight, value, hidden))
                slope = alpha * (inverse * hidden - before * value)
                slope = where_above(raw, spread(limits.alpha_max), zero, slope)
                slope_x, slope_y = slope * dx, slope * spread(dy)
                sum_1, sum_x, sum_y = sum_1 + slope, sum_x + slope_x, sum_y + slope_y
                sum_xx, sum_xy = fma(slope_x, dx, sum_xx), fma(slope_y, dx, sum_xy)
                sum_yy = fma(slope_y, spread(dy), sum_yy)
        total_x, total_y = lane_sum(sum_x), lane_sum(sum_y)
        gradients[slot, X] = a * total_x + b * total_y
        gradients[slot, Y] = b * total_x + c * total_y
        gradients[slot, A] = half * lane_sum(sum_xx)
        gradients[slot, B] = lane_sum(sum_xy)
        gradients[slot, C] = half * lane_sum(sum_yy)
        gradients[slot, OPACITY] = -lane_sum(sum_1) / geometry[at + OPACITY]
        for d in range(channels):
            gradients[slot, OPACITY + 1 + d] = lane_sum(load(sums, d * WIDTH))


@parallel_kernel
def blend_backward(bins: Bins, limits: Limits, transmittance, last_entry, grads: Images):
    """Gradients of a loss with respect to the splat of each slot, columns as geometry, then payload. [E, 6 + D]

    Walks each tile back to front. At a pixel, with q_i the payload of i times the gradients of what it is blended into,
    w_i = T_i alpha_i its weight and B_i = sum_{j>i} w_j q_j + T_end dL/dT_end all that lies behind it:

        T_i = T_{i+1} / (1 - alpha_i)
        dL/dalpha_i = T_i q_i - B_i / (1 - alpha_i)
        dL/dexponent_i = -alpha_i dL/dalpha_i
    """
    columns = OPACITY + 1 + grads.blended.shape[3]
    gradients = np.empty((bins.slots.shape[0], columns), bins.geometry.dtype)
    for tile in prange(bins.first_entry.shape[0] - 1):
        if bins.first_entry[tile] < bins.first_entry[tile + 1]:
            _blend_tile_backward(bins, np.int64(tile), limits, transmittance, last_entry, grads, gradients)
    return gradients


@parallel_kernel
def sum_gradients(bins: Bins, gradients):
    """Sum the slots' gradients by splat, in the order of views and Gaussians, 0 where culled. [V * N, 6 + D]"""
    sums = np.zeros((bins.splat_of.shape[0], gradients.shape[1]), gradients.dtype)
    for index in prange(bins.splat_of.shape[0]):
        splat = bins.splat_of[index]
        if splat >= 0:
            for slot in range(bins.first_slot[splat], bins.first_slot[splat + 1]):
                for column in range(gradients.shape[1]):
                    sums[index, column] += gradients[slot, column]
    return sums
