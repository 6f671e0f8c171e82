"""Tables of scores, for a screen and in Markdown; `page.html` shows them in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hgg_pyg.evaluation.scores import METRICS, Score, gains, spread, values_of

NONE = "-"
NO_WEIGHTS = "no weights"
TITLES = {
    "psnr": "PSNR dB ↑",
    "ssim": "SSIM ↑",
    "lpips_alex": "LPIPS Alex ↓",
    "lpips_vgg": "LPIPS VGG ↓",
    "psnr_mask": "PSNR mask ↑",
    "ssim_mask": "SSIM mask ↑",
    "psnr_box": "PSNR box ↑",
    "ssim_box": "SSIM box ↑",
}
MAIN_METRICS = METRICS[:4]


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column says what a row is, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """For a screen."""
        lines = (self.columns, *self.rows)
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        body = [
            "  ".join(
                [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
            )
            for line in lines
        ]
        return "\n".join([*([self.title] if self.title else []), *(line.rstrip() for line in body)])

    def markdown(self) -> str:
        """For a document."""
        rule = ("---", *["---:"] * (len(self.columns) - 1))
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
            for line in (self.columns, rule, *self.rows)
        ]
        return "\n".join([*([f"**{self.title}**", ""] if self.title else []), *lines])


def task_tables(
    scores: Sequence[Score], tasks: Sequence[str], methods: Sequence[str], metrics: Sequence[str]
) -> list[Table]:
    """A table per task that has images: a row per method, then what the second method gains over the first."""
    tables = []
    for task in tasks:
        own = [score for score in scores if score.task == task]
        if not own:
            continue
        rows = [(method, *(score_cell(own, task, method, metric) for metric in metrics)) for method in methods]
        rows.append((f"{methods[1]} - {methods[0]}", *(_gain_cell(own, task, methods, metric) for metric in metrics)))
        subjects = len({score.subject for score in own})
        images = sum(score.images for score in own if score.method == methods[0])
        title = f"{task}: {subjects} subject{'s' * (subjects > 1)}, {images} image{'s' * (images > 1)} per method"
        tables.append(Table(title, ("", *(TITLES[metric] for metric in metrics)), tuple(rows)))
    return tables


def score_cell(scores: Sequence[Score], task: str, method: str, metric: str) -> str:
    """Mean and standard deviation over subjects; why not, where there is none."""
    values = list(values_of(scores, task, method, metric).values())
    if not values:
        scored = any((score.task, score.method) == (task, method) for score in scores)
        return NO_WEIGHTS if scored and metric.startswith("lpips") else NONE
    return _with_spread(values, metric, "")


def _gain_cell(scores: Sequence[Score], task: str, methods: Sequence[str], metric: str) -> str:
    values = gains(scores, task, methods[1], methods[0], metric)
    return _with_spread(values, metric, "+") if values else NONE


def _with_spread(values: Sequence[float], metric: str, sign: str) -> str:
    deviation = spread(values)
    mean = number(float(np.mean(values)), metric, sign)
    return mean if deviation is None else f"{mean} ± {number(deviation, metric)}"


def number(value: float, metric: str, sign: str = "") -> str:
    """A metric with as many digits as mean something."""
    return format(value, f"{sign}.{2 if metric.startswith('psnr') else 4}f")
