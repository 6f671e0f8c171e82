"""What a landmark network is: one image in, the people in it out. A better network is one file with this protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hgg_pyg.prepare.landmark_sets import LandmarkSet


@dataclass(frozen=True, eq=False)
class Sighting:
    """One person in one image."""

    points: np.ndarray  # [J, 3] float64: x and y in pixels of the image as given (centres at +0.5), confidence in 0..1
    mask: np.ndarray | None = None  # [H, W] uint8, 255 the person, 0 the rest, edges soft; None: the network has none


class Landmarker(Protocol):
    """Finds people in images."""

    landmarks: LandmarkSet
    """which points it finds"""

    def find(self, image: np.ndarray, most: int) -> list[Sighting]:
        """The people in an image, the largest or surest first.

        Args:
            image: [H, W, 3] uint8, RGB, upright.
            most: how many people to return at most.

        Returns:
            None to `most` people.
        """
        ...
