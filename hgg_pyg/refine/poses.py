"""Poses of frames by an avatar that is there already: nothing of the avatar changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.figure import Figure
from hgg_pyg.refine.fit import Fit
from hgg_pyg.refine.observations import check_poses, observe
from hgg_pyg.types import BodyPose


def mend_poses(
    avatar: BoundAvatar,
    source: FrameSource,
    frames: Sequence[int],
    config: RefineConfig,
    cameras: Sequence[int] | None = None,
) -> BodyPose:
    """Poses of some frames in which the avatar comes closer to their images.

    Args:
        avatar: stays as it is.
        source: the capture with the poses to begin with.
        frames: T frames by position.
        config: for how long; of what is fitted, `poses` is meant alone.
        cameras: positions of those that are looked through; the source's by default.

    Returns:
        T poses on the capture's device, of the avatar's shape.

    Raises:
        UserError: a file is broken, a pose is not finite, or the masks of a frame show nobody.
    """
    begin = time.perf_counter()
    device = avatar.gaussians.means.device
    body = source.body if source.body.weights.device == device else deepcopy(source.body).to(device)
    start = source.capture.poses[list(frames)]
    check_poses(source, frames, start)
    seen = observe(source, frames, source.cameras if cameras is None else cameras, device)
    figure = Figure(avatar, body, start.to(device))
    only = replace(config, gaussians=False, poses=True, shape=False)
    return Fit(figure, seen, only, begin).run(False).poses.to(start.transl.device)
