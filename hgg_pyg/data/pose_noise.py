"""Poses that are off as fitted ones are: anew in each frame, smoothly in time, the same in all, or a wrong shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from hgg_pyg.config import Bounds, Degrees, check_choices
from hgg_pyg.types import BodyPose

_METRES_PER_DEGREE = 1 / 300  # by which a person is misplaced whose joints are a degree off
_SHAPE_PER_DEGREE = 0.3  # by which values of shape are off, whose standard deviation over people is 1
_FRAMES = 2.0  # standard deviation in frames of what smooths noise in time


@dataclass(frozen=True)
class PoseNoise:
    """Standard deviations, per axis of every joint, in degrees; a person is misplaced by 1/300 m for each of them.

    Raises:
        ValueError: a number is out of its bounds.
    """

    white: Degrees = 0.0
    """drawn anew in each frame"""
    smooth: Degrees = 0.0
    """changes over some frames"""
    constant: Degrees = 0.0
    """the same in all frames"""
    shape: Annotated[float, Bounds(0, 10)] = 0.0
    """of each value of shape"""

    def __post_init__(self) -> None:
        check_choices(self)

    def __call__(self, poses: BodyPose, rng: np.random.Generator) -> BodyPose:
        """T poses that are off by it; without any noise, the same ones."""
        if self == PoseNoise():
            return poses

        def off(values: Tensor, unit: float) -> Tensor:
            return values + torch.from_numpy(unit * self._draw((len(values), values.shape[1]), rng)).to(values)

        return replace(
            poses,
            betas=poses.betas + torch.from_numpy(self.shape * rng.normal(size=len(poses.betas))).to(poses.betas),
            global_orient=off(poses.global_orient, math.radians(1)),
            body_pose=off(poses.body_pose, math.radians(1)),
            transl=off(poses.transl, _METRES_PER_DEGREE),
        )

    def _draw(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """[T, C] degrees"""
        white, passing, lasting = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=(1, shape[1]))
        passing = gaussian_filter1d(passing, _FRAMES, axis=0, mode="wrap")
        impulse = np.zeros(shape[0])
        impulse[0] = 1  # what smoothing leaves of a standard deviation of 1
        passing /= np.linalg.norm(gaussian_filter1d(impulse, _FRAMES, mode="wrap"))
        return self.white * white + self.smooth * passing + self.constant * lasting


def draw_noise(worst: float, rng: np.random.Generator) -> PoseNoise:
    """Noise for one clip: up to `worst` degrees of all kinds together, shared out among them at random.

    One clip in five has none, and every other one a shape that is right.
    """
    level, shares = rng.uniform(0, worst), np.sqrt(rng.dirichlet((1.0, 0.5, 0.5)))
    wrong_shape = _SHAPE_PER_DEGREE * level * (rng.random() < 0.5)
    if rng.random() < 0.2:
        return PoseNoise()
    return PoseNoise(*(float(level * share) for share in shares), shape=min(wrong_shape, 3.0))
