"""Scores of methods on tasks, image by image and subject by subject, and how they are summed up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

METRICS = ("psnr", "ssim", "lpips_alex", "lpips_vgg", "psnr_mask", "ssim_mask", "psnr_box", "ssim_box")

Scored = TypeVar("Scored", bound="Values")


@dataclass(frozen=True, kw_only=True)
class Values:
    """The metrics of an image, or their means; None where one was not computed or has no pixels."""

    psnr: float  # dB
    ssim: float
    lpips_alex: float | None = None
    lpips_vgg: float | None = None
    psnr_mask: float | None = None  # dB
    ssim_mask: float | None = None
    psnr_box: float | None = None  # dB
    ssim_box: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageScore(Values):
    """One method on one image."""

    subject: str
    task: str
    method: str
    camera: str
    frame: int  # number, as in the file names
    after: int  # frames after the input range: 1 is the first novel pose, 0 the last frame that may be input


@dataclass(frozen=True, kw_only=True)
class Score(Values):
    """One method on one task of one subject, means over its images."""

    subject: str
    task: str
    method: str
    images: int


def means_of(scores: Sequence[Values]) -> Values:
    """The mean of every metric over those that have it."""
    columns = {metric: [getattr(score, metric) for score in scores] for metric in METRICS}
    known = {metric: [value for value in values if value is not None] for metric, values in columns.items()}
    return Values(**{metric: float(np.mean(values)) for metric, values in known.items() if values})


def grouped(scores: Iterable[ImageScore], *names: str) -> dict[tuple[Hashable, ...], list[ImageScore]]:
    """Scores that agree in the named fields, in the order in which they come."""
    groups: dict[tuple[Hashable, ...], list[ImageScore]] = defaultdict(list)
    for score in scores:
        groups[tuple(getattr(score, name) for name in names)].append(score)
    return dict(groups)


def by_subject(scores: Iterable[ImageScore]) -> tuple[Score, ...]:
    """Means over the images of each subject, task and method."""
    return tuple(
        Score(**vars(means_of(group)), subject=first.subject, task=first.task, method=first.method, images=len(group))
        for group in grouped(scores, "subject", "task", "method").values()
        for first in group[:1]
    )


def values_of(scores: Sequence[Score], task: str, method: str, metric: str) -> dict[str, float]:
    """A metric by subject, of the subjects that have it."""
    found = {s.subject: getattr(s, metric) for s in scores if (s.task, s.method) == (task, method)}
    return {subject: value for subject, value in found.items() if value is not None}


def mean_score(scores: Sequence[Score], task: str, method: str, metric: str) -> float:
    """A metric's mean over subjects; NaN where the task has no images."""
    values = list(values_of(scores, task, method, metric).values())
    return float(np.mean(values)) if values else float("nan")


def spread(values: Iterable[float]) -> float | None:
    """The standard deviation of a sample, n - 1 below; None of fewer than two."""
    found = list(values)
    return float(np.std(found, ddof=1)) if len(found) > 1 else None


def gains(scores: Sequence[Score], task: str, method: str, base: str, metric: str) -> list[float]:
    """By how much a method is above another, subject by subject."""
    own, other = (values_of(scores, task, name, metric) for name in (method, base))
    return [value - other[subject] for subject, value in own.items() if subject in other]


def summarise(
    scores: Sequence[Score], tasks: Sequence[str], methods: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Means over subjects by task, method and metric, for a result file; what has no images is left out."""
    found = {task: {method: _means(scores, task, method) for method in methods} for task in tasks}
    kept = {task: {method: means for method, means in rows.items() if means} for task, rows in found.items()}
    return {task: rows for task, rows in kept.items() if rows}


def spreads(
    scores: Sequence[Score], tasks: Sequence[str], methods: Sequence[str]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Standard deviations over subjects where `summarise` has means; None of a single subject."""
    return {
        task: {
            method: {m: spread(values_of(scores, task, method, m).values()) for m in means}
            for method, means in rows.items()
        }
        for task, rows in summarise(scores, tasks, methods).items()
    }


def _means(scores: Sequence[Score], task: str, method: str) -> dict[str, float]:
    found = {metric: values_of(scores, task, method, metric).values() for metric in METRICS}
    return {metric: float(np.mean(list(values))) for metric, values in found.items() if values}
