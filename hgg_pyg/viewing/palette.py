"""Colours for things and for numbers."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize

NOTHING = (0.5, 0.5, 0.5)
"""The grey of what has no value."""


def distinct_colors(count: int) -> np.ndarray:
    """Colours that differ from their neighbours, none of them grey. [count, 3] in [0, 1]"""
    table = np.asarray(colormaps["tab20"](np.arange(20)))[:, :3]  # a dark and a light one of each, the eighth pair grey
    colors = np.concatenate([np.delete(table[::2], 7, 0), np.delete(table[1::2], 7, 0)])
    return colors[np.arange(count) % len(colors)]


def by_value(values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
    """Colours of one of matplotlib's maps, grey for NaN. [N] -> [N, 3] in [0, 1]"""
    colors = colormaps[name](Normalize(low, high, clip=True)(np.nan_to_num(values)))[:, :3]
    return np.where(np.isfinite(values)[:, None], colors, NOTHING)
