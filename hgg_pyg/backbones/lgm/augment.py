"""LGM's augmentation: views that do not quite agree, as those that a diffusion model paints do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.config import Share, check_choices
from hgg_pyg.types import Cameras

_JITTER = 0.1  # of pi about the vertical axis at most, half of it about the horizontal one
_BEND = 0.5  # how far the lines of a distorted grid move, in their distances


@dataclass(frozen=True)
class AugmentConfig:
    """How often input views 1 to 3 are made to disagree with view 0, which stays as it is."""

    distort: Share = 0.5
    """probability that the input images of a sample are distorted by a bent grid"""
    jitter: Share = 0.5
    """probability that the input cameras of a sample are rotated by up to 18 degrees"""

    def __post_init__(self) -> None:
        check_choices(self)


def augment(
    images: Tensor, cameras: Cameras, config: AugmentConfig, rng: np.random.Generator
) -> tuple[Tensor, Cameras]:
    """Distort images [V, H, W, 3] and jitter cameras (over LGM's frame) of all views but the first, each by chance."""
    if rng.random() < config.distort:
        images = torch.cat([images[:1], distort_grid(images[1:], rng)])
    if rng.random() < config.jitter:
        cameras = replace(
            cameras, viewmats=torch.cat([cameras.viewmats[:1], jitter_cameras(cameras[1:], rng).viewmats])
        )
    return images, cameras


def distort_grid(images: Tensor, rng: np.random.Generator, strength: float = _BEND) -> Tensor:
    """Stretch and squeeze columns and rows: 8 to 16 evenly spaced lines of either move, what is between them follows.

    Args:
        images: [V, H, W, 3], each distorted in its own way; the border stays.
        rng: of the lines.
        strength: how far a line moves, half of it to either side, in distances between lines.

    Returns:
        [V, H, W, 3]
    """
    height, width = images.shape[1:3]
    grids = []
    for _ in images:
        lines = int(rng.integers(8, 17))
        x, y = (_bent(size, lines, strength, rng) for size in (width, height))
        grids.append(np.stack(np.meshgrid(x, y), -1))
    grid = torch.from_numpy(np.stack(grids)).to(images)
    bent = F.grid_sample(images.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return bent.permute(0, 2, 3, 1)


def _bent(size: int, lines: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Where each of `size` pixels takes its colour from, ascending, in [-1, 1]. [size]"""
    even = np.linspace(-1, 1, lines)
    moved = even + strength * rng.uniform(-0.5, 0.5, lines) * (even[1] - even[0])
    moved[[0, -1]] = even[[0, -1]]
    return np.interp((np.arange(size) + 0.5) / size * 2 - 1, moved, even)


def jitter_cameras(cameras: Cameras, rng: np.random.Generator, strength: float = _JITTER) -> Cameras:
    """Rotate each camera about the origin: by up to `strength` * pi about its upward axis, half that about its right.

    The origin stays where it was in its image.
    """
    viewmats = cameras.viewmats.clone()
    for view in range(len(cameras)):
        about_y, about_x = rng.uniform(-1, 1, 2) * strength * math.pi * np.array([1, 0.5])
        c, s = math.cos(about_y), math.sin(about_y)
        rotation_y = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]]).to(viewmats)
        c, s = math.cos(about_x), math.sin(about_x)
        rotation_x = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]]).to(viewmats)
        # Rotating the world about the origin along the camera's axes moves the camera the other way about it.
        viewmats[view, :3, :3] = rotation_x @ rotation_y @ viewmats[view, :3, :3]
    return replace(cameras, viewmats=viewmats)
