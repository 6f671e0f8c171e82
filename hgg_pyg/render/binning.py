"""Numba kernel that sorts projected Gaussians into tiles of 16 x 16 pixels, front to back.

A *splat* is one Gaussian in one view; splats are numbered view by view, front to back. An *entry* is a splat in a tile.
Views are sorted side by side. Arrays and arithmetic follow the dtype of the projection.

Numba keeps compiled kernels on disk (NUMBA_CACHE_DIR, else beside this file) and compiles a file's kernels again when
that file has changed. It does not see that constants imported from another file have: whoever changes TILE or the
columns below must change tiles.py as well. Thresholds of the image therefore arrive as arguments.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from hgg_pyg.kernels.numba_tools import kernel, parallel_kernel

TILE = 16  # pixels
_RADIX_BITS = 11

# Columns of a splat's geometry: centre, conic, opacity; and where it is seen (alpha >= alpha_min): within
# REACH_Y of its centre, and dy rows below it at the x with (x - X - SKEW dy)^2 <= CHORD - TAPER dy^2.
X, Y, A, B, C, OPACITY, REACH_Y, SKEW, CHORD, TAPER = range(10)
COLUMNS = 10
MARGIN = 0.01  # pixels, and a share of the size: by so much the ellipse above is larger, for rounding


class Splats(NamedTuple):
    """Gaussians on the image plane, P views of N. What all views of a scene, or all scenes, share may be given once."""

    means2d: np.ndarray  # [P, N, 2] pixels
    conics: np.ndarray  # [P, N, 3] pixels^-2
    depths: np.ndarray  # [P, N] metres
    radii: np.ndarray  # [P, N, 2] pixels, 0 where culled
    opacities: np.ndarray  # [P or a divisor of it, N]
    colors: np.ndarray  # [P or a divisor of it, N, D]


class Bins(NamedTuple):
    """Splats and the tiles they touch."""

    geometry: np.ndarray  # [S * 10] columns above
    payload: np.ndarray  # [S * D] what is blended: colour, and depth behind it if asked for
    splat_of: np.ndarray  # [P * N] splat of a view's Gaussian, -1 where culled
    first_slot: np.ndarray  # [S + 1] splat s owns slots first_slot[s] to first_slot[s + 1], one for each of its entries
    first_entry: np.ndarray  # [P * tiles + 1] likewise a tile's entries, which are front to back
    splats: np.ndarray  # [E] splat of an entry
    slots: np.ndarray  # [E] slot of an entry


@kernel
def _depth_order(keys):
    """Stable order of unsigned integers (a positive float's bits sort as the float does), by radix sort."""
    count = keys.shape[0]
    order, spare = np.arange(count).astype(np.int32), np.empty(count, np.int32)
    mask = (1 << _RADIX_BITS) - 1
    for shift in range(0, 8 * keys.itemsize, _RADIX_BITS):
        place = np.zeros(mask + 2, np.int64)
        for i in range(count):
            place[((keys[i] >> shift) & mask) + 1] += 1
        for digit in range(mask):
            place[digit + 1] += place[digit]
        for i in range(count):
            digit = (keys[order[i]] >> shift) & mask
            spare[place[digit]] = order[i]
            place[digit] += 1
        order, spare = spare, order
    return order


@kernel
def _tile_range(center: float, radius: float, tiles: int) -> tuple[int, int]:
    """Tiles along one axis that [center - radius, center + radius] touches: first, and one after the last."""
    # Bounded first: what is beyond 64 bits, as of a Gaussian that has exploded, has no integer
    first = math.floor(min(max((center - radius) / TILE, 0.0), float(tiles)))
    last = math.ceil(min(max((center + radius) / TILE, 0.0), float(tiles)))
    return int(first), int(last)


@kernel
def _count_seen(view, radii):
    count = 0
    for n in range(radii.shape[1]):
        count += radii[view, n, 0] > 0 and radii[view, n, 1] > 0
    return count


@kernel
def _pack_view(view, given, depth_bits, first, across, down, with_depth, alpha_min, packed, bins):
    """Number one view's splats from `first` on, pack their numbers, and count their slots and its tiles' entries."""
    geometry, payload, box = packed
    splat_of, slots_of, entries_of = bins
    views, count = given.depths.shape
    channels = given.colors.shape[2]
    source = view * given.opacities.shape[0] // views, view * given.colors.shape[0] // views
    seen = np.nonzero((given.radii[view, :, 0] > 0) & (given.radii[view, :, 1] > 0))[0]
    order = _depth_order(depth_bits[view][seen])
    for i in range(seen.shape[0]):
        n, s = seen[order[i]], first + i
        splat_of[view * count + n] = s
        a, b, c = float(given.conics[view, n, 0]), float(given.conics[view, n, 1]), float(given.conics[view, n, 2])
        x, y, opacity = given.means2d[view, n, 0], given.means2d[view, n, 1], given.opacities[source[0], n]
        size = 2 * math.log(opacity / alpha_min) * (1 + MARGIN) ** 2
        # A needle's determinant is a small difference of large rounded numbers: assume less, so that it reaches further
        determinant = max(a * c * (1 - 1e-6) - b * b, 1e-9 * a * c, 1e-80)
        at = s * COLUMNS
        geometry[at + X], geometry[at + Y] = x, y
        geometry[at + A], geometry[at + B], geometry[at + C], geometry[at + OPACITY] = a, b, c, opacity
        geometry[at + REACH_Y] = min(math.sqrt(size * a / determinant) + MARGIN, 1e9)
        geometry[at + SKEW], geometry[at + CHORD], geometry[at + TAPER] = -b / a, size / a, determinant / (a * a)
        wide = channels + with_depth
        for d in range(channels):
            payload[s * wide + d] = given.colors[source[1], n, d]
        if with_depth:
            payload[s * wide + channels] = given.depths[view, n]
        left, right = _tile_range(x, given.radii[view, n, 0], across)
        top, bottom = _tile_range(y, given.radii[view, n, 1], down)
        box[s, 0], box[s, 1], box[s, 2], box[s, 3] = left, right, top, bottom
        slots_of[s + 1] = (right - left) * (bottom - top)
        for row in range(top, bottom):
            for column in range(left, right):
                entries_of[(view * down + row) * across + column + 1] += 1


@kernel
def _list_view(view, first, last, across, down, box, first_slot, first_entry, splats, slots):
    """Write one view's entries, tile by tile and front to back."""
    place = first_entry[view * down * across : (view + 1) * down * across].copy()
    for s in range(first, last):
        slot = first_slot[s]
        for row in range(box[s, 2], box[s, 3]):
            for column in range(box[s, 0], box[s, 1]):
                tile = row * across + column
                splats[place[tile]], slots[place[tile]] = s, slot
                place[tile] += 1
                slot += 1


@parallel_kernel
def bin_splats(given: Splats, depth_bits, width: int, height: int, with_depth: bool, alpha_min) -> Bins:
    """Number the visible splats front to back, pack their numbers, and list for every tile the splats that touch it.

    `depth_bits` [P, N] are the depths' bits as unsigned integers.
    """
    views, count = given.depths.shape
    channels = given.colors.shape[2] + with_depth
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    first_splat = np.zeros(views + 1, np.int64)
    for view in range(views):
        first_splat[view + 1] = first_splat[view] + _count_seen(view, given.radii)
    total = first_splat[views]
    geometry, payload = np.empty(total * COLUMNS, given.means2d.dtype), np.empty(total * channels, given.means2d.dtype)
    box, splat_of = np.empty((total, 4), np.int32), np.full(views * count, -1, np.int32)
    first_slot, first_entry = np.zeros(total + 1, np.int64), np.zeros(views * across * down + 1, np.int64)
    for view in prange(views):
        packed, bins = (geometry, payload, box), (splat_of, first_slot, first_entry)
        _pack_view(view, given, depth_bits, first_splat[view], across, down, with_depth, alpha_min, packed, bins)
    for s in range(total):
        first_slot[s + 1] += first_slot[s]
    for tile in range(views * across * down):
        first_entry[tile + 1] += first_entry[tile]
    splats, slots = np.empty(first_entry[-1], np.int32), np.empty(first_entry[-1], np.int64)
    for view in prange(views):
        _list_view(
            *(view, first_splat[view], first_splat[view + 1], across, down, box),
            *(first_slot, first_entry, splats, slots),
        )
    return Bins(geometry, payload, splat_of, first_slot, first_entry, splats, slots)
