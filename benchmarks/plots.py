"""Plots of the benchmarks' tables, in files; nothing is shown on a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from hgg_pyg.io.files import write_atomically

_MARKS = "os^vDPX*<>hd"
_STYLES: dict[str, Literal["--", "-"]] = {"default": "--", "tuned": "-"}
_TONES = {"default": "#e08a3c", "tuned": "#2f5f8f", "measured": "#2f5f8f", "floor": "#9ab8a0"}


@dataclass(frozen=True)
class Panel:
    """One pair of axes: lines over numbers, or points over words."""

    title: str
    across: str
    up: str
    lines: Mapping[tuple[str, str], Sequence[tuple[Any, float]]] = field(default_factory=dict)
    """(name, setting of the allocator) to points; a name has one colour, a setting one style"""
    least: float = 0.1
    """smaller numbers, milliseconds or MB, are none"""


def draw_panels(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write a PNG of panels side by side on logarithmic axes, with one legend for all of them."""
    figure = _figure(4.4 * len(panels) + 2.2, 4.2, title)
    names = list(dict.fromkeys(name for panel in panels for name, _ in panel.lines))
    settings = list(dict.fromkeys(setting for panel in panels for _, setting in panel.lines))
    palette = mpl.colormaps["tab20" if len(names) > 10 else "tab10"]
    looks = {name: (palette(i % palette.N), _MARKS[i % len(_MARKS)]) for i, name in enumerate(names)}
    for index, panel in enumerate(panels):
        _draw(figure.add_subplot(1, len(panels), index + 1), panel, looks)
    handles = [Line2D([], [], color=color, marker=mark, label=name) for name, (color, mark) in looks.items()]
    if len(settings) > 1:
        handles += [
            Line2D([], [], color="0.3", linestyle=_STYLES[s], marker="o", label=f"{s} allocator", **_fill(s))
            for s in settings
        ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))


def draw_ranking(
    path: Path, title: str, tables: Mapping[str, Mapping[str, Mapping[str, float]]], legend: str = "allocator"
) -> None:
    """Write a PNG of a block for each table, a line for each name: title to name to setting to ms, the least on top.

    Points on a logarithmic axis; bars would need a zero.
    """
    tables = {name: table for name, table in tables.items() if table}
    heights = [1.1 + 0.24 * len(table) for table in tables.values()]
    figure = _figure(9, sum(heights) + 0.5, title)
    grid = figure.add_gridspec(len(tables), 1, height_ratios=heights)
    for row, (name, table) in enumerate(tables.items()):
        axes = figure.add_subplot(grid[row])
        order = sorted(table, key=lambda n, found=table: -max(found[n].values()))
        for setting in dict.fromkeys(s for numbers in table.values() for s in numbers):
            places = [(table[n][setting], y) for y, n in enumerate(order) if setting in table[n]]
            axes.plot(*zip(*places, strict=True), "o", color=_TONES.get(setting), label=setting, markersize=5)
        for y, n in enumerate(order):
            numbers = list(table[n].values())
            axes.plot(numbers, [y] * len(numbers), color="0.7", linewidth=1, zorder=0)
            label = " / ".join(_digits(x) for x in numbers)
            axes.annotate(label, (max(numbers), y), (7, 0), textcoords="offset points", va="center", fontsize=7)
        axes.set_yticks(range(len(order)), order, fontsize=8)
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.margins(x=0.18)
        _logarithmic(axes, "x")
        axes.set_xlabel("ms", fontsize=8)
        axes.set_title(name, fontsize=9)
        if len(table[order[0]]) > 1:
            axes.legend(title=legend, fontsize=7, title_fontsize=7, loc="upper right")
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def _draw(axes: Any, panel: Panel, looks: Mapping[str, tuple[Any, str]]) -> None:
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)
    across = [x for line in panel.lines.values() for x, _ in line]
    words = list(dict.fromkeys(x for x in across if isinstance(x, str)))
    for (name, setting), line in panel.lines.items():
        color, mark = looks[name]
        shown = [(words.index(x) if words else x, y) for x, y in line if y >= panel.least]
        if shown:
            style = "none" if words else _STYLES.get(setting, "-")
            axes.plot(*zip(*shown, strict=True), linestyle=style, color=color, marker=mark, linewidth=1.3,
                      **_fill(setting))  # fmt: skip
    if words:
        axes.set_xticks(range(len(words)), words)
        axes.set_xlim(-0.5, len(words) - 0.5)
    elif across:
        axes.set_xscale("log", base=2)
        marks = sorted(set(across))
        axes.set_xticks(marks, [_short(x) for x in marks], rotation=45 if len(marks) > 4 else 0)
        axes.xaxis.set_minor_locator(NullLocator())
    _logarithmic(axes, "y")
    up = [y for line in panel.lines.values() for _, y in line if y >= panel.least]
    if up and max(up) < 4 * min(up):  # else small differences look like large ones
        middle = (max(up) * min(up)) ** 0.5
        axes.set_ylim(middle / 2.2, middle * 2.2)


def _logarithmic(axes: Any, which: str) -> None:
    """Decades and 2 and 5 times them, as plain numbers."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def _fill(setting: str) -> dict[str, Any]:
    return {"fillstyle": "full" if setting == "tuned" else "none", "markersize": 5}


def _digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _short(number: float) -> str:
    """524288 -> 512k, 2097152 -> 2M: by powers of two where it is a multiple of one."""
    for unit, letter in ((1 << 20, "M"), (1 << 10, "k")):
        if number >= unit and number % unit == 0:
            return f"{number // unit:g}{letter}"
    return f"{number:g}"
