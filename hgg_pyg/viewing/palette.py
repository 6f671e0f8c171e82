"""Colours for things and for numbers."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize

NOTHING = (0.5, 0.5, 0.5)
"""The grey of what has no value."""


def distinct_colors(count: int) -> np.ndarray:
    """Colours that differ from their neighbours. [count, 3] in [0, 1]"""
    table = np.array(colormaps["tab20"].colors)  # pyright: ignore[reportAttributeAccessIssue]
    return table[np.arange(count) % len(table)]


def by_value(values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
    """Colours of one of matplotlib's maps, grey for NaN. [N] -> [N, 3] in [0, 1]"""
    colors = colormaps[name](Normalize(low, high, clip=True)(np.nan_to_num(values)))[:, :3]
    return np.where(np.isfinite(values)[:, None], colors, NOTHING)
