"""How an avatar and its poses are fitted to images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from hgg_pyg.config import Bounds, Seconds, Seed, Share, Steps, ViewCount, Weight, check_choices

Rate = Annotated[float, Bounds(0, 1e3)]
Sigma = Annotated[float, Bounds(0, 1e3, above=True)]


@dataclass(frozen=True)
class RefineConfig:
    """What is fitted, for how long, and how far from where it began it is expected.

    Raises:
        ValueError: a number is out of its bounds, or nothing bounds the fit, or there is nothing to fit.
    """

    seconds: Seconds | None = 10.0
    """wall clock, with all that is read and checked"""
    steps: Steps | None = None
    """at most so many steps"""
    gaussians: bool = True
    """fit the avatar's Gaussians"""
    poses: bool = True
    """fit the poses of the frames"""
    shape: bool = True
    """fit the shape of the body"""
    seed: Seed = 0
    """of the order in which images are seen"""
    images: ViewCount = 4
    """of a step, each of another frame where there are as many"""
    gaussian_rate: Rate = 0.02
    """step size of the residuals"""
    degrees_rate: Rate = 0.1
    """step size of rotations, degrees"""
    metres_rate: Rate = 0.0005
    """step size of translations, metres"""
    shape_rate: Rate = 0.005
    """step size of values of shape"""
    camera_degrees_rate: Rate = 0.05
    """step size of a camera's direction, degrees, where cameras are fitted: see `place_cameras`"""
    camera_metres_rate: Rate = 0.002
    """step size of a camera's place, metres"""
    pace_alone: Rate = 5.0
    """steps of poses are so many times as large where only they are fitted: they have further to go, and no colours
    learn from poses that are on their way"""
    degrees_sigma: Sigma = 3.0
    """degrees by which joints are expected to be off"""
    metres_sigma: Sigma = 0.01
    """metres by which the person is expected to be misplaced"""
    shape_sigma: Sigma = 0.5
    """by which values of shape are expected to be off"""
    camera_degrees_sigma: Sigma = 1.0
    """degrees by which cameras are expected to be turned"""
    camera_metres_sigma: Sigma = 0.03
    """metres by which cameras are expected to be misplaced"""
    prior: Weight = 1e-4
    """weight of these expectations beside the squared error of a pixel of the person"""
    smooth: Weight = 0.0
    """weight of corrections of poses that change from frame to frame: of the square over `degrees_sigma` or
    `metres_sigma`, and over the frames between"""
    limits: Weight = 0.0
    """weight of joints bent farther beyond human limits than they were, of the square over 4 degrees"""
    shared: Weight = 0.0
    """weight of mean residuals of neighbouring vertices that differ, of the mean square in units of the fit"""
    mask_share: Share = 0.2
    """of the seconds or steps in which poses are fitted to the masks alone, before the forward pass; none where the
    network has corrected them"""
    mask_prior: Weight = 1e-3
    """weight of the expectations in that"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.seconds is None and self.steps is None:
            raise ValueError("RefineConfig.seconds: expected seconds or steps that bound the fit, found neither")
        if not (self.gaussians or self.poses or self.shape):
            raise ValueError("RefineConfig.gaussians: expected gaussians, poses or shape to fit, found none of them")

    @property
    def of_poses(self) -> RefineConfig:
        """The same for poses alone."""
        pace = self.pace_alone
        rates = {"degrees_rate": pace * self.degrees_rate, "metres_rate": pace * self.metres_rate}
        return replace(self, gaussians=False, poses=True, shape=False, **rates)

    def part(self, share: float) -> RefineConfig:
        """The same for the first part of the seconds or steps, one step at least."""
        seconds = None if self.seconds is None else max(share * self.seconds, 1e-6)
        return replace(self, seconds=seconds, steps=None if self.steps is None else max(1, round(share * self.steps)))

    def less(self, share: float) -> RefineConfig:
        """The same with the steps that `part` leaves, one at least; seconds go on to count from the beginning."""
        return replace(self, steps=None if self.steps is None else max(1, self.steps - round(share * self.steps)))
