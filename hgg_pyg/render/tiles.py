"""Numba kernels of the CPU rasteriser: blend the splats of every tile, and differentiate the blend.

reference.py states what they compute. What makes them fast: a tile is a task, a row of a tile is one SIMD loop without
branches, rows a splat does not touch are skipped, and exp is a polynomial (a library call would end the SIMD).
What makes them repeatable bit for bit, on any number of threads: no two tasks write to the same place. The backward
pass writes one row of gradients for each entry, into its slot, and sums a splat's slots afterwards in a fixed order.
Words and columns: see binning.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from hgg_pyg.numba_tools import PARALLEL
from hgg_pyg.render.binning import CHORD, MARGIN, OPACITY, OPTIONS, REACH, SKEW, TAPER, TILE, A, B, Bins, C, X, Y


class Limits(NamedTuple):
    """Thresholds of blending, as numpy scalars of the arrays' dtype; see projection.py."""

    alpha_min: np.floating
    alpha_max: np.floating
    transmittance_min: np.floating


class Pictures(NamedTuple):
    """What blending draws, or the gradients of a loss with respect to it."""

    color: np.ndarray  # [V, H, W, D]
    depth_sum: np.ndarray  # [V, H, W]
    transmittance: np.ndarray  # [V, H, W] what is left of it behind all splats


def _exp_minus(x: Any) -> Any:
    """exp(-x) for x >= 0, in the dtype of x; numba replaces it by one of the two below."""
    return np.exp(-x)


@overload(_exp_minus, inline="always")
def _exp_minus_overload(x: Any) -> Callable[[Any], Any]:
    return _exp_minus_float32 if x == types.float32 else _exp_minus_float64


def _exp_minus_float64(x: Any) -> Any:
    return math.exp(-x)


def _exp_minus_float32(x: Any) -> Any:
    # exp(-x) = 2^n exp(r) with |r| <= ln(2) / 2: a polynomial (Cephes' coefficients) for exp(r), 2^n put together
    # from its bits, and ln(2) in two parts so that r keeps its low digits. Relative error below 1e-7.
    y = -min(x, np.float32(80.0))
    n = np.floor(y * np.float32(1.4426950408889634) + np.float32(0.5))
    r = y - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(**OPTIONS)
def _place(tile: np.int64, height: int, width: int) -> tuple[np.int64, np.int64, np.int64]:
    """A tile's view, and the row and column of its first pixel."""
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    return tile // (across * down), tile // across % down * TILE, tile % across * TILE


@njit(**OPTIONS)
def _rows(y: float, reach: float) -> tuple[np.uint32, np.uint32]:
    """Rows of a tile within reach of a centre y rows below its first: the first one, and one after the last."""
    first = min(max(math.ceil(y - reach), 0.0), float(TILE))
    last = min(max(math.floor(y + reach) + 1.0, first), float(TILE))
    return np.uint32(first), np.uint32(last)


@njit(**OPTIONS)
def _misses(geometry: np.ndarray, x: float, dy: float) -> bool:
    """Whether no pixel of a tile's row is on a splat centred x right of the first pixel and dy below the row."""
    middle = x - geometry[SKEW] * dy
    outside = max(-middle, middle - (TILE - 1)) - MARGIN
    return outside > 0 and outside * outside > geometry[CHORD] - geometry[TAPER] * dy * dy


@njit(**OPTIONS)
def _alpha(a: float, dx: float, row_b: float, row_c: float, opacity: float, limits: Limits) -> tuple[Any, Any]:
    """A splat's alpha at a pixel, 0 where too faint, and its alpha before clamping."""
    real = type(a)
    exponent = real(0.5) * a * dx * dx + row_b * dx + row_c
    raw = opacity * _exp_minus(max(exponent, real(0.0)))
    alpha = min(limits.alpha_max, raw)
    alpha = alpha if exponent >= real(0.0) else real(0.0)
    alpha = alpha if alpha >= limits.alpha_min else real(0.0)
    return alpha, raw


@njit(**OPTIONS)
def _blend_tile(bins: Bins, tile: np.int64, limits: Limits, pictures: Pictures, last_entry: np.ndarray) -> None:
    """Blend one tile's entries front to back; see blend."""
    dtype, channels = bins.geometry.dtype, bins.payload.shape[1]
    real = dtype.type
    zero, one, half = real(0.0), real(1.0), real(0.5)
    height, width = last_entry.shape[1:]
    view, tile_y, tile_x = _place(tile, height, width)
    inside_y, inside_x = min(TILE, height - tile_y), min(TILE, width - tile_x)
    left = np.ones((TILE, TILE), dtype)  # transmittance
    last = np.full((TILE, TILE), -1, np.int32)
    alive = np.zeros((TILE, TILE), dtype)
    alive[:inside_y, :inside_x] = one
    blended = np.zeros((channels, TILE, TILE), dtype)
    weight = np.empty(TILE, dtype)
    first = bins.first_entry[tile]
    for entry in range(first, bins.first_entry[tile + 1]):
        splat = bins.splats[entry]
        geometry = bins.geometry[splat]
        a, b, c, opacity = geometry[A], geometry[B], geometry[C], geometry[OPACITY]
        x, y = geometry[X] - real(tile_x) - half, geometry[Y] - real(tile_y) - half
        first_row, end_row = _rows(y, geometry[REACH])
        for row in range(first_row, end_row):
            dy = y - real(row)
            if _misses(geometry, x, dy):
                continue
            row_b, row_c = b * dy, half * c * dy * dy
            for i in range(TILE):
                alpha, _ = _alpha(a, x - real(i), row_b, row_c, opacity, limits)
                alpha = alpha * alive[row, i]
                before = left[row, i]
                after = before * (one - alpha)
                goes_on = after > limits.transmittance_min
                weight[i] = alpha * before if goes_on else zero
                left[row, i] = after if goes_on else before
                alive[row, i] = alive[row, i] if goes_on else zero
                last[row, i] = np.int32(entry) if weight[i] > zero else last[row, i]
            for d in range(channels):
                value = bins.payload[splat, d]
                for i in range(TILE):
                    blended[d, row, i] += weight[i] * value
        if (entry - first) % TILE == TILE - 1 and alive.max() == zero:
            break
    for row in range(inside_y):
        for i in range(inside_x):
            pictures.transmittance[view, tile_y + row, tile_x + i] = left[row, i]
            last_entry[view, tile_y + row, tile_x + i] = last[row, i]
            pictures.depth_sum[view, tile_y + row, tile_x + i] = blended[channels - 1, row, i]
            for d in range(channels - 1):
                pictures.color[view, tile_y + row, tile_x + i, d] = blended[d, row, i]


@njit(parallel=PARALLEL, **OPTIONS)
def blend(bins: Bins, views: int, height: int, width: int, limits: Limits) -> tuple[Pictures, np.ndarray]:
    """Blend every tile front to back.

    Returns the pictures, and the last entry drawn at each pixel, -1 where none. [V, H, W]
    """
    dtype, channels = bins.geometry.dtype, bins.payload.shape[1]
    color = np.zeros((views, height, width, channels - 1), dtype)
    depth_sum = np.zeros((views, height, width), dtype)
    transmittance = np.ones((views, height, width), dtype)
    pictures = Pictures(color, depth_sum, transmittance)
    last_entry = np.full((views, height, width), -1, np.int32)
    for tile in prange(bins.first_entry.shape[0] - 1):
        if bins.first_entry[tile] < bins.first_entry[tile + 1]:
            _blend_tile(bins, np.int64(tile), limits, pictures, last_entry)
    return pictures, last_entry


@njit(**OPTIONS)
def _blend_tile_backward(
    bins: Bins,
    tile: np.int64,
    limits: Limits,
    transmittance: np.ndarray,  # [V, H, W]
    last_entry: np.ndarray,  # [V, H, W]
    grads: Pictures,
    gradients: np.ndarray,  # [E, 6 + D + 1] written
) -> None:
    """Walk one tile's entries back to front; see blend_backward."""
    dtype, channels = bins.geometry.dtype, bins.payload.shape[1]
    real = dtype.type
    zero, one, half = real(0.0), real(1.0), real(0.5)
    height, width = last_entry.shape[1:]
    view, tile_y, tile_x = _place(tile, height, width)
    left = np.ones((TILE, TILE), dtype)  # transmittance
    last = np.full((TILE, TILE), -1, np.int32)
    behind = np.zeros((TILE, TILE), dtype)
    grad = np.zeros((channels, TILE, TILE), dtype)
    value = np.empty(TILE, dtype)
    weight = np.empty(TILE, dtype)
    for row in range(min(TILE, height - tile_y)):
        for i in range(min(TILE, width - tile_x)):
            left[row, i] = transmittance[view, tile_y + row, tile_x + i]
            last[row, i] = last_entry[view, tile_y + row, tile_x + i]
            behind[row, i] = left[row, i] * grads.transmittance[view, tile_y + row, tile_x + i]
            grad[channels - 1, row, i] = grads.depth_sum[view, tile_y + row, tile_x + i]
            for d in range(channels - 1):
                grad[d, row, i] = grads.color[view, tile_y + row, tile_x + i, d]
    first, end_drawn = bins.first_entry[tile], last.max() + 1
    for entry in range(max(end_drawn, first), bins.first_entry[tile + 1]):
        gradients[bins.slots[entry]] = zero
    for entry in range(end_drawn - 1, first - 1, -1):
        splat, slot = bins.splats[entry], bins.slots[entry]
        gradients[slot] = zero
        geometry = bins.geometry[splat]
        a, b, c, opacity = geometry[A], geometry[B], geometry[C], geometry[OPACITY]
        x, y = geometry[X] - real(tile_x) - half, geometry[Y] - real(tile_y) - half
        first_row, end_row = _rows(y, geometry[REACH])
        sum_1, sum_x, sum_y, sum_xx, sum_xy, sum_yy = zero, zero, zero, zero, zero, zero
        for row in range(first_row, end_row):
            dy = y - real(row)
            if _misses(geometry, x, dy):
                continue
            row_b, row_c = b * dy, half * c * dy * dy
            value[:] = zero
            for d in range(channels):
                for i in range(TILE):
                    value[i] += bins.payload[splat, d] * grad[d, row, i]
            row_1, row_x, row_xx = zero, zero, zero
            for i in range(TILE):
                dx = x - real(i)
                alpha, raw = _alpha(a, dx, row_b, row_c, opacity, limits)
                alpha = alpha if np.int32(entry) <= last[row, i] else zero
                inverse = one / (one - alpha)
                before = left[row, i] * inverse
                grad_alpha = before * value[i] - inverse * behind[row, i]
                left[row, i] = before
                weight[i] = alpha * before
                behind[row, i] += weight[i] * value[i]
                grad_exponent = -alpha * grad_alpha
                grad_exponent = grad_exponent if raw <= limits.alpha_max else zero
                row_1 += grad_exponent
                row_x += grad_exponent * dx
                row_xx += grad_exponent * dx * dx
            sum_1 += row_1
            sum_x += row_x
            sum_xx += row_xx
            sum_y += row_1 * dy
            sum_xy += row_x * dy
            sum_yy += row_1 * dy * dy
            for d in range(channels):
                total = zero
                for i in range(TILE):
                    total += weight[i] * grad[d, row, i]
                gradients[slot, OPACITY + 1 + d] += total
        gradients[slot, X] = a * sum_x + b * sum_y
        gradients[slot, Y] = b * sum_x + c * sum_y
        gradients[slot, A] = half * sum_xx
        gradients[slot, B] = sum_xy
        gradients[slot, C] = half * sum_yy
        gradients[slot, OPACITY] = -sum_1 / opacity


@njit(parallel=PARALLEL, **OPTIONS)
def blend_backward(
    bins: Bins,
    limits: Limits,
    transmittance: np.ndarray,  # [V, H, W]
    last_entry: np.ndarray,  # [V, H, W]
    grads: Pictures,
) -> np.ndarray:
    """Gradients of a loss with respect to the splat of each slot, columns as geometry, then payload. [E, 6 + D + 1]

    Walks each tile back to front. At a pixel, with q_i the payload of i times the gradients of what it is blended into,
    w_i = T_i alpha_i its weight and B_i = sum_{j>i} w_j q_j + T_end dL/dT_end all that lies behind it:

        T_i = T_{i+1} / (1 - alpha_i)
        dL/dalpha_i = T_i q_i - B_i / (1 - alpha_i)
        dL/dexponent_i = -alpha_i dL/dalpha_i
    """
    columns = OPACITY + 1 + bins.payload.shape[1]
    gradients = np.empty((bins.slots.shape[0], columns), bins.geometry.dtype)
    for tile in prange(bins.first_entry.shape[0] - 1):
        if bins.first_entry[tile] < bins.first_entry[tile + 1]:
            _blend_tile_backward(bins, np.int64(tile), limits, transmittance, last_entry, grads, gradients)
    return gradients


@njit(parallel=PARALLEL, **OPTIONS)
def sum_gradients(bins: Bins, gradients: np.ndarray) -> np.ndarray:
    """Sum the slots' gradients by splat, in the order of views and Gaussians, 0 where culled. [V * N, 6 + D + 1]"""
    sums = np.zeros((bins.splat_of.shape[0], gradients.shape[1]), gradients.dtype)
    for index in prange(bins.splat_of.shape[0]):
        splat = bins.splat_of[index]
        if splat >= 0:
            for slot in range(bins.first_slot[splat], bins.first_slot[splat + 1]):
                for column in range(gradients.shape[1]):
                    sums[index, column] += gradients[slot, column]
    return sums
