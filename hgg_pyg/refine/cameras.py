"""Cameras that stand elsewhere than a calibration says, put right by the masks of a person who moves before them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hgg_pyg.data.capture import Capture
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.figure import Figure, moved_viewmats
from hgg_pyg.refine.fit import Clock, Fit, Refined
from hgg_pyg.refine.likeness import Outlines, bare_body
from hgg_pyg.refine.observations import Observations, check_poses, observe_closely
from hgg_pyg.types import BodyPose

LEAST_GAIN = 0.1  # share by which the error of what is held back must fall, else cameras stay to the bit
_IMAGES = 8  # of a step: each camera is in every other step, or so


@dataclass(frozen=True)
class Placed:
    """Cameras put right together with the poses of some frames and the shape, or all of them as they were."""

    frames: tuple[int, ...]  # T, by position
    viewmats: Tensor  # [V, 4, 4] of all cameras of the capture
    poses: BodyPose  # T, with the shape
    changed: bool
    turned: tuple[float, ...]  # degrees, of each camera that was looked through
    moved: tuple[float, ...]  # metres
    errors: tuple[
        float, float
    ]  # of the masks that were held back, cameras as they were, and free; poses fitted to both

    def applied(self, capture: Capture) -> Capture:
        """The capture with these cameras, poses and shape; itself where nothing was found to be wrong."""
        if not self.changed:
            return capture
        return capture.with_viewmats(self.viewmats).with_poses(capture.poses.put(self.frames, self.poses))


def place_cameras(
    source: FrameSource,
    frames: Sequence[int],
    config: RefineConfig,
    cameras: Sequence[int] | None = None,
    clock: Clock = time.perf_counter,
) -> Placed:
    """The places and directions of cameras, poses of some frames and the shape by which the bare body fits their masks.

    Half a degree is several pixels, and no pose is right for two cameras that disagree. The same is fitted twice, for
    half of the seconds or steps each: with the cameras as they are said to be, and with cameras free within
    `camera_degrees_sigma` and `camera_metres_sigma`. The cameras are taken to be wrong where the squared error of
    the masks that are held back falls by a tenth or more; else cameras, poses and shape are given back as they came.

    Args:
        source: the capture with poses and cameras to begin with.
        frames: T frames by position, in which the person stands in various places and poses.
        config: for how long, and how far off things are expected to be.
        cameras: positions of those that are looked through and may move, two or more; all of the capture by default.
        clock: tells seconds.

    Raises:
        ValueError: of a single camera, which nothing tells from the person.
        UserError: a file is broken, a pose is not finite, or the masks of a frame show nobody.
    """
    capture = source.capture
    views = tuple(range(len(capture.cameras)) if cameras is None else cameras)
    if len(views) < 2:
        raise ValueError("cameras: expected two or more, found one: nothing tells its place from the person's")
    poses = capture.poses[list(frames)]
    check_poses(source, frames, poses)
    seen = observe_closely(source, frames, views, torch.device("cpu"))
    half = config.part(0.5)
    config = replace(half.of_poses, shape=config.shape, images=_IMAGES, prior=config.mask_prior)
    fixed, free = (_fitted(source, poses, seen, config, count, clock) for count in (0, len(views)))
    errors = _error(fixed), _error(free)
    if not errors[1] < (1 - LEAST_GAIN) * errors[0]:
        still = (0.0,) * len(views)
        return Placed(tuple(frames), capture.cameras.viewmats, poses, False, still, still, errors)
    viewmats = capture.cameras.viewmats.clone()
    viewmats[list(views)] = moved_viewmats(viewmats[list(views)], free.rig)
    turned, moved = (tuple(part.norm(dim=1).tolist()) for part in free.rig.split(3, 1))
    return Placed(tuple(frames), viewmats, free.poses, True, turned, moved, errors)


def _fitted(
    source: FrameSource, poses: BodyPose, seen: Observations, config: RefineConfig, views: int, clock: Clock
) -> Refined:
    figure = Figure(bare_body(source.body, poses.betas), source.body, poses, views)
    return Fit(figure, seen, config, Outlines(), clock(), clock).run()


def _error(fit: Refined) -> float:
    """Of the masks that were held back, at the end."""
    return 10 ** (-max(record.held_back for record in fit.history) / 10)
