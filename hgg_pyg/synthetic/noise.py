"""Smooth random functions of space: cloth folds, hair strands, blotches."""

from __future__ import annotations

import numpy as np


class Noise:
    """A sum of plane waves of random direction and phase, octave by octave half as long and half as high.

    Args:
        rng: where the waves come from.
        wavelength: of the first octave, metres.
        octaves: how many.
        stretch: scales the axes before sampling; a small number draws the pattern out along that axis.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        wavelength: float,
        octaves: int = 3,
        stretch: tuple[float, float, float] = (1, 1, 1),
    ) -> None:
        waves, frequencies, heights = 5, [], []
        for octave in range(octaves):
            directions = rng.normal(size=(waves, 3))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            frequencies.append(directions * (2 * np.pi * 2.0**octave / wavelength))
            heights.append(np.full(waves, 0.5**octave))
        self._frequencies = (np.concatenate(frequencies) * np.asarray(stretch)).astype(np.float32)
        self._heights = np.concatenate(heights).astype(np.float32)
        self._heights /= np.sqrt((self._heights**2).sum() / 2)  # unit variance
        self._phases = rng.uniform(0, 2 * np.pi, len(self._heights)).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values of mean 0 and variance 1. points [n, 3] metres -> [n] float32"""
        total = np.zeros(len(points), np.float32)
        x, y, z = points.astype(np.float32, copy=False).T
        for (fx, fy, fz), phase, height in zip(self._frequencies, self._phases, self._heights, strict=True):
            total += height * np.sin(x * fx + y * fy + z * fz + phase)
        return total


class Folds:
    """Creases in cloth: rounded ridges across a bent noise, between 0 in the hollows and 1 on the crests.

    Args:
        rng: where the creases come from.
        wavelength: from crest to crest, metres.
        stretch: as in `Noise`; small numbers draw the creases out along that axis.
    """

    def __init__(self, rng: np.random.Generator, wavelength: float, stretch: tuple[float, float, float]) -> None:
        self._bend = Noise(rng, wavelength * 3, 2, stretch)
        self._ridges = [Noise(rng, wavelength * k, 1, stretch) for k in (1.1, 1.9)]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Heights. points [n, 3] metres -> [n] in [0, 1]"""
        bend = self._bend(points)
        sharp, broad = (0.5 + 0.5 * np.sin(1.2 * ridge(points) + bend) for ridge in self._ridges)
        return 0.4 * sharp**2 + 0.6 * broad
