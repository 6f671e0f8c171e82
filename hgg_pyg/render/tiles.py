"""Numba kernels of the CPU rasteriser: blend the splats of every tile, and differentiate the blend.

reference.py states what they compute. What makes them fast: a tile is a task; eight pixels of a row are the lanes of a
register, with nothing that branches on a pixel; such a half row stays in registers while the entries that it sees pass
by, a segment of them at a time (segments.py). What makes them repeatable bit for bit, on any number of threads: no two
tasks write to the same place. The backward pass sums over a tile for each entry, half row by half row, and writes one
row of gradients into its slot; a splat's slots are summed afterwards in a fixed order. Arrays are flat where lanes are
read from them; words and columns: see binning.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel
from hgg_pyg.kernels.simd import (
    WIDTH,
    any_above,
    ascending,
    fma,
    lane_sum,
    lane_sums,
    load,
    minus_abs,
    power_of_two,
    spread,
    spread_at,
    store,
    where_above,
)
from hgg_pyg.render.binning import COLUMNS, OPACITY, TILE, A, B, Bins, C, X, Y
from hgg_pyg.render.segments import (
    CHANNELS,
    HALF_A,
    HALF_C,
    HALVES,
    NUMBERS,
    PAYLOAD,
    PLACE_X,
    PLACE_Y,
    SEGMENT,
    TOP,
    WHOLE_B,
    fill_segment,
    room_for,
)

PIXELS = TILE * TILE  # of a tile
SUMS = 3 * WIDTH  # of an entry: of its slopes by 1, dx, dx^2, nothing, and of four channels; by dy; by dy^2


class Limits(NamedTuple):
    """Thresholds of blending, as numpy scalars of the arrays' dtype; see projection.py."""

    alpha_min: np.floating
    alpha_max: np.floating
    transmittance_min: np.floating


class Pixels(NamedTuple):
    """A tile while it is blended, row by row."""

    left: np.ndarray  # [PIXELS] transmittance
    last: np.ndarray  # [PIXELS] the last entry blended, counted from the tile's first: few enough to be exact
    blended: np.ndarray  # [D * PIXELS]


class Upstream(NamedTuple):
    """A tile while it is differentiated, back to front."""

    left: np.ndarray  # [PIXELS] transmittance
    behind: np.ndarray  # [PIXELS] B of blend_backward
    last: np.ndarray  # [PIXELS]
    blended: np.ndarray  # [D * PIXELS] the gradients of a loss with respect to what is blended


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
def _first_pixel(half: int) -> tuple[int, int]:
    """Of half a row: its place in the tile, and its row."""
    return half % TILE * TILE + half // TILE * WIDTH, half % TILE


@kernel
def _alpha(numbers, at, dx, dy, zero, limits):
    """An entry's alpha at pixels, 0 where too faint, and its alpha before clamping."""
    by_dx = fma(dx, spread_at(numbers, at + HALF_A), spread(numbers[at + WHOLE_B] * dy))
    power = fma(dx, by_dx, spread(numbers[at + HALF_C] * dy * dy))
    raw = spread_at(numbers, at + TOP) * power_of_two(power)
    raw = where_above(power, zero, zero, raw)
    raw = where_above(spread(limits.alpha_min), raw, zero, raw)
    top = spread(limits.alpha_max)
    return where_above(raw, top, top, raw), raw


@kernel
def _blend_half(bins, segment, half, begin, first, limits, pixels, weights):
    """Blend a segment, entries of a tile from `begin` on, at half a row; see _blend_tile."""
    numbers, listed, channels = segment.numbers, segment.listed, pixels.blended.shape[0] // PIXELS
    real = numbers.dtype.type
    (p, row), count = _first_pixel(half), segment.counts[half]
    zero, one, least = spread(real(0)), spread(real(1)), spread(limits.transmittance_min)
    left, last = load(pixels.left, p), load(pixels.last, p)
    columns = ascending(real(p - row * TILE))
    sum_0, sum_1 = load(pixels.blended, p), load(pixels.blended, PIXELS + p)
    sum_2, sum_3 = load(pixels.blended, 2 * PIXELS + p), load(pixels.blended, 3 * PIXELS + p)
    for i in range(count):
        k = np.int64(listed[half * SEGMENT + i])
        at = k * NUMBERS
        dx, dy = spread_at(numbers, at + PLACE_X) - columns, numbers[at + PLACE_Y] - real(row)
        alpha, _ = _alpha(numbers, at, dx, dy, zero, limits)
        after = left * (one - alpha)
        weight = where_above(after, least, alpha * left, zero)
        left = where_above(after, least, after, minus_abs(left))
        last = where_above(weight, zero, spread(real(begin - first + k)), last)
        sum_0 = fma(weight, spread_at(numbers, at + PAYLOAD), sum_0)
        sum_1 = fma(weight, spread_at(numbers, at + PAYLOAD + 1), sum_1)
        sum_2 = fma(weight, spread_at(numbers, at + PAYLOAD + 2), sum_2)
        sum_3 = fma(weight, spread_at(numbers, at + PAYLOAD + 3), sum_3)
        if channels > CHANNELS:
            store(weights, i * WIDTH, weight)
        if i % TILE == TILE - 1 and not any_above(left, zero):
            count = i + 1
            break
    store(pixels.left, p, left)
    store(pixels.last, p, last)
    store(pixels.blended, p, sum_0)
    store(pixels.blended, PIXELS + p, sum_1)
    store(pixels.blended, 2 * PIXELS + p, sum_2)
    store(pixels.blended, 3 * PIXELS + p, sum_3)
    for d in range(CHANNELS, channels):
        total = load(pixels.blended, d * PIXELS + p)
        for i in range(count):
            splat = np.int64(bins.splats[begin + listed[half * SEGMENT + i]])
            total = fma(load(weights, i * WIDTH), spread_at(bins.payload, splat * channels + d), total)
        store(pixels.blended, d * PIXELS + p, total)


@kernel
def _any_left(pixels, half):
    """Whether a pixel of half a row is inside the image and not full."""
    return any_above(load(pixels.left, _first_pixel(half)[0]), spread(pixels.left.dtype.type(0)))


@kernel
def _blend_tile(bins, tile, limits, images, last_entry):
    """Blend one tile's entries front to back; see blend.

    Of a pixel that is full or outside the image, `left` is below zero.
    """
    dtype, channels = bins.geometry.dtype, images.blended.shape[3]
    height, width = last_entry.shape[1:]
    view, tile_y, tile_x = _place(tile, height, width)
    inside_y, inside_x = min(TILE, height - tile_y), min(TILE, width - tile_x)
    pixels = Pixels(
        np.full(PIXELS, -1, dtype), np.full(PIXELS, -1, dtype), np.zeros(max(channels, CHANNELS) * PIXELS, dtype)
    )
    for row in range(inside_y):
        pixels.left[row * TILE : row * TILE + inside_x] = 1
    segment, weights = room_for(bins.geometry), np.empty(SEGMENT * WIDTH, dtype)
    first, end = bins.first_entry[tile], bins.first_entry[tile + 1]
    for begin in range(first, end, SEGMENT):
        fill_segment(bins, begin, min(begin + SEGMENT, end), tile_y, tile_x, channels, segment)
        some = False
        for half in range(HALVES):
            if _any_left(pixels, half):
                _blend_half(bins, segment, half, begin, first, limits, pixels, weights)
                some |= _any_left(pixels, half)
        if not some:
            break
    for row in range(inside_y):
        for i in range(inside_x):
            p = row * TILE + i
            images.transmittance[view, tile_y + row, tile_x + i] = abs(pixels.left[p])
            last_entry[view, tile_y + row, tile_x + i] = np.int32(pixels.last[p])
            for d in range(channels):
                images.blended[view, tile_y + row, tile_x + i, d] = pixels.blended[d * PIXELS + p]


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
def _differentiate_half(bins, segment, half, begin, first, limits, pixels, sums, more):
    """Walk a segment back to front at half a row, and add to its entries' sums; see blend_backward."""
    numbers, listed, channels = segment.numbers, segment.listed, pixels.blended.shape[0] // PIXELS
    real = numbers.dtype.type
    p, row = _first_pixel(half)
    zero, one, full = spread(real(0)), spread(real(1)), spread(limits.alpha_max)
    left, behind, last = load(pixels.left, p), load(pixels.behind, p), load(pixels.last, p)
    columns = ascending(real(p - row * TILE))
    grad_0, grad_1 = load(pixels.blended, p), load(pixels.blended, PIXELS + p)
    grad_2, grad_3 = load(pixels.blended, 2 * PIXELS + p), load(pixels.blended, 3 * PIXELS + p)
    for i in range(segment.counts[half] - 1, -1, -1):
        k = np.int64(listed[half * SEGMENT + i])
        at, to = k * NUMBERS, k * SUMS
        dx, dy = spread_at(numbers, at + PLACE_X) - columns, numbers[at + PLACE_Y] - real(row)
        alpha, raw = _alpha(numbers, at, dx, dy, zero, limits)
        alpha = where_above(spread(real(begin - first + k)), last, zero, alpha)
        inverse = one / (one - alpha)
        left = left * inverse
        weight = alpha * left
        value = spread_at(numbers, at + PAYLOAD) * grad_0
        value = fma(spread_at(numbers, at + PAYLOAD + 1), grad_1, value)
        value = fma(spread_at(numbers, at + PAYLOAD + 2), grad_2, value)
        value = fma(spread_at(numbers, at + PAYLOAD + 3), grad_3, value)
        for d in range(CHANNELS, channels):
            splat, upstream = np.int64(bins.splats[begin + k]), load(pixels.blended, d * PIXELS + p)
            value = fma(spread_at(bins.payload, splat * channels + d), upstream, value)
            more[k, d - CHANNELS] += lane_sum(weight * upstream)
        slope = alpha * (inverse * behind - left * value)
        slope = where_above(raw, full, zero, slope)
        behind = fma(weight, value, behind)
        by_x = slope * dx
        found = lane_sums(
            *(slope, by_x, by_x * dx, zero, weight * grad_0, weight * grad_1, weight * grad_2, weight * grad_3)
        )
        down = spread(dy)
        by_y = found * down
        store(sums, to, load(sums, to) + found)
        store(sums, to + WIDTH, load(sums, to + WIDTH) + by_y)
        store(sums, to + 2 * WIDTH, fma(by_y, down, load(sums, to + 2 * WIDTH)))
    store(pixels.left, p, left)
    store(pixels.behind, p, behind)


@kernel
def _differentiate_tile(bins, tile, limits, transmittance, last_entry, grads, gradients):
    """Walk one tile's entries back to front; see blend_backward."""
    geometry, dtype, channels = bins.geometry, bins.geometry.dtype, grads.blended.shape[3]
    half_of, height, width = dtype.type(0.5), last_entry.shape[1], last_entry.shape[2]
    view, tile_y, tile_x = _place(tile, height, width)
    pixels = Upstream(
        np.ones(PIXELS, dtype),
        np.zeros(PIXELS, dtype),
        np.full(PIXELS, -1, dtype),
        np.zeros(max(channels, CHANNELS) * PIXELS, dtype),
    )
    end_blended = np.int64(0)
    for row in range(min(TILE, height - tile_y)):
        for i in range(min(TILE, width - tile_x)):
            p, v, u = row * TILE + i, tile_y + row, tile_x + i
            pixels.left[p], pixels.last[p] = transmittance[view, v, u], last_entry[view, v, u]
            end_blended = max(end_blended, np.int64(last_entry[view, v, u]) + 1)
            pixels.behind[p] = pixels.left[p] * grads.transmittance[view, v, u]
            for d in range(channels):
                pixels.blended[d * PIXELS + p] = grads.blended[view, v, u, d]
    first, columns = bins.first_entry[tile], OPACITY + 1 + channels
    for entry in range(first + end_blended, bins.first_entry[tile + 1]):
        for column in range(columns):
            gradients[bins.slots[entry], column] = 0
    segment, sums = room_for(bins.geometry), np.empty(SEGMENT * SUMS, dtype)
    more = np.empty((SEGMENT, max(channels - CHANNELS, 0)), dtype)
    for number in range((end_blended + SEGMENT - 1) // SEGMENT - 1, -1, -1):
        begin, end = first + number * SEGMENT, min(first + (number + 1) * SEGMENT, first + end_blended)
        fill_segment(bins, begin, end, tile_y, tile_x, channels, segment)
        sums[:] = 0
        more[:] = 0
        for half in range(HALVES):
            if segment.counts[half] > 0:
                _differentiate_half(bins, segment, half, begin, first, limits, pixels, sums, more)
        for entry in range(begin, end):
            at, slot, to = np.int64(bins.splats[entry]) * COLUMNS, bins.slots[entry], (entry - begin) * SUMS
            a, b, c = geometry[at + A], geometry[at + B], geometry[at + C]
            by_x, by_y = sums[to + 1], sums[to + WIDTH]
            gradients[slot, X], gradients[slot, Y] = a * by_x + b * by_y, b * by_x + c * by_y
            gradients[slot, A] = half_of * sums[to + 2]
            gradients[slot, B] = sums[to + WIDTH + 1]
            gradients[slot, C] = half_of * sums[to + 2 * WIDTH]
            gradients[slot, OPACITY] = -sums[to] / geometry[at + OPACITY]
            for d in range(min(channels, CHANNELS)):
                gradients[slot, OPACITY + 1 + d] = sums[to + 4 + d]
            for d in range(CHANNELS, channels):
                gradients[slot, OPACITY + 1 + d] = more[entry - begin, d - CHANNELS]


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
            _differentiate_tile(bins, np.int64(tile), limits, transmittance, last_entry, grads, gradients)
    return gradients


@parallel_kernel
def sum_gradients(bins: Bins, gradients):
    """Sum the slots' gradients by splat, in the order of views and Gaussians, 0 where culled.

    Returns those of means2d [V * N, 2], conics [V * N, 3], opacities [V * N] and payloads [V * N, D].
    """
    count, channels, dtype = bins.splat_of.shape[0], gradients.shape[1] - OPACITY - 1, gradients.dtype
    means2d, conics = np.zeros((count, 2), dtype), np.zeros((count, 3), dtype)
    opacities, payloads = np.zeros(count, dtype), np.zeros((count, channels), dtype)
    for index in prange(count):
        splat = bins.splat_of[index]
        if splat >= 0:
            for slot in range(bins.first_slot[splat], bins.first_slot[splat + 1]):
                for column in range(2):
                    means2d[index, column] += gradients[slot, X + column]
                for column in range(3):
                    conics[index, column] += gradients[slot, A + column]
                opacities[index] += gradients[slot, OPACITY]
                for column in range(channels):
                    payloads[index, column] += gradients[slot, OPACITY + 1 + column]
    return means2d, conics, opacities, payloads
