"""Small squares around the person in the input images: what poses are corrected by."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from hgg_pyg.data.clips import Target, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.variety import resized
from hgg_pyg.data.windows import person_windows
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.types import Cameras

SIDE = 96  # pixels: some 2 cm each, so that limbs that are off by a few degrees are off by a pixel or two
MOST_VIEWS = 4  # of a frame: more cost more and say little that is new


def load_pose_images(source: FrameSource, frames: Sequence[int]) -> PoseImages:
    """Squares of some frames (by position), from the input cameras or as many of them as are looked at.

    Raises:
        UserError: a file is broken.
    """
    capture = source.capture.select(list(frames))
    whole = resized(capture, max(capture.file_size))
    windows = person_windows(source.body, capture.poses, whole.cameras)
    small = resized(capture, SIDE, windows)
    views = source.cameras[:: -(-len(source.cameras) // MOST_VIEWS)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # what decodes and resamples drops Python's lock
        loaded = list(pool.map(lambda frame: load_target(small, Target(frame, views)), range(len(frames))))
    cameras, rgb, alpha = zip(*loaded, strict=True)
    return PoseImages(Cameras.stack(cameras), torch.stack(rgb), torch.stack(alpha))
