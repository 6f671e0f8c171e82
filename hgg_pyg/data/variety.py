"""Clips of one capture as others would have filmed it: sizes, crops, fewer cameras and frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch

from hgg_pyg.config import Bounds, ClipConfig, FrameCount, Pixels, Share, ViewCount, check_choices, config_digest
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.images import fitted_size
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.data.windows import person_windows
from hgg_pyg.types import Cameras


@dataclass(frozen=True)
class VarietyConfig:
    """What differs from clip to clip in training; nothing by default. Each number is drawn evenly in its logarithm.

    Raises:
        ValueError: the least is more than the most.
    """

    image_sizes: tuple[Pixels, Pixels] | None = None
    """least and most pixels of an image's longest side, for training clips in place of image_size and crop; never more
    than the files have"""
    crops: Share = 0.0
    """share of the clips that are cropped to the square around the person"""
    views: tuple[ViewCount, ViewCount] = (1, 8)
    """least and most cameras that are input"""
    frames: tuple[FrameCount, FrameCount] = (1, 16)
    """least and most frames that are joined"""
    input_pixels: Annotated[int, Bounds(1, 10**10)] = 1_200_000
    """pixels of all input images of a clip at most: larger images come with fewer frames, then with fewer cameras"""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("image_sizes", "views", "frames"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"VarietyConfig.{name}: expected the least, then the most, found {bounds}")

    def __bool__(self) -> bool:
        """Whether clips differ at all."""
        return self.image_sizes is not None


def vary(
    source: FrameSource, clip: ClipConfig, config: VarietyConfig, rng: np.random.Generator
) -> tuple[FrameSource, ClipConfig]:
    """A source and a clip's numbers as `config` draws them. The source is to be asked for `predict`, past the cache.

    Args:
        source: a capture and its input cameras.
        clip: frames and input cameras of clips otherwise.
        config: what may differ; image_sizes must be given.
        rng: what is drawn from.
    """
    assert config.image_sizes is not None
    capture = source.capture
    crop = rng.random() < config.crops
    windows = None
    most_pixels = max(capture.file_size)
    if crop:
        windows = person_windows(source.body, capture.poses, _at_file_size(capture))
        most_pixels = int(np.median(windows[..., 2]))
    size = _draw(config.image_sizes, rng, most=most_pixels)
    count = _draw(config.views, rng, most=len(capture.cameras))
    frames = _draw(config.frames, rng, most=len(capture.frames))
    capture = resized(capture, size, windows)
    at_once = max(1, config.input_pixels // math.prod(capture.size()))  # images
    frames = max(1, min(frames, at_once // count))
    count = min(count, at_once)
    varied = replace(source, capture=capture, cameras=spread_cameras(capture, count))
    return varied, replace(clip, frames=frames, input_views=count)


def resized(capture: Capture, image_size: int, windows: np.ndarray | None = None) -> Capture:
    """A capture at another size, as `make_capture` opens it.

    Args:
        capture: at any size.
        image_size: longest side at which images are read, or the side of the squares.
        windows: [F, V, 3] squares around the person in pixels of the files, see `person_windows`; None: whole images.
    """
    size = fitted_size(*capture.file_size, image_size)
    return replace(
        capture,
        cameras=_scaled(capture.cameras, size),
        windows=windows,
        window_size=image_size,
        digest=config_digest(capture.digest, f"{image_size} {windows is None}"),
    )


def _draw(bounds: tuple[int, int], rng: np.random.Generator, most: int) -> int:
    """A whole number within bounds and no more than `most`, even in its logarithm."""
    low, high = (min(bound, most) for bound in bounds)
    return min(high, int(math.exp(rng.uniform(math.log(low), math.log(high + 1)))))


def _at_file_size(capture: Capture) -> Cameras:
    return _scaled(capture.cameras, capture.file_size)


def _scaled(cameras: Cameras, size: tuple[int, int]) -> Cameras:
    """Cameras for images of another (width, height)."""
    stretch = torch.tensor([size[0] / cameras.width, size[1] / cameras.height, 1.0], dtype=torch.float64)
    Ks = (stretch[:, None] * cameras.Ks.double()).to(cameras.Ks)
    return replace(cameras, Ks=Ks, width=size[0], height=size[1])
