"""Charts of the report, as SVG that takes the page's colour of text, so that they can be read on light and on dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from hgg_pyg.io.shown import drawable
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.report.numbers import Numbers, bone_lengths, median, per_camera
from hgg_pyg.prepare.report.silhouettes import Overlaps
from hgg_pyg.prepare.triangulation import SURE

matplotlib.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TEXT = "#010203"  # becomes the page's colour of text; nothing else is drawn in it
COLORS = ("#3b82f6", "#f97316", "#10b981", "#d946ef", "#ca8a04", "#06b6d4", "#ef4444", "#8b5cf6")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
}
_MOST_BOXES, _MOST_LINES, _MOST_MOMENTS = 48, 8, 400
_BONE_COLUMNS = 3


def svg(figure: Figure, title: str) -> str:
    """A figure as an element for a page, described by its title."""
    buffer = io.StringIO()
    # One salt a chart: identifiers of one must not be those of another on the same page.
    with matplotlib.rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", dpi=150, transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(TEXT, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every chart
    text = re.sub(r'(?<= d=")[^"]*', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)
    text = re.sub(r"font(-family)?: [^;\"]*(sans-serif)", lambda found: found[0].replace("'DejaVu Sans', ", ""), text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(title)}" class="chart" ', 1)


def styled():
    """The charts' looks, as a context."""
    return matplotlib.rc_context(_STYLE)


def reprojection_of_cameras(prepared: Prepared) -> Figure | None:
    """Boxes of the errors in each camera; None where there is no error."""
    names = prepared.calibration.names
    errors = _sure(prepared)
    chosen = _worst([errors[:, view] for view in range(len(names))])
    return _boxes([errors[:, view] for view in chosen], [names[view] for view in chosen])


def reprojection_of_landmarks(prepared: Prepared) -> Figure | None:
    """The same of each landmark."""
    names = prepared.landmarks.points
    errors = _sure(prepared)
    chosen = _worst([errors[:, :, joint] for joint in range(len(names))])
    return _boxes([errors[:, :, joint] for joint in chosen], [names[joint].replace("_", " ") for joint in chosen])


def reprojection_over_time(prepared: Prepared) -> Figure | None:
    """The median error of each moment, a line per camera; one line of all where there are many cameras."""
    names, label = prepared.calibration.names, "median of the landmarks, pixels"
    figure = _by_camera(names, prepared.times, _sure(prepared), label)
    if figure is not None:
        figure.axes[0].set_ylim(0, max(figure.axes[0].get_ylim()[1], 1))
    return figure


def iou_over_time(prepared: Prepared, overlap: Overlaps) -> Figure | None:
    """How body and mask overlap in each moment, lines as above."""
    times = prepared.times[list(overlap.frames)]
    figure = _by_camera(prepared.calibration.names, times, overlap.iou[..., None], "IoU of body and mask")
    if figure is not None:
        figure.axes[0].set_ylim(top=1)
    return figure


def bones_over_time(prepared: Prepared) -> Figure | None:
    """Each limb's length in all frames, both sides in one panel."""
    panels: dict[str, dict[str, np.ndarray]] = {}
    for name, lengths in bone_lengths(prepared).items():
        if np.isfinite(lengths).any():
            side = next((side for side in ("left", "right") if name.count(f"{side}_") == 2), "middle")
            ends = [end.replace(f"{side}_", "").replace("_", " ") for end in name.split(" - ")]
            across = ends[0].removeprefix("left ") if ends[0].replace("left", "right") == ends[1] else None
            panels.setdefault(f"{across}s" if across else " - ".join(ends), {})[side] = lengths
    if not panels:
        return None
    rows = -(-len(panels) // _BONE_COLUMNS)
    with styled():
        figure = Figure(figsize=(8.4, 0.5 + 1.65 * rows), layout="constrained")
        axes = figure.subplots(rows, _BONE_COLUMNS, squeeze=False, sharex=True)
    for axis, (title, sides) in zip(axes.flat, panels.items(), strict=False):
        middle = 100 * float(np.nanmedian(np.concatenate(list(sides.values()))))
        for side, lengths in sides.items():
            color = {"left": COLORS[0], "right": COLORS[1]}.get(side, "#808080")
            _line(axis, prepared.times, 100 * lengths, color=color, label=side)
        # Always as wide as a third of the length: what looks level is level.
        axis.set_ylim(min(axis.get_ylim()[0], 0.85 * middle), max(axis.get_ylim()[1], 1.15 * middle))
        axis.set_title(short(title, 34))
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("cm")
    for axis in axes.flat[max(0, len(panels) - _BONE_COLUMNS) : len(panels)]:
        axis.set_xlabel("seconds")
        axis.tick_params(labelbottom=True)
    shown = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    sides = [side for side in ("left", "right") if side in shown]
    figure.legend(
        [shown[s] for s in sides], sides, loc="outside upper left", ncols=2, fontsize=9, frameon=False, labelcolor=TEXT
    )
    return figure


def camera_changes(prepared: Prepared) -> Figure | None:
    """By how much each camera was turned and moved; None where none was."""
    names = prepared.calibration.names
    turned, moved = (per_camera(prepared.fit, f"camera_{what}", len(names)) for what in ("turned", "moved"))
    if not (np.nan_to_num(turned).any() or np.nan_to_num(moved).any()):
        return None
    chosen = list(range(len(names)))[:_MOST_BOXES]
    with styled():
        figure = Figure(figsize=(7.2, 0.9 + 0.24 * len(chosen)), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
    for axis, values, label, color in zip(
        axes, (turned, 100 * moved), ("turned by, degrees", "moved by, cm"), COLORS, strict=False
    ):
        axis.barh(range(len(chosen)), np.nan_to_num(values[chosen]), color=color, height=0.6)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3, axis="x")
    axes[0].set_yticks(range(len(chosen)), [short(names[view]) for view in chosen])
    axes[0].invert_yaxis()
    return figure


def distances_of_landmarks(numbers: Numbers) -> Figure | None:
    """Millimetres between landmarks and the fitted body."""
    known = [landmark for landmark in numbers.landmarks if np.isfinite(landmark.distance)]
    known = sorted(known, key=lambda landmark: -landmark.distance)[:_MOST_BOXES]
    if not known:
        return None
    figure, axis = _chart(7.2, 0.9 + 0.22 * len(known))
    axis.barh(range(len(known)), [landmark.distance for landmark in known], color=COLORS[0], height=0.65)
    axis.set_yticks(range(len(known)), [short(landmark.name.replace("_", " ")) for landmark in known])
    axis.invert_yaxis()
    axis.set_xlabel("mean distance from landmark in space to body, mm")
    axis.grid(visible=False, axis="y")
    axis.margins(y=0.01)
    return figure


def short(name: str, letters: int = 22) -> str:
    """A name that leaves room for the chart: beginning and end of a long one."""
    cut = letters // 2
    return drawable(name if len(name) <= letters else f"{name[:cut]}...{name[-cut:]}")


def _chart(width: float, height: float) -> tuple[Figure, Axes]:
    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
        axis = figure.subplots()
    axis.grid(alpha=0.3)
    return figure, axis


def _by_camera(names: Sequence[str], times: np.ndarray, values: np.ndarray, label: str) -> Figure | None:
    """Medians of values [K, V, N] over time, a line per camera; of all where these are many. None without values."""
    if not np.isfinite(values).any():
        return None
    figure, axis = _chart(7.2, 2.8)
    lines = {name: values[:, view] for view, name in enumerate(names)}
    if len(names) > _MOST_LINES:
        lines = {f"all {len(names)} cameras": values.reshape(len(values), -1)}
    for color, (name, line) in zip(COLORS, lines.items(), strict=False):
        _line(axis, times, np.array([median(moment) for moment in line]), color=color, label=short(name))
    axis.set_ylabel(label)
    axis.set_xlabel("seconds")
    axis.legend(fontsize=9, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, labelcolor=TEXT)
    return figure


def _sure(prepared: Prepared) -> np.ndarray:
    """Errors of the landmarks that count in a summary, [F, V, J] pixels; NaN for others."""
    found = prepared.found
    return np.where(np.nan_to_num(found.points2d[..., 2]) >= SURE, found.errors, np.nan)


def _worst(parts: Sequence[np.ndarray]) -> list[int]:
    """Those that have a value, in order; of very many those with the highest medians."""
    known = [number for number, part in enumerate(parts) if np.isfinite(part).any()]
    if len(known) > _MOST_BOXES:
        known = sorted(sorted(known, key=lambda number: -np.nanmedian(parts[number]))[:_MOST_BOXES])
    return known


def _boxes(parts: Sequence[np.ndarray], names: Sequence[str]) -> Figure | None:
    """Quartiles as boxes, lines from the 5th to the 95th of a hundred."""
    if not parts:
        return None
    figure, axis = _chart(7.2, 0.9 + 0.24 * len(parts))
    axis.boxplot(
        [part[np.isfinite(part)] for part in parts],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        widths=0.6,
        patch_artist=True,
        boxprops={"facecolor": COLORS[0], "edgecolor": "none"},
        medianprops={"color": TEXT, "linewidth": 2},
        whiskerprops={"color": "#808080"},
        capprops={"color": "#808080"},
    )
    axis.set_yticklabels([short(name) for name in names])
    axis.invert_yaxis()
    axis.set_xlim(0, max(axis.get_xlim()[1], 1))
    axis.set_xlabel("pixels between landmark and point; median, quartiles, 5 % to 95 %")
    axis.grid(visible=False, axis="y")
    return figure


def _line(axis: Axes, times: np.ndarray, values: np.ndarray, **looks: Any) -> None:
    """A line over time, of so many moments at most; single moments between gaps are dots."""
    if len(times) > _MOST_MOMENTS:
        parts = np.array_split(np.arange(len(times)), _MOST_MOMENTS)
        times = np.array([times[part].mean() for part in parts])
        values = np.array([np.median(values[part]) for part in parts])
    axis.plot(times, values, lw=1.5, marker="." if len(times) < 60 else "", ms=4, **looks)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
