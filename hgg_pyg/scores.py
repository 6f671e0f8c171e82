"""Scores of methods on tasks, and how they are summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """One method on one task of one subject, means over its images."""

    subject: str
    task: str
    method: str
    psnr: float  # dB
    ssim: float
    images: int


def mean_score(scores: Sequence[Score], task: str, method: str, metric: str) -> float:
    """A metric's mean over subjects; NaN where the task has no images."""
    values = [getattr(s, metric) for s in scores if (s.task, s.method) == (task, method)]
    return float(np.mean(values)) if values else float("nan")


def score_table(scores: Sequence[Score], tasks: Sequence[str], methods: Sequence[str]) -> str:
    """Means over subjects for a screen; the last line is what the last method gains over the first."""
    lines = [f"{'':16}" + "".join(f"{task:>22}" for task in tasks), f"{'':16}" + "     PSNR dB      SSIM" * len(tasks)]
    for method in methods:
        psnr, ssim = ([mean_score(scores, task, method, metric) for task in tasks] for metric in ("psnr", "ssim"))
        lines.append(f"{method:16}" + "".join(f"{p:12.2f}{s:10.4f}" for p, s in zip(psnr, ssim, strict=True)))
    gain = [mean_score(scores, t, methods[-1], "psnr") - mean_score(scores, t, methods[0], "psnr") for t in tasks]
    return "\n".join([*lines, f"{'gain':16}" + "".join(f"{g:+12.2f}{'':10}" for g in gain)])


def summarise(
    scores: Sequence[Score], tasks: Sequence[str], methods: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Means over subjects by task, method and metric, for a result file; tasks without images are left out."""
    return {
        task: {method: {m: mean_score(scores, task, method, m) for m in ("psnr", "ssim")} for method in methods}
        for task in tasks
        if any(score.task == task for score in scores)
    }
