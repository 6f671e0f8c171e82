"""MediaPipe's pose networks (BlazePose) without MediaPipe: people found, then 33 landmarks and a mask of each.

Bazarevsky et al. 2020, arXiv:2006.10204. A person is looked at three times: in the square that the detector gives, then
in a tighter one around the landmarks found there, as a tracker would, and once more with left and right exchanged. The
last two are averaged.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hgg_pyg.prepare.landmark_sets import MEDIAPIPE_33
from hgg_pyg.prepare.landmarks import detector as people
from hgg_pyg.prepare.landmarks import pose
from hgg_pyg.prepare.landmarks.base import Sighting
from hgg_pyg.prepare.landmarks.crop import Square
from hgg_pyg.prepare.landmarks.mask import full_size_mask, own_parts
from hgg_pyg.prepare.landmarks.network import Network

FIRST, SECOND = 1.25, 1.15  # sides of the squares, by the diameter of the circle around the person
_PRESENT = 0.5  # least score of a person in the square
_HIPS, _REACH = 33, 34  # landmarks that are there to make the next square by
_MIRROR = [*MEDIAPIPE_33.mirror, *range(33, 39)]
_SAME_PERSON = 0.1  # of the square's side: two sightings whose landmarks are nearer than this on average are of one


class ImageNetwork(Protocol):
    """An image [S, S, 3] float32 in, tensors out."""

    def __call__(self, image: np.ndarray) -> Sequence[np.ndarray]:
        """See the class."""
        ...


class MediaPipe:
    """A `Landmarker`.

    Args:
        detector: finds people: pose_detection.tflite.
        landmarker: looks at one person: pose_landmark_full.tflite or pose_landmark_heavy.tflite.
    """

    landmarks = MEDIAPIPE_33

    def __init__(self, detector: ImageNetwork, landmarker: ImageNetwork) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self._anchors = people.anchors()

    @classmethod
    def of_files(cls, detector: Path, landmarker: Path, threads: int | None = None) -> MediaPipe:
        """With networks from files.

        Args:
            detector: pose_detection.tflite.
            landmarker: pose_landmark_full.tflite or pose_landmark_heavy.tflite.
            threads: how many a network may use; by default as many as there are cores.

        Raises:
            UserError: LiteRT is not installed, or a file is no network.
        """
        threads = threads or os.cpu_count() or 1
        return cls(Network(detector, threads), Network(landmarker, threads))

    def find(self, image: np.ndarray, most: int) -> list[Sighting]:
        """The people in an image, the largest first. See `Landmarker`."""
        found: list[tuple[Square, np.ndarray, np.ndarray]] = []
        for windows in people.windows(image.shape[1], image.shape[0]):
            found = self._seen_in(image, windows, most)
            if found:
                break
        found.sort(key=lambda person: -person[0].side)
        return [Sighting(points, full_size_mask(mask, square, image)) for square, points, mask in found]

    def _seen_in(
        self, image: np.ndarray, windows: Sequence[Square], most: int
    ) -> list[tuple[Square, np.ndarray, np.ndarray]]:
        """People that windows of an image show: the square, landmarks [33, 3] in the image, the mask in the square."""
        found: list[tuple[Square, np.ndarray, np.ndarray]] = []
        for square in self._people(image, windows):
            seen = self._look(image, square) if len(found) < most else None
            if seen is None:
                continue
            points, mask, square = seen
            apart = (np.linalg.norm((other - points)[:, :2], axis=1).mean() for _, other, _ in found)
            if all(distance > _SAME_PERSON * square.side for distance in apart):
                found.append((square, points, mask))
        return found

    def _people(self, image: np.ndarray, windows: Sequence[Square]) -> list[Square]:
        """The squares of the people whom windows show, the largest first."""
        height, width = image.shape[:2]
        found = []
        for window in windows:
            raw, logits = self._detector(window.cut(image, people.SIZE).astype(np.float32) / 127.5 - 1.0)
            seen = people.decode(raw, logits[:, 0], self._anchors)
            found.append(people.whole_in(seen, window, width, height))
        merged = people.merge(people.together(found))
        squares = [Square.around(middle, reach, FIRST) for middle, reach in merged.points[:, :2]]
        return sorted(squares, key=lambda square: -square.side)

    def _look(self, image: np.ndarray, square: Square) -> tuple[np.ndarray, np.ndarray, Square] | None:
        """Landmarks [33, 3] in the image, the mask in the square, and the square."""
        first = self._see(square.cut(image, pose.SIZE))
        if first is None:
            return None
        middle, reach = square.points_to_image(first[0][[_HIPS, _REACH], :2], pose.SIZE)
        square = Square.around(middle, reach, SECOND)
        picture = square.cut(image, pose.SIZE)
        plain, mirrored = self._see(picture), self._see(picture[:, ::-1])
        if plain is None or mirrored is None:
            return None
        points, probability = ((a + b) / 2 for a, b in zip(plain, _mirrored(*mirrored), strict=True))
        points = points[: len(self.landmarks)]
        mask = own_parts(probability, points)
        points[:, :2] = square.points_to_image(points[:, :2], pose.SIZE)
        return points, mask, square

    def _see(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Landmarks [39, 3] and probabilities of the mask [S, S] in a picture [S, S, 3]; None: there is nobody."""
        raw, present, mask, heat, _ = self._landmarker(picture.astype(np.float32) / 255.0)
        if present[0] < _PRESENT:
            return None
        return pose.refine(pose.decode(raw), heat), pose.sigmoid(mask[..., 0])


def _mirrored(points: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was seen in a mirrored picture, in the picture itself."""
    exchanged = points[_MIRROR]
    exchanged[:, 0] = pose.SIZE - exchanged[:, 0]
    return exchanged, probability[:, ::-1]
