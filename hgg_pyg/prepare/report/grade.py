"""The verdict at the top of the report, and what speaks against what was prepared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hgg_pyg.capture_check.scene import Overlap
from hgg_pyg.prepare.report.numbers import Numbers

Word = Literal["good", "doubtful", "bad"]

_PIXELS = (8 / 1080, 24 / 1080)  # of the shorter side: median reprojection that is doubtful, bad
_DISTANCE = (40.0, 100.0)  # millimetres between landmarks and body
_FOUND = (0.8, 0.4)  # share of images with the person
_BONE, _LEAST_BONE = 0.15, 0.15  # spread of a limb's length from which on it is doubtful; metres: shorter ones vary

_NAMED = 4  # cameras or limbs; the others are counted


@dataclass(frozen=True)
class Grade:
    """Good, doubtful or bad, and why."""

    word: Word
    sentence: str
    reasons: tuple[str, ...]  # what is doubtful or bad, worst first


def grade(numbers: Numbers, overlaps: tuple[Overlap | None, ...]) -> Grade:
    """Judge by overlap as `check` does, by reprojection, by the fit's distances, and by how often the person is found.

    Args:
        numbers: of all.
        overlaps: of the V cameras.
    """
    bad, doubtful = [], []
    named = [(camera.name, overlap) for camera, overlap in zip(numbers.cameras, overlaps, strict=True)]
    without = [name for name, overlap in named if overlap is None]
    if without:
        doubtful.append(f"no mask that the body could be compared with: {_some(without)}")
    for reasons, is_bad in ((bad, True), (doubtful, False)):
        off = [(name, found) for name, found in named if found and not found.good and found.bad == is_bad]
        off.sort(key=lambda pair: pair[1].iou)
        reasons += [f"in {name} the body does not lie well on the person: {found}" for name, found in off[:_NAMED]]
        if len(off) > _NAMED:
            reasons.append(f"nor does it in {_some([name for name, _ in off[_NAMED:]])}")
    side = min(numbers.width, numbers.height)
    _above(
        numbers.reprojection,
        (_PIXELS[0] * side, _PIXELS[1] * side),
        "landmarks lie {:.1f} pixels from where the points in space are seen: cameras that have moved, clocks that "
        "differ, or two people mixed up",
        doubtful,
        bad,
    )
    _above(numbers.distance, _DISTANCE, "landmarks lie {:.0f} mm from where the body has them", doubtful, bad)
    images = numbers.frames * len(numbers.cameras)
    if numbers.found < _FOUND[0] * images:
        text = f"the person was found in {numbers.found} of {images} images only"
        (bad if numbers.found < _FOUND[1] * images else doubtful).append(text)
    loose = [bone.name for bone in numbers.bones if bone.spread > _BONE and bone.length > _LEAST_BONE]
    if loose:
        doubtful.append(f"limbs change their length over time: {_some(loose)}")
    word: Word = "bad" if bad else "doubtful" if doubtful else "good"
    return Grade(word, _sentence(word, numbers), (*bad, *doubtful))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _above(value: float, limits: tuple[float, float], text: str, doubtful: list[str], bad: list[str]) -> None:
    if value > limits[0]:
        (bad if value > limits[1] else doubtful).append(text.format(value))


def _sentence(word: Word, numbers: Numbers) -> str:
    start = {
        "good": "Body, landmarks and images belong together",
        "doubtful": "Look closely before you train on it",
        "bad": "Do not train on it as it is",
    }[word]
    said = []
    if math.isfinite(numbers.worst_iou):
        said.append(f"body and mask overlap by {numbers.worst_iou:.2f} or more (IoU)")
    if math.isfinite(numbers.reprojection):
        said.append(f"landmarks are {numbers.reprojection:.1f} pixels off in the median")
    return f"{start}: {', '.join(said)}." if said else f"{start}."
