"""Gaussian means over the pixels of a list: others, as those of the background, do not count."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.kernels.simd import WIDTH, fma, load, spread, spread_at, store

_TRUNCATE = 2.5  # standard deviations
_STEP = 4 * WIDTH  # numbers that one turn of a loop writes: of eight pixels three colours and their weight


def blur(colors: np.ndarray, rows: np.ndarray, columns: np.ndarray, sigma: float) -> np.ndarray:
    """Mean of the listed pixels' colours around each of them, sum_q g(q - p) c(q) / sum_q g(q - p), to 1e-6.

    g is a Gaussian cut off at 2.5 standard deviations along each axis.

    Args:
        colors: [n, 3] of different pixels.
        rows, columns: [n] int64
        sigma: standard deviation in pixels.

    Returns:
        [n, 3] float32
    """
    if not len(rows):
        return np.zeros((0, 3), np.float32)
    rows, columns = rows - rows.min(), columns - columns.min()
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    radius = min(int(_TRUNCATE * sigma + 0.5), max(height, width) - 1)  # beyond it there is nothing
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-15)) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    pitch = 4 * (width + 2 * radius) + _STEP  # numbers per row: a margin on either side, and what the last turn reads
    canvas, sums = np.zeros(height * pitch, np.float32), np.zeros(height * pitch, np.float32)
    spans = np.full((height, 2), [width, 0])
    means = np.empty((len(rows), 3), np.float32)
    _blur(np.ascontiguousarray(colors, np.float32), rows, columns, weights, pitch, canvas, spans, sums, means)
    return means


@kernel
def _blur(colors, rows, columns, weights, pitch, canvas, spans, sums, means):
    height, radius = len(spans), len(weights) // 2
    for i in range(len(rows)):
        at = rows[i] * pitch + 4 * (columns[i] + radius)
        for k in range(3):
            canvas[at + k] = colors[i, k]
        canvas[at + 3] = 1
        spans[rows[i], 0] = min(spans[rows[i], 0], columns[i])
        spans[rows[i], 1] = max(spans[rows[i], 1], columns[i] + 1)
    line = np.empty(pitch + _STEP, np.float32)
    for row in range(height):
        if spans[row, 1] == 0:
            continue
        top, bottom = max(0, row - radius), min(height, row + radius + 1)
        start, end = 4 * spans[row, 0], 4 * spans[row, 1]
        _weigh(canvas, top * pitch, pitch, weights, top - row + radius, bottom - top, line, 0, start, end + 8 * radius)
        _weigh(line, 0, 4, weights, 0, len(weights), sums, row * pitch, start, end)
    for i in range(len(rows)):
        at = rows[i] * pitch + 4 * columns[i]
        for k in range(3):
            means[i, k] = sums[at + k] / sums[at + 3]


@kernel
def _weigh(source, first, stride, weights, tap, taps, target, offset, start, end):
    """target[offset + i] = sum_t weights[tap + t] source[first + t stride + i], start <= i < end and a few more."""
    for i in range(start, end, _STEP):
        a = b = c = d = spread(np.float32(0))
        at = first + i
        for t in range(taps):
            weight = spread_at(weights, tap + t)
            a = fma(weight, load(source, at), a)
            b = fma(weight, load(source, at + WIDTH), b)
            c = fma(weight, load(source, at + 2 * WIDTH), c)
            d = fma(weight, load(source, at + 3 * WIDTH), d)
            at += stride
        store(target, offset + i, a)
        store(target, offset + i + WIDTH, b)
        store(target, offset + i + 2 * WIDTH, c)
        store(target, offset + i + 3 * WIDTH, d)
