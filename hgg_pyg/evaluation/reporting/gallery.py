"""Which test images are kept to be looked at while an evaluation goes over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Shot:
    """One test image and what each method made of it."""

    task: str
    subject: str
    camera: str
    frame: int  # number, as in the file names
    truth: np.ndarray  # [H, W, 3] uint8
    rendered: tuple[np.ndarray | None, ...]  # by method, like `truth`; None where a method has no image
    psnr: tuple[float | None, ...]  # by method, dB


@dataclass
class Gallery:
    """Keeps the images that are worst for our method, those where it gains least, and examples that it is told to keep.

    Args:
        shown: how many of each kind per task.
    """

    shown: int
    _worst: dict[str, list[tuple[float, Shot]]] = field(default_factory=dict)
    _least_gain: dict[str, list[tuple[float, Shot]]] = field(default_factory=dict)
    _typical: dict[str, list[Shot]] = field(default_factory=dict)

    def offer(self, task: str, direct: float, ours: float, make: Callable[[], Shot], typical: bool) -> None:
        """Keep an image if it is one to look at.

        Args:
            task: what it belongs to.
            direct: PSNR of direct binding, dB.
            ours: PSNR of our method, dB.
            make: called only if it is kept.
            typical: whether it was taken as an example, whatever its score.
        """
        made: list[Shot] = []

        def shot() -> Shot:
            if not made:
                made.append(make())
            return made[0]

        for kept, value in ((self._worst, ours), (self._least_gain, ours - direct)):
            ranking = kept.setdefault(task, [])
            if self.shown and (len(ranking) < self.shown or value < ranking[-1][0]):
                ranking.append((value, shot()))
                ranking.sort(key=lambda pair: pair[0])
                del ranking[self.shown :]
        if typical and self.shown:
            self._typical.setdefault(task, []).append(shot())

    def worst(self, task: str) -> list[Shot]:
        """By our method's PSNR, the worst first."""
        return [shot for _, shot in self._worst.get(task, [])]

    def least_gain(self, task: str) -> list[Shot]:
        """By our method's PSNR less direct binding's, the least first."""
        return [shot for _, shot in self._least_gain.get(task, [])]

    def typical(self, task: str) -> list[Shot]:
        """Those that were taken as examples, in the order in which they came."""
        return self._typical.get(task, [])
