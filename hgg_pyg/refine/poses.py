"""Poses of frames alone: by an avatar that is there already, or by masks before there is one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.figure import Figure
from hgg_pyg.refine.fit import Fit
from hgg_pyg.refine.likeness import Colours, Likeness, Outlines, bare_body
from hgg_pyg.refine.observations import check_poses, observe_closely
from hgg_pyg.types import BodyPose


def mend_poses(
    avatar: BoundAvatar,
    source: FrameSource,
    frames: Sequence[int],
    config: RefineConfig,
    cameras: Sequence[int] | None = None,
) -> BodyPose:
    """Poses of some frames in which an avatar comes closer to their images.

    Args:
        avatar: stays as it is.
        source: the capture with the poses to begin with.
        frames: T frames by position.
        config: for how long; what it says is to be fitted does not count.
        cameras: positions of those that are looked through; the source's by default.

    Returns:
        T poses on the capture's device, of the avatar's shape.

    Raises:
        UserError: a file is broken, a pose is not finite, or the masks of a frame show nobody.
    """
    return _mended(avatar, source, frames, config, source.cameras if cameras is None else cameras, Colours())


def poses_by_masks(
    source: FrameSource, frames: Sequence[int], config: RefineConfig, cameras: Sequence[int] | None = None
) -> BodyPose:
    """Poses of some frames in which the bare body fits into their masks: what can be mended without an avatar.

    Colours of an avatar tell where frames disagree, not what all of them have in common, since the avatar has it, too.
    Masks do: the body should lie in the midst of them.

    Args:
        source: the capture with the poses to begin with.
        frames: T frames by position.
        config: for how long; the prior's weight is `mask_prior`.
        cameras: positions of those that are looked through; the source's by default.

    Returns:
        T poses on the capture's device; the shape stays.

    Raises:
        UserError: as `mend_poses`.
    """
    bare = bare_body(source.body, source.capture.poses.betas)
    config = replace(config, prior=config.mask_prior)
    return _mended(bare, source, frames, config, source.cameras if cameras is None else cameras, Outlines())


def _mended(
    avatar: BoundAvatar,
    source: FrameSource,
    frames: Sequence[int],
    config: RefineConfig,
    cameras: Sequence[int],
    likeness: Likeness,
) -> BodyPose:
    begin = time.perf_counter()
    device = avatar.gaussians.means.device
    start = source.capture.poses[list(frames)]
    check_poses(source, frames, start)
    seen = observe_closely(source, frames, cameras, device)
    figure = Figure(avatar, source.body.on(device), start.to(device))
    return Fit(figure, seen, config.of_poses, likeness, begin).run().poses.to(start.transl.device)
