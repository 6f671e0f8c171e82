"""Numba kernel that sorts projected Gaussians into tiles of 16 x 16 pixels, front to back.

A *splat* is one Gaussian in one view; splats are numbered front to back over all views together. An *entry* is a splat
in a tile. Arrays and arithmetic follow the dtype of the projection.

Numba keeps compiled kernels on disk (NUMBA_CACHE_DIR, else beside this file) and compiles a file's kernels again when
that file has changed. It does not see that constants imported from another file have: whoever changes TILE or the
columns below must change tiles.py as well. Thresholds of the picture therefore arrive as arguments.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from hgg_pyg import numba_tools

TILE = 16  # pixels
OPTIONS: Any = {
    **numba_tools.OPTIONS,
    "fastmath": {"contract", "reassoc", "nsz", "arcp", "nnan", "ninf"},
}
_RADIX_BITS = 11

# Columns of a splat's geometry: centre, conic, opacity; and where it is seen (alpha >= alpha_min): within REACH rows of
# its centre, and dy rows below it at the x with (x - X - SKEW dy)^2 <= CHORD - TAPER dy^2.
X, Y, A, B, C, OPACITY, REACH, SKEW, CHORD, TAPER = range(10)
MARGIN = 0.01  # pixels, and a share of the size: by so much the ellipse above is larger, for rounding


class Bins(NamedTuple):
    """Splats and the tiles they touch."""

    geometry: np.ndarray  # [S, 10] columns above
    payload: np.ndarray  # [S, D + 1] what is blended: colour, then depth
    splat_of: np.ndarray  # [V * N] splat of a view's Gaussian, -1 where culled
    first_slot: np.ndarray  # [S + 1] splat s owns slots first_slot[s] to first_slot[s + 1], one for each of its entries
    first_entry: np.ndarray  # [V * tiles + 1] likewise a tile's entries, which are front to back
    splats: np.ndarray  # [E] splat of an entry
    slots: np.ndarray  # [E] slot of an entry


@njit(**OPTIONS)
def _depth_order(keys: np.ndarray) -> np.ndarray:
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


@njit(**OPTIONS)
def _tile_range(center: float, radius: float, tiles: int) -> tuple[int, int]:
    """Tiles along one axis that [center - radius, center + radius] touches: first, and one after the last."""
    first = max(math.floor((center - radius) / TILE), 0.0)
    last = min(math.ceil((center + radius) / TILE), float(tiles))
    return int(first), int(last)


@njit(**OPTIONS)
def bin_splats(
    means2d: np.ndarray,  # [V, N, 2]
    conics: np.ndarray,  # [V, N, 3]
    depths: np.ndarray,  # [V, N]
    depth_bits: np.ndarray,  # [V, N] the depths' bits as unsigned integers
    radii: np.ndarray,  # [V, N, 2]
    opacities: np.ndarray,  # [N]
    colors: np.ndarray,  # [N, D]
    width: int,
    height: int,
    alpha_min: np.floating,
) -> Bins:
    """Number the visible splats front to back, pack their numbers, and list for every tile the splats that touch it."""
    views, count = depths.shape
    channels = colors.shape[1]
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    flat_radii, flat_bits = radii.reshape(-1, 2), depth_bits.reshape(-1)

    seen = np.nonzero((flat_radii[:, 0] > 0) & (flat_radii[:, 1] > 0))[0]
    seen = seen[_depth_order(flat_bits[seen])]
    geometry = np.empty((seen.shape[0], TAPER + 1), means2d.dtype)
    payload = np.empty((seen.shape[0], channels + 1), means2d.dtype)
    box = np.empty((seen.shape[0], 4), np.int32)
    splat_of = np.full(views * count, -1, np.int32)
    first_slot = np.zeros(seen.shape[0] + 1, np.int64)
    first_entry = np.zeros(views * across * down + 1, np.int64)
    for s in range(seen.shape[0]):
        view, n = seen[s] // count, seen[s] % count
        splat_of[seen[s]] = s
        a, b, c = float(conics[view, n, 0]), float(conics[view, n, 1]), float(conics[view, n, 2])
        geometry[s, X], geometry[s, Y] = means2d[view, n, 0], means2d[view, n, 1]
        geometry[s, A], geometry[s, B], geometry[s, C], geometry[s, OPACITY] = a, b, c, opacities[n]
        size = 2 * math.log(opacities[n] / alpha_min) * (1 + MARGIN) ** 2
        # A needle's determinant is a small difference of large rounded numbers: assume less, so that it reaches further
        determinant = max(a * c * (1 - 1e-6) - b * b, 1e-9 * a * c, 1e-80)
        geometry[s, REACH] = min(math.sqrt(size * a / determinant) + MARGIN, 1e9)
        geometry[s, SKEW], geometry[s, CHORD], geometry[s, TAPER] = -b / a, size / a, determinant / (a * a)
        for d in range(channels):
            payload[s, d] = colors[n, d]
        payload[s, channels] = depths[view, n]
        left, right = _tile_range(means2d[view, n, 0], radii[view, n, 0], across)
        top, bottom = _tile_range(means2d[view, n, 1], radii[view, n, 1], down)
        box[s, 0], box[s, 1], box[s, 2], box[s, 3] = left, right, top, bottom
        first_slot[s + 1] = first_slot[s] + (right - left) * (bottom - top)
        for row in range(top, bottom):
            for column in range(left, right):
                first_entry[(view * down + row) * across + column + 1] += 1

    for tile in range(first_entry.shape[0] - 1):
        first_entry[tile + 1] += first_entry[tile]
    place = first_entry[:-1].copy()
    splats = np.empty(first_entry[-1], np.int32)
    slots = np.empty(first_entry[-1], np.int64)
    for s in range(seen.shape[0]):
        view, slot = seen[s] // count, first_slot[s]
        for row in range(box[s, 2], box[s, 3]):
            for column in range(box[s, 0], box[s, 1]):
                tile = (view * down + row) * across + column
                splats[place[tile]], slots[place[tile]] = s, slot
                place[tile] += 1
                slot += 1
    return Bins(geometry, payload, splat_of, first_slot, first_entry, splats, slots)
