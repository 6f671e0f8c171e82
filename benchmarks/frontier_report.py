"""The rows of `benchmarks.frontier`: their file, what they say against the aims, and the pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.timing import write_table
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS
from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import UserError

REFINED, DIRECT_REFINED, OPTIMISED = "ours, fitted", "direct binding, fitted", "optimised from nothing"
_LOOKS = {  # colour, mark, the method whose point a line begins at
    REFINED: ("#2f5f8f", "o", OURS),
    DIRECT_REFINED: ("#e08a3c", "s", DIRECT),
    OPTIMISED: ("#7a7a7a", "^", None),
}
_STARTS = {OURS: "ours, one forward pass", DIRECT: "direct binding"}
_ABOVE, _AFTER = 0.5, {2.0: 4.0, 10.0: 4.8}  # dB asked over optimised, and over direct binding after so many seconds


@dataclass(frozen=True)
class Row:
    """One avatar of one subject."""

    data: str
    size: int
    noise: float  # degrees
    subject: str
    method: str
    budget: float  # seconds of a fit from the forward pass on; others have those of the forward pass too
    seconds: float  # in all
    steps: int
    gaussians: int
    view_psnr: float | None
    pose_psnr: float | None
    view_lpips: float | None
    pose_lpips: float | None
    load: float  # of the machine, as the fits began
    about: dict[str, str]

    @property
    def setting(self) -> tuple[str, int, float]:
        """What a column of the picture is of."""
        return self.data, self.size, self.noise


@dataclass(frozen=True)
class Mean:
    """A method at a budget, over the subjects of a setting."""

    seconds: float
    steps: float
    values: dict[str, float]  # by metric; those that there are


_METRICS = ("view_psnr", "pose_psnr", "view_lpips", "pose_lpips")


def means(rows: Sequence[Row]) -> dict[tuple[str, float], Mean]:
    """By method and budget."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.budget), []).append(row)
    found = {}
    for key, group in groups.items():
        columns = {metric: [getattr(row, metric) for row in group] for metric in _METRICS}
        known = {name: float(np.mean(values)) for name, values in columns.items() if None not in values}
        found[key] = Mean(
            float(np.mean([row.seconds for row in group])), float(np.mean([row.steps for row in group])), known
        )
    return found


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the table, all of it or nothing."""
    write_table(path, [{name: v for name, v in asdict(row).items() if name != "about"} | row.about for row in rows])


def read_rows(path: Path) -> list[Row]:
    """The rows of a table that `write_rows` wrote; none if there is no such file.

    Raises:
        UserError: it is another file.
    """
    if not path.exists():
        return []
    kinds = {field.name: str(field.type) for field in fields(Row) if field.name != "about"}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        return [_row(line, kinds) for line in table]
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: expected a table of benchmarks.frontier, found another file ({error})") from None


def _row(line: dict[str, str], kinds: dict[str, str]) -> Row:
    values: dict[str, object] = {}
    for name, kind in kinds.items():
        text = line[name]
        empty = not text and "None" in kind
        values[name] = None if empty else int(text) if kind == "int" else text if kind == "str" else float(text)
    about = {name: text for name, text in line.items() if name not in kinds}
    return Row(**values, about=about)  # pyright: ignore[reportArgumentType]


def table(rows: Sequence[Row]) -> str:
    """One setting: means over its subjects."""
    first, found = rows[0], means(rows)
    people = len({row.subject for row in rows})
    lines = [
        f"\n{name_of(first.setting)}: {people} people, {first.gaussians:,} Gaussians of the first",
        f"{'':26}{'fit s':>7}{'all s':>8}{'steps':>7}" + "".join(f"{m.replace('_', ' '):>12}" for m in _METRICS),
    ]
    for (method, budget), mean in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        digits = (2, 2, 4, 4)
        shown = [
            f"{mean.values[m]:12.{d}f}" if m in mean.values else f"{'-':>12}"
            for m, d in zip(_METRICS, digits, strict=True)
        ]
        lines.append(f"{method:26}{budget:7g}{mean.seconds:8.2f}{mean.steps:7.0f}" + "".join(shown))
    return "\n".join(lines)


def describe_bars(rows: Sequence[Row]) -> str:
    """What was asked for in novel poses, and what was found, for each setting."""
    lines = ["\nasked in novel poses, dB"]
    for setting in dict.fromkeys(row.setting for row in rows):
        found = {k: m.values["pose_psnr"] for k, m in means(_of(rows, setting)).items() if "pose_psnr" in m.values}
        above = {b: found[REFINED, b] - found[OPTIMISED, b] for m, b in found if m == OPTIMISED and b >= 1}
        if above:
            worst = min(above, key=lambda b: above[b])
            kept = "kept" if above[worst] >= _ABOVE else "missed"
            shown = ", ".join(f"{gain:+.2f} at {budget:g} s" for budget, gain in above.items())
            lines.append(f"{name_of(setting)}: {_ABOVE:+g} over {OPTIMISED}: {kept}: {shown}")
        for budget, asked in _AFTER.items():
            if (REFINED, budget) in found and (DIRECT, 0.0) in found:
                gain = found[REFINED, budget] - found[DIRECT, 0.0]
                kept = "kept" if gain >= asked else "missed"
                lines.append(f"{name_of(setting)}: {asked:+g} over {DIRECT} after {budget:g} s: {kept}: {gain:+.2f}")
    return "\n".join(lines)


def name_of(setting: tuple[str, int, float]) -> str:
    """A setting in words."""
    data, size, noise = setting
    return f"{data}, {size} pixels, " + (f"poses {noise:g}° off" if noise else "poses as given")


def draw(out: Path, rows: Sequence[Row]) -> list[Path]:
    """PSNR beside the table, and LPIPS if there is any; a row of panels a task, a column a setting."""
    drawn = []
    for metric, words, path in (
        ("psnr", "PSNR, dB", out.with_suffix(".png")),
        ("lpips", "LPIPS (VGG-16), less is better", out.with_name(f"{out.stem}_lpips.png")),
    ):
        known = [row for row in rows if getattr(row, f"pose_{metric}") is not None]
        if known:
            _draw(path, known, metric, words)
            drawn.append(path)
    return drawn


def _draw(path: Path, rows: Sequence[Row], metric: str, words: str) -> None:
    settings = list(dict.fromkeys(row.setting for row in rows))
    figure = Figure(figsize=(3.5 * len(settings) + 0.6, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    for column, setting in enumerate(settings):
        own = _of(rows, setting)
        found = means(own)
        people = len({row.subject for row in own})
        for line, task in enumerate(("pose", "view")):
            axes = figure.add_subplot(2, len(settings), line * len(settings) + column + 1)
            _lines(axes, found, f"{task}_{metric}")
            if not any(f"{task}_{metric}" in mean.values for mean in found.values()):
                axes.set_axis_off()
                axes.text(0.5, 0.5, f"no novel {task}s", ha="center", fontsize=9, transform=axes.transAxes)
            if line == 0:
                data, size, noise = setting
                off = f"poses {noise:g}° off" if noise else "poses as given"
                several = "people" if people > 1 else "person"
                title = f"{data}, {people} {several}\n{size} pixels, {own[0].gaussians:,} Gaussians\n{off}"
                axes.set_title(title, fontsize=9)
            else:
                axes.set_xlabel("seconds from the images on", fontsize=9)
            if column == 0:
                axes.set_ylabel(f"novel {task}s: {words}", fontsize=9)
    handles = [
        *(
            Line2D([], [], color=color, marker=mark, markersize=5, label=name)
            for name, (color, mark, _) in _LOOKS.items()
        ),
        *(
            Line2D([], [], color=color, marker="D", markersize=8, linestyle="none", label=_STARTS[start])
            for color, _, start in _LOOKS.values()
            if start is not None
        ),
    ]
    columns = min(len(handles), 1 + len(settings))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, fontsize=9, frameon=False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))


def _lines(axes: Axes, found: dict[tuple[str, float], Mean], metric: str) -> None:
    for method, (color, mark, start) in _LOOKS.items():
        wanted = sorted(budget for name, budget in found if name == method)
        line = [found[method, budget] for budget in wanted if metric in found[method, budget].values]
        if start is not None and metric in found[start, 0.0].values:
            first = found[start, 0.0]
            axes.plot(first.seconds, first.values[metric], "D", color=color, markersize=8)
            axes.axhline(first.values[metric], color=color, linewidth=0.8, linestyle=":")
            line = [first, *line]
        axes.plot([m.seconds for m in line], [m.values[metric] for m in line], color=color, linewidth=1.4, zorder=2)
        own = line if start is None else line[1:]
        axes.plot([m.seconds for m in own], [m.values[metric] for m in own], mark, color=color, markersize=4.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    axes.tick_params(labelsize=8)


def _of(rows: Sequence[Row], setting: tuple[str, int, float]) -> list[Row]:
    return [row for row in rows if row.setting == setting]
