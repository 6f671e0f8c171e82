"""One subject's poses: the body brought onto the masks, then an avatar onto the images; some frames first, then all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clip_input import graph_for, load_clip
from hgg_pyg.data.clips import Target, even_frames, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.making import Maker, without_faint
from hgg_pyg.mending.config import MendConfig
from hgg_pyg.mending.shadows import shadow_avatar, shadows_of
from hgg_pyg.refine import RefineConfig, mend_poses, refine
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, UserError

_TOGETHER = 8  # frames whose poses are fitted side by side: bounds the memory
_JUDGES = 4  # cameras that judge, of those that no fit looks through


@dataclass(frozen=True)
class Mended:
    """What became of a subject's poses."""

    source: FrameSource  # of the frames that can be used, with the poses that were given
    poses: BodyPose  # F, of the same frames, mended where that is better
    better: tuple[int, ...]  # positions of the frames whose poses are new
    judges: tuple[str, ...]  # names of the cameras that said which is better
    fitted: bool  # whether they are the cameras that the fit looked through, where there are no others

    @property
    def before(self) -> Capture:
        """With the poses that were given."""
        return self.source.capture

    @property
    def after(self) -> Capture:
        """With the mended ones."""
        return self.before.with_poses(self.poses)


def mend_subject(
    maker: Maker, source: FrameSource, config: MendConfig, done: Callable[[int], object] = lambda frames: None
) -> Mended:
    """Mend the poses of all frames that can be used, and the shape.

    Twice: first the body alone is brought onto the masks; then an avatar, which one forward pass makes of T evenly
    spread frames, onto the images, and is refined with them. Each time those T frames' poses and the shape are fitted
    together, then every other frame's pose: from the pose that it had, or from it with the corrections of the nearest
    mended frames, whichever looks more like the images. A frame keeps the pose that it had where the mended one lies no
    better: on images of cameras that no fit has seen, if there are such.

    Args:
        maker: makes the avatar.
        source: the subject.
        config: for how long.
        done: called with how many frames are done, once and again; in all with twice as many as there are.

    Raises:
        UserError: a file is broken, or no frame can be used.
    """
    source = source.usable()
    capture = source.capture
    if not capture.frames:
        reasons = "; ".join(map(str, source.left_out))
        raise UserError(f"{capture.root}: expected a frame that can be used, found none: {reasons}")
    first = even_frames(0, len(capture.frames), maker.frames)
    whole = RefineConfig(seconds=config.seconds, steps=config.steps, shape=config.shape, seed=config.seed)
    shadow = shadow_avatar(source.body, capture.poses.betas)
    on_masks = _fit_all(shadow, shadows_of(source), first, replace(whole, gaussians=False), config, done)
    nearer = replace(source, capture=capture.with_poses(on_masks.poses), stored=None)
    on_images = _fit_all(make_bound(maker, nearer, first), nearer, first, whole, config, done)
    better = on_masks.better | on_images.better
    names = tuple(capture.camera_names[camera] for camera in on_images.judges)
    return Mended(source, on_images.poses, tuple(sorted(better)), names, on_images.judges == source.cameras)


def _fit_all(
    avatar: BoundAvatar,
    source: FrameSource,
    first: Sequence[int],
    fit: RefineConfig,
    config: MendConfig,
    done: Callable[[int], object],
) -> _Mending:
    """Fit an avatar with some frames' poses, then all other poses to it."""
    refined = refine(avatar, source, first, fit)
    mending = _Mending(refined.avatar, source)
    mending.take(first, refined.poses)
    done(len(first))
    others = [frame for frame in range(len(source.capture.frames)) if frame not in first]
    for begin in range(0, len(others), _TOGETHER):
        chunk = others[begin : begin + _TOGETHER]
        started = replace(source, capture=source.capture.with_poses(mending.starts(chunk)), stored=None)
        short = replace(fit, seconds=config.seconds_per_frame * len(chunk))
        mending.take(chunk, mend_poses(refined.avatar, started, chunk, short))
        done(len(chunk))
    return mending


@torch.no_grad()
def make_bound(maker: Maker, source: FrameSource, frames: Sequence[int]) -> BoundAvatar:
    """The avatar of one forward pass over some frames (by position), on the model's device."""
    device = next((weight.device for weight in maker.model.parameters()), torch.device("cpu"))
    clip = load_clip(source, frames, maker.spec, images=maker.model.feedback, gaussians=source.predict_all(frames))
    return without_faint(maker.model.avatar(graph_for(clip, maker.model, device)))


class _Mending:
    """Poses under way, judged by an avatar that stays."""

    def __init__(self, avatar: BoundAvatar, source: FrameSource) -> None:
        self.avatar, self.source = avatar, source
        self.device = avatar.gaussians.means.device
        self.body = deepcopy(source.body).to(self.device)
        self.shaped = avatar.betas.to(source.capture.poses.betas)
        self._poses = source.capture.poses
        self.better: set[int] = set()
        others = [c for c in range(len(source.capture.cameras)) if c not in source.cameras]
        spread = tuple(others[i] for i in even_frames(0, len(others), _JUDGES)) if others else ()
        self.judges = spread or source.cameras

    @property
    def poses(self) -> BodyPose:
        """Of all frames; with the avatar's shape, if any of them is mended."""
        return replace(self._poses, betas=self.shaped) if self.better else self.source.capture.poses

    def take(self, frames: Sequence[int], mended: BodyPose) -> None:
        """Keep those of some frames' mended poses that lie better than the ones that were given."""
        rows = list(frames)
        given = self.source.capture.poses[rows]
        finite = torch.cat([mended.global_orient, mended.body_pose, mended.transl], 1).isfinite().all(1)
        for row, frame in enumerate(rows):
            if not finite[row]:
                continue
            pair = _pair(given[[row]], mended[[row]])
            before, after = self.errors(frame, pair, self.judges)
            if after < before:
                self._poses = self._poses.put([frame], replace(mended[[row]], betas=self._poses.betas))
                self.better.add(frame)

    def starts(self, frames: Sequence[int]) -> BodyPose:
        """The poses that were given; of some frames with their neighbours' corrections, where that is better."""
        poses = self.source.capture.poses
        for frame in frames:
            moved = self._corrected(frame)
            if moved is None:
                continue
            before, after = self.errors(frame, _pair(poses[[frame]], moved), self.source.cameras)
            if after < before:
                poses = poses.put([frame], replace(moved, betas=poses.betas))
        return poses

    def _corrected(self, frame: int) -> BodyPose | None:
        """A frame's given pose with the corrections of the mended frames before and behind, by their nearness."""
        around = [max((f for f in self.better if f < frame), default=None)]
        around += [min((f for f in self.better if f > frame), default=None)]
        near = [f for f in around if f is not None]
        if not near:
            return None
        distances = torch.tensor([abs(f - frame) for f in near], dtype=torch.float32)
        weights = (1 / distances) / (1 / distances).sum()
        given, now = self.source.capture.poses, self._poses
        changed = {
            name: getattr(given, name)[[frame]]
            + (weights[:, None] * (getattr(now, name)[near] - getattr(given, name)[near])).sum(0, keepdim=True)
            for name in ("global_orient", "body_pose", "transl")
        }
        return replace(given[[frame]], **changed)

    @torch.no_grad()
    def errors(self, frame: int, poses: BodyPose, cameras: Sequence[int]) -> Tensor:
        """Squared error of colours and mask of a frame in K poses, mean over the pixels of some cameras. [K]"""
        views, rgb, alpha = load_target(self.source.capture, Target(frame, tuple(cameras)))
        out = render(self.avatar.repose(self.body, poses.to(self.device)), views.to(self.device))
        error = (out.rgb.clamp(0, 1) - rgb.to(self.device)).square().mean(-1, keepdim=True)
        return (error + (out.alpha - alpha.to(self.device)).square()).flatten(1).mean(1)


def _pair(first: BodyPose, second: BodyPose) -> BodyPose:
    """Two poses of one frame each as two frames; the face is the first one's."""
    names = ("global_orient", "body_pose", "transl")
    both = {name: torch.cat([getattr(pose, name) for pose in (first, second)]) for name in names}
    return replace(first, **both, expression=None if first.expression is None else first.expression[[0, 0]])
