"""How a body is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hgg_pyg.config import Bounds, check_choices

Steps = Annotated[int, Bounds(0, 100_000)]
Sigma = Annotated[float, Bounds(0, 1e3, above=True)]


@dataclass(frozen=True)
class FitConfig:
    """What is expected of a body that moves, and how long is looked for it.

    The fit is the most probable body and motion under these standard deviations.

    Raises:
        ValueError: a number is out of its bounds.
    """

    steps: Steps = 600
    """steps of Adam towards the landmarks, all frames at once"""
    mask_steps: Steps = 400
    """steps of Adam towards the masks as well, some images at a time, or more for many images; 0 for landmarks alone"""
    mask_looks: Annotated[int, Bounds(1, 10_000)] = 30
    """how often each image is compared with its mask, at least"""
    mask_batch: Annotated[int, Bounds(1, 4096)] = 24
    """images compared with their masks in each of these"""
    mask_size: Annotated[int, Bounds(32, 1024)] = 160
    """side in pixels of the square around the person in which body and mask are compared"""
    landmark_sigma: Sigma = 0.02
    """metres by which landmarks are off at the person's distance; what is off by a multiple of it counts less"""
    edge_sigma: Sigma = 0.02
    """metres by which the edges of masks are off where they lie within the body"""
    clothes_sigma: Sigma = 0.07
    """the same where they lie outside it, as clothes and hair do"""
    acceleration_sigma: Sigma = 15.0
    """metres per square second by which points of the body accelerate"""
    spin_sigma: Sigma = 150.0
    """radians per square second by which joints do"""
    shape_sigma: Sigma = 0.5
    """by which values of shape differ from the mean body's; bodies are made for 1, but masks that agree in clothes and
    hair would pull at them from image after image"""

    def __post_init__(self) -> None:
        check_choices(self)

    def steps_towards_masks(self, images: int) -> int:
        """For so many images, of all cameras together."""
        return max(self.mask_steps, -(-images * self.mask_looks // self.mask_batch)) if self.mask_steps else 0

    def all_steps(self, images: int) -> int:
        """Towards landmarks and masks."""
        return self.steps + self.steps_towards_masks(images)
