"""Which known mistake, undone, would lay the body on the masks.

Silhouettes at low resolution are cheap enough to try everything: each known mistake, a search over the factor for wrong
units, and, if none of them is enough, two mistakes at once. What remains is measured again on all images looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hgg_pyg.capture_check.faults import (
    LENGTHS,
    SCALED,
    SIZES,
    Fault,
    Scaled,
    frame_faults,
    intrinsics_fault,
    known_faults,
    length_fault,
)
from hgg_pyg.capture_check.places import Places
from hgg_pyg.capture_check.scene import Overlap, Scene

_CAMERAS, _FRAMES = 6, 2  # looked at by the search
_PERSON = 56  # pixels that a person is tall in the images of the search
_LENGTHS_TRIED = 1.25 ** np.arange(-42, 43)  # 8.5e-5 .. 12e3
_SIZES_TRIED = 1.15 ** np.arange(-16, 17)  # 0.1 .. 9.4
_NEAR = 0.06  # a factor this near to a known one is that one, if it explains as much
_EVEN = 0.03  # differences of IoU that say nothing
_SHOWN = 3


@dataclass(frozen=True)
class Diagnosis:
    """One mistake, or two at once, that would explain what is seen."""

    faults: tuple[Fault, ...]
    before: Overlap
    after: Overlap

    @property
    def searched(self) -> bool:
        """Whether a number in it was fitted to the images, and so may take up something else."""
        return any(fault.searched for fault in self.faults)

    def mend(self, scene: Scene) -> Scene:
        """The scene without them."""
        return _mend(self.faults, scene)

    @property
    def name(self) -> str:
        """What it is, short."""
        return ", and ".join(fault.name for fault in self.faults)

    def text(self, places: Places) -> str:
        """What to change, and from what to what the IoU would rise."""
        what = "; and ".join(fault.advice(places) for fault in self.faults)
        return f"{what}. IoU {self.before.iou:.2f} would become {self.after.iou:.2f}"


def diagnose(scene: Scene, height: float) -> tuple[Diagnosis, ...]:
    """The mistakes that would raise the overlap clearly, best first, at most three.

    Args:
        scene: the images looked at.
        height: the person's, metres; some normalise the world by it.
    """
    before = scene.overlap()
    if before is None:
        return ()
    search = _Search(_thumbnails(scene))
    singles = known_faults(search.scene)
    found = [(fault,) for fault in singles]
    found += [(fault,) for fault in frame_faults(search.scene)]
    found += [(fault,) for fault in _searched(search, height)]
    ranked = search.rank(found)
    best = _measured(scene, before, ranked)
    if not any(diagnosis.after.good for diagnosis in best):
        best = _measured(scene, before, [*search.rank(_pairs(search, singles, height)), *ranked])
    if not best:
        return ()
    # What is only half as good as the best is its echo: a rotation by 90 degrees where one by 180 is needed.
    good = [d for d in best if d.after.iou > best[0].after.iou - 0.1 and d.after.good >= best[0].after.good]
    return tuple(d for d in good if not d.searched or d is good[0])[:_SHOWN]


class _Search:
    """Tries guesses on small images."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        order = np.argsort(-scene.usable.sum(0), kind="stable")[:3]
        self.probe = scene.part([0], sorted(order.tolist()), scene.size)

    def score(self, faults: Sequence[Fault]) -> float:
        """The IoU without these faults; a hopeless guess is found out on three images."""
        if any(fault.family == "frames" for fault in faults):  # the probe's one frame may be the one that has no pose
            return _iou(_mend(faults, self.scene))
        probe = _iou(_mend(faults, self.probe))
        return _iou(_mend(faults, self.scene)) if probe > 0.25 else probe

    def rank(self, guesses: Iterable[tuple[Fault, ...]]) -> list[tuple[Fault, ...]]:
        """The most promising ones, best first; of equals the first."""
        scored = [(self.score(guess), guess) for guess in guesses]
        return [guess for _, guess in sorted(scored, key=lambda pair: -pair[0])[:8]]


def small_size(scene: Scene) -> tuple[int, int]:
    """(width, height) at which the person is just large enough to tell poses and places apart."""
    tall = np.median([mask.any(1).sum() for mask in scene.masks[scene.usable]])
    zoom = min(1.0, max(_PERSON / max(tall, 1.0), 48 / max(scene.size)))
    return max(1, round(scene.size[0] * zoom)), max(1, round(scene.size[1] * zoom))


def _thumbnails(scene: Scene) -> Scene:
    """Few images, spread over cameras and frames, at a low resolution."""
    frames = len(scene.usable)
    rows = np.unique(np.linspace(0, frames - 1, min(frames, _FRAMES)).round().astype(int))
    good = np.flatnonzero(scene.usable[rows].any(0))
    columns = good[np.unique(np.linspace(0, len(good) - 1, min(len(good), _CAMERAS)).round().astype(int))]
    return scene.part(rows.tolist(), columns.tolist(), small_size(scene))


def _searched(search: _Search, height: float) -> list[Fault]:
    """The best factor for each of the lengths, and for K."""
    size, iou = _best_factor(lambda s: search.score((intrinsics_fault(s),)), _SIZES_TRIED)
    usual = min(SIZES, key=lambda value: abs(np.log(value / size)))
    if abs(usual / size - 1) < _NEAR and search.score((intrinsics_fault(usual),)) > iou - _EVEN:
        size = usual
    return [intrinsics_fault(size), *(_best_length(search, scaled, height) for scaled in SCALED)]


def _best_length(search: _Search, scaled: Scaled, height: float, other: tuple[Fault, ...] = ()) -> Fault:
    factor, iou = _best_factor(lambda s: search.score((length_fault(scaled, s), *other)), _LENGTHS_TRIED)
    known = [
        *LENGTHS,
        (height, f"in heights of the person, {height:.2f} m"),
        (height / 2, f"in halves of the person's height, {height / 2:.2f} m"),
    ]
    value, words = min(known, key=lambda pair: abs(np.log(pair[0] / factor)))
    if abs(value / factor - 1) < _NEAR and search.score((length_fault(scaled, value), *other)) > iou - _EVEN:
        return length_fault(scaled, value, words)
    return length_fault(scaled, factor)


def _best_factor(score: Callable[[float], float], tried: np.ndarray) -> tuple[float, float]:
    """The factor of the highest score: coarse steps, then finer ones about the best."""
    step = float(np.log(tried[1] / tried[0]))
    best = max(((score(float(factor)), float(factor)) for factor in tried), key=lambda pair: pair[0])
    while step > 0.004:
        step /= 2
        near = [best[1] * float(np.exp(sign * step)) for sign in (-1, 1)]
        best = max([best, *((score(factor), factor) for factor in near)], key=lambda pair: pair[0])
    return best[1], best[0]


def _pairs(search: _Search, singles: Sequence[Fault], height: float) -> list[tuple[Fault, ...]]:
    """Two mistakes of different families; cameras of another kind with every unit."""
    pairs = [(a, b) for a, b in combinations(singles, 2) if a.family != b.family]
    for fault in singles:
        if fault.family == "extrinsics":
            pairs.append((_best_length(search, "T", height, (fault,)), fault))
    return pairs


def _measured(scene: Scene, before: Overlap, guesses: Sequence[tuple[Fault, ...]]) -> list[Diagnosis]:
    """Those that help clearly on all images, best first; a simple explanation before one that is hardly better."""
    found: dict[str, Diagnosis] = {}
    for faults in guesses:
        after = _mend(faults, scene).overlap()
        if after is not None and _helps(before, after):
            diagnosis = Diagnosis(faults, before, after)
            found.setdefault(diagnosis.name, diagnosis)
    return sorted(found.values(), key=lambda d: -d.after.iou + _EVEN * (len(d.faults) - 1 + d.searched))


def _helps(before: Overlap, after: Overlap) -> bool:
    """A body that is blown up until it fills a skirt gains IoU, but loses what was inside the mask."""
    clear = after.iou - before.iou > 0.04 and 1 - after.iou < 0.8 * (1 - before.iou)
    return clear and after.inside > min(before.inside, 0.9) - 0.02 and after.iou > 0.4


def _mend(faults: Sequence[Fault], scene: Scene) -> Scene:
    for fault in faults:
        scene = fault.mend(scene)
    return scene


def _iou(scene: Scene) -> float:
    overlap = scene.overlap()
    return overlap.iou if overlap is not None else 0.0
