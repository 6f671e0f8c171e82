"""The order of things: poses by masks, the forward pass on them, the fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import with_poses
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.figure import Figure
from hgg_pyg.refine.fit import Clock, Fit, Refined
from hgg_pyg.refine.likeness import Colours, Outlines, bare_body
from hgg_pyg.refine.observations import check_poses, observe, observe_closely
from hgg_pyg.refine.thinned import MOST, spread, thinned
from hgg_pyg.types import BodyPose

_COARSE = 160  # pixels, the longest side of the images that an avatar of fewer Gaussians is fitted to
_THINNED = 0.6  # of the seconds or steps, in which an avatar of many Gaussians is fitted as one of few


def refine_pass(
    first: BoundAvatar,
    forward: Callable[[FrameSource], BoundAvatar],
    source: FrameSource,
    frames: Sequence[int],
    config: RefineConfig,
    by_masks: bool = True,
    progress: bool = False,
    clock: Clock = time.perf_counter,
) -> Refined:
    """A better avatar than that of a forward pass, some seconds later.

    Poses are mended by masks first; where that moved any, the forward pass is repeated on them: the per-frame network
    places Gaussians by the pose, and no fit brings them to where it would have put them. It is repeated, too, on poses
    that coarse steps of an avatar of many Gaussians have bettered. The rest of the seconds is for `refine`, from the
    pass with the better PSNR of what is held back. Further forward passes count among the seconds.

    Args:
        first: the avatar of the first pass.
        forward: the avatar of these frames of a source by its capture's poses.
        source: the capture with the poses to begin with.
        frames: T frames by position.
        config: what is fitted and for how long.
        by_masks: whether masks may mend poses; not where a network has: it knows how far clothes stand off.
        progress: show a bar.
        clock: tells seconds.

    Raises:
        UserError: a file is broken, a pose is not finite, or the masks of a frame show nobody.
    """
    check_poses(source, frames, source.capture.poses[list(frames)])
    begin, device = clock(), first.gaussians.means.device
    body, seen = source.body.on(device), observe(source, frames, source.cameras, device)
    poses = source.capture.poses[list(frames)].to(device)
    by_masks = by_masks and config.poses and config.mask_share > 0
    of_masks = replace(config.part(config.mask_share).of_poses, prior=config.mask_prior)
    config = config.less(config.mask_share) if by_masks else config
    colours = Fit(Figure(first, body, poses), seen, config, Colours(), begin, clock)
    if by_masks:
        bare = Figure(bare_body(body, first.betas), body, poses)
        closely = observe_closely(source, frames, source.cameras, device)
        mended = Fit(bare, closely, of_masks, Outlines(), begin, clock).run().poses
        if bool(bare.moved.any()):
            with torch.no_grad():
                again = forward(with_poses(source, frames, mended))
            fit = Fit(Figure(again, body, mended), seen, config, Colours(), begin, clock)
            colours = max(colours, fit, key=Fit.check)
    if config.gaussians and len(colours.figure.avatar.gaussians) > 2 * MOST:
        config, mended = _begin_thinned(colours, config, begin, clock)
        colours.config = config
        if mended is not None:
            with torch.no_grad():
                again = forward(with_poses(source, frames, mended))
            fit = Fit(Figure(again, body, mended), seen, config, Colours(), begin, clock)
            colours = max(colours, fit, key=Fit.check)
    return colours.run(progress)


def _begin_thinned(fit: Fit, config: RefineConfig, begin: float, clock: Clock) -> tuple[RefineConfig, BodyPose | None]:
    """Have a fit of many Gaussians begin where one of few on small images ends, or with its poses, if that is better.

    Returns:
        What is left to be done, and the poses if they alone are better: the forward pass is worth repeating on them.
    """
    figure = fit.figure
    few = thinned(figure.avatar)
    coarse = Figure(few, figure.body, figure.poses)
    nothing = [torch.zeros_like(values) for values in figure.tensors()]
    Fit(coarse, fit.seen.shrunk(_COARSE), config.part(_THINNED), Colours(), begin, clock).run()
    poses = (coarse.moved, coarse.shape, coarse.rig)
    candidates = [nothing, (nothing[0], *poses), (spread(coarse.residuals, figure.avatar, few), *poses)]
    scores = []
    for tensors in candidates:
        figure.load(tensors)
        scores.append(fit.check())
    figure.load(candidates[max(range(len(scores)), key=scores.__getitem__)])
    return config.less(_THINNED), coarse.poses_now().detach() if scores[1] > scores[0] else None
