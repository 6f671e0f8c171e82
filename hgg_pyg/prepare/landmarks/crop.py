"""The square of an image that a network looks at: upright for the person in it, whichever way the person lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hgg_pyg.prepare.extra import opencv


@dataclass(frozen=True)
class Square:
    """A turned square of an image. The network's picture of it has x along its width and y downwards along the body."""

    x: float
    y: float
    """its middle, in pixels of the image, centres of pixels at +0.5"""
    side: float
    """in pixels"""
    angle: float = 0.0
    """by which it is turned from x to y, in radians; 0: the person stands upright in the image"""

    @classmethod
    def around(cls, middle: np.ndarray, reach: np.ndarray, widen: float) -> Square:
        """The square of a person.

        Args:
            middle: [2] middle of the hips, in pixels.
            reach: [2] where the circle around the person about `middle` is met, going from the hips towards the head.
            widen: factor of the side.
        """
        along = np.asarray(reach, dtype=float) - middle
        radius = float(np.hypot(*along))
        angle = math.atan2(along[0], -along[1]) if radius > 0 else 0.0
        return cls(float(middle[0]), float(middle[1]), 2.0 * radius * widen, angle)

    def to_image(self, size: int) -> np.ndarray:
        """[2, 3] from pixels of the network's picture, `size` pixels wide, to those of the image; both centres +0.5."""
        scale = self.side / size
        cos, sin = scale * math.cos(self.angle), scale * math.sin(self.angle)
        half = size / 2.0
        return np.array(
            [
                [cos, -sin, self.x - cos * half + sin * half],
                [sin, cos, self.y - sin * half - cos * half],
            ]
        )

    def points_to_image(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points [..., 2] of the network's picture in pixels of the image."""
        matrix = self.to_image(size)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def cut(self, image: np.ndarray, size: int) -> np.ndarray:
        """What the network looks at: [size, size, ...] of an image [H, W, ...]; black outside of the image."""
        cv2 = opencv("landmarks")
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, _of_indices(self.to_image(size)), (size, size), flags=flags)

    def paste(self, picture: np.ndarray, height: int, width: int) -> np.ndarray:
        """A picture [size, size] of the network over the image: [height, width], zero outside of the square."""
        cv2 = opencv("landmarks")
        matrix = _of_indices(self.to_image(picture.shape[0]))
        return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)


def _of_indices(matrix: np.ndarray) -> np.ndarray:
    """The same map between numbers of pixels, which OpenCV counts from 0 at the centre of the first one."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5
    return shifted
