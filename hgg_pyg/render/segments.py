"""Numba kernel that lists, for a segment of a tile's entries, which of them each half of a row of pixels sees.

A half row is a register: eight pixels. Lists let it stay in registers while its entries pass by, and hold almost
nothing that it does not see: the ellipse of binning.py crosses a row within a chord.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.kernels.simd import (
    WIDTH,
    ascending,
    bits_above,
    lowest_bit,
    maximum,
    prefetch,
    spread,
    spread_at,
    square_root,
)
from hgg_pyg.render.binning import CHORD, COLUMNS, MARGIN, OPACITY, REACH_Y, SKEW, TAPER, TILE, A, B, C, X, Y

SEGMENT = 256  # entries that are looked at together: their numbers fit in the first cache, their places in a byte
_AHEAD = 12  # entries: so early are a splat's numbers asked for, which lie anywhere
HALVES = 2 * TILE  # of a tile's rows: first all that are left, then all that are right
CHANNELS = 4  # of the payload that are held in registers

# Columns of an entry's numbers: its centre from that of the tile's first pixel; factors of dx^2, dx dy and dy^2 in the
# logarithm to base 2 of its alpha over its opacity; opacity; the first channels of its payload, then zeros.
PLACE_X, PLACE_Y, HALF_A, WHOLE_B, HALF_C, TOP, PAYLOAD = range(7)
NUMBERS = 12


class Segment(NamedTuple):
    """Room for entries of one tile."""

    numbers: np.ndarray  # [SEGMENT * NUMBERS]
    listed: np.ndarray  # [HALVES * SEGMENT] uint8, for each half row the entries that it sees, front to back
    counts: np.ndarray  # [HALVES] how many those are


@kernel
def room_for(like):
    """A segment of numbers of the type of an array."""
    numbers = np.zeros(SEGMENT * NUMBERS, like.dtype)
    return Segment(numbers, np.empty(HALVES * SEGMENT, np.uint8), np.empty(HALVES, np.int64))


@kernel
def _halves(x, y, at, geometry):
    """The half rows of a tile that an entry is seen in, as bits of an integer."""
    real = geometry.dtype.type
    zero, margin, reach_y = spread(real(0)), spread(real(MARGIN)), spread_at(geometry, at + REACH_Y)
    skew, chord, taper = (
        spread_at(geometry, at + SKEW),
        spread_at(geometry, at + CHORD),
        spread_at(geometry, at + TAPER),
    )
    found = np.int64(0)
    for row in range(0, TILE, WIDTH):
        dy = spread(y) - ascending(real(row))
        middle, reach = spread(x) - skew * dy, square_root(maximum(zero, chord - taper * dy * dy)) + margin
        left, right = middle - reach, middle + reach
        # What is outside, so that what is not a number counts as inside
        away = bits_above(maximum(dy, zero - dy), reach_y)
        out_left = away | bits_above(zero, right) | bits_above(left, spread(real(WIDTH - 1)))
        out_right = away | bits_above(spread(real(WIDTH)), right) | bits_above(left, spread(real(TILE - 1)))
        found |= ((out_left ^ 255) | ((out_right ^ 255) << TILE)) << row
    return found


@kernel
def fill_segment(bins, first, end, tile_y, tile_x, channels, segment):
    """Take up the entries first to end of a tile."""
    geometry, payload, real = bins.geometry, bins.payload, bins.geometry.dtype.type
    numbers, listed, counts = segment.numbers, segment.listed, segment.counts
    pixel_centre, scale = real(0.5), real(-math.log2(math.e))
    half_scale = real(0.5) * scale
    counts[:] = 0
    for k in range(end - first):
        ahead = np.int64(bins.splats[min(first + k + _AHEAD, end - 1)])
        prefetch(geometry, ahead * COLUMNS)
        prefetch(geometry, ahead * COLUMNS + COLUMNS - 1)
        prefetch(payload, ahead * channels)
        splat = np.int64(bins.splats[first + k])
        at, to = splat * COLUMNS, k * NUMBERS
        x, y = geometry[at + X] - real(tile_x) - pixel_centre, geometry[at + Y] - real(tile_y) - pixel_centre
        numbers[to + PLACE_X], numbers[to + PLACE_Y], numbers[to + TOP] = x, y, geometry[at + OPACITY]
        numbers[to + HALF_A], numbers[to + WHOLE_B] = half_scale * geometry[at + A], scale * geometry[at + B]
        numbers[to + HALF_C] = half_scale * geometry[at + C]
        for d in range(min(channels, CHANNELS)):
            numbers[to + PAYLOAD + d] = payload[splat * channels + d]
        seen = _halves(x, y, at, geometry)
        while seen != 0:
            half = lowest_bit(seen)
            listed[half * SEGMENT + counts[half]] = k
            counts[half] += 1
            seen &= seen - 1
