"""Colours of cloth: patterns evaluated point by point in the chart, where the arms hang and y points up."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hgg_pyg.synthetic.noise import Folds, Noise

Pattern = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Metres across [n] and up [n] the cloth, and the chart's points [n, 3], -> RGB [n, 3]."""

_NEUTRALS = (
    "#f2efe8",
    "#1b1b1f",
    "#8d8f94",
    "#1f2a44",
    "#3d5a80",
    "#6b4f3a",
    "#c9b79c",
    "#4a5240",
    "#5b1f2b",
    "#d9d3c7",
)


def hex_rgb(code: str) -> np.ndarray:
    """'#rrggbb' -> RGB [3] in [0, 1]"""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def draw_color(rng: np.random.Generator, neutral: float = 0.35) -> np.ndarray:
    """A random dye: with probability `neutral` a muted one, else any hue. RGB [3]"""
    if rng.random() < neutral:
        return np.clip(hex_rgb(rng.choice(_NEUTRALS)) + rng.normal(0, 0.02, 3), 0.03, 0.97).astype(np.float32)
    saturation, value = rng.uniform(0.35, 0.85), rng.uniform(0.35, 0.92)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value), np.float32)


def draw_contrast(rng: np.random.Generator, base: np.ndarray) -> np.ndarray:
    """A dye that can be told from `base` even in a small image. RGB [3]"""
    luma = np.array([0.3, 0.59, 0.11], np.float32)
    while True:
        color = draw_color(rng)
        if abs(luma @ (color - base)) + 0.4 * np.abs(color - base).sum() > 0.45:
            return color


@dataclass(frozen=True)
class Print:
    """A motif of square cells, as on a T-shirt, mirrored left to right."""

    cells: np.ndarray  # [rows, columns] bool, row 0 on top
    color: np.ndarray  # [3]
    center: tuple[float, float]  # x and y of its middle in the chart, metres
    size: float  # metres, height

    def over(self, colors: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Draw the motif over colours [n, 3] at x, y [n]."""
        rows, columns = self.cells.shape
        cell = self.size / rows
        column = np.floor((x - self.center[0]) / cell + columns / 2).astype(int)
        row = np.floor((self.center[1] - y) / cell + rows / 2).astype(int)
        within = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        inked = within & self.cells[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
        return np.where(inked[:, None], self.color, colors)


def draw_print(rng: np.random.Generator, base: np.ndarray, center: tuple[float, float]) -> Print:
    """A random motif: a symmetric sprite on 7 x 7 cells, a disc, or a broad bar with a hole."""
    kind = rng.integers(4)
    y, x = np.mgrid[-10:11, -10:11] / 10.0
    if kind == 0:
        cells = np.hypot(x, y) < 1
        if rng.random() < 0.6:
            cells &= np.hypot(x, y) > rng.uniform(0.4, 0.7)
    elif kind == 1:
        cells = (np.abs(y) < rng.uniform(0.25, 0.5)) ^ ((np.abs(x) < 0.35) & (np.abs(y) < 0.9))
    else:
        half = rng.random((7, 4)) < 0.55
        cells = np.concatenate([half, half[:, 2::-1]], 1)
    return Print(cells, draw_contrast(rng, base), center, float(rng.uniform(0.14, 0.24)))


def draw_pattern(rng: np.random.Generator, base: np.ndarray, plain: float = 0.3) -> Pattern:
    """A random pattern on cloth of colour `base`; with probability `plain` none."""
    second, third = draw_contrast(rng, base), draw_color(rng)
    period = float(rng.uniform(0.05, 0.12))
    width = float(rng.uniform(0.3, 0.6))
    phase = float(rng.random())
    middle = float(rng.uniform(-0.05, 0.2))
    blotches = Noise(rng, float(rng.uniform(0.12, 0.3)), 2)

    def bands(t: np.ndarray) -> np.ndarray:
        return ((t / period + phase) % 1 < width)[:, None]

    def solid(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        return np.broadcast_to(base, points.shape)

    def stripes(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        return np.where(bands(up), second, base)

    def upright(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        return np.where(bands(across), second, base)

    def checks(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        crossing = 0.5 * bands(up) + 0.5 * bands(across)
        return base + crossing * (second - base)

    def tartan(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        lines = ((up / period) % 1 < 0.2) | ((across / period) % 1 < 0.2)
        return np.where(lines[:, None], third, checks(across, up, points))

    def dots(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        row = np.floor(up / period)
        along = (across / period + 0.5 * (row % 2)) % 1 - 0.5
        return np.where((np.hypot(along, up / period - row - 0.5) < 0.3)[:, None], second, base)

    def argyle(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        a, b = (np.floor((across * sign + 0.6 * up) / period) for sign in (1, -1))
        return np.where(((a + b) % 2 == 0)[:, None], second, base)

    def blobs(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        value = blotches(points)[:, None]
        return np.where(value > 0.5, second, np.where(value < -0.7, third, base))

    def blocks(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        band = np.abs(up - middle)[:, None] < 0.03
        return np.where(band, third, np.where(up[:, None] > middle, second, base))

    def fade(across: np.ndarray, up: np.ndarray, points: np.ndarray) -> np.ndarray:
        return base + np.clip((up - middle) / 0.35 + 0.5, 0, 1)[:, None] * (second - base)

    if rng.random() < plain:
        return solid
    kinds: list[Pattern] = [stripes, upright, checks, tartan, dots, argyle, blobs, blocks, fade]
    return kinds[rng.integers(len(kinds))]


@dataclass(frozen=True)
class Fabric:
    """What a garment is made of: patterns, prints, and how much its folds darken it. Callable as a `Paint`."""

    front: Pattern
    back: Pattern
    sleeves: Pattern
    shoulder: tuple[float, float]  # x and y in the chart where the sleeves begin
    prints: tuple[Print | None, Print | None]  # on the front, on the back
    seam: np.ndarray | None  # [3] of a line down the front, a zip or a row of buttons, or none
    weave: Noise
    creases: Folds

    def __call__(self, chart: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """chart [n, 3], its normals [n, 3] -> RGB [n, 3]"""
        x, up, z = chart.T
        across = np.where(np.abs(normals[:, 2]) >= np.abs(normals[:, 0]), x, z)
        facing = normals[:, 2] > 0
        colors = self.front(across, up, chart)
        if self.back is not self.front:
            colors = np.where(facing[:, None], colors, self.back(across, up, chart))
        if self.seam is not None:
            colors = np.where((facing & (np.abs(x) < 0.011))[:, None], self.seam, colors)
        sleeve = np.abs(x) - self.shoulder[0] > 0.12 * np.maximum(self.shoulder[1] - up, 0)  # hips are not sleeves
        if self.sleeves is not self.front:
            colors = np.where(sleeve[:, None], self.sleeves(across, up, chart), colors)
        for motif, side in zip(self.prints, (facing, ~facing), strict=True):
            if motif is not None:
                colors = np.where((side & ~sleeve)[:, None], motif.over(colors, x, up), colors)
        shading = 1.03 + 0.015 * self.weave(chart) - 0.16 * (1 - self.creases(chart))
        return colors * shading[:, None]


@dataclass(frozen=True)
class ShoePaint:
    """Shoes with a sole of another colour and perhaps a stripe. Callable as a `Paint`."""

    upper: np.ndarray  # [3]
    sole: np.ndarray  # [3]
    sole_top: float  # y in the rest pose, metres
    striped: bool

    def __call__(self, chart: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """chart [n, 3] -> RGB [n, 3]"""
        second = chart[:, 1] < self.sole_top
        if self.striped:
            second |= (np.abs((chart[:, 2] + 0.5 * chart[:, 1]) % 0.5 - 0.05) < 0.012) & (np.abs(normals[:, 0]) > 0.5)
        return np.where(second[:, None], self.sole, self.upper)
