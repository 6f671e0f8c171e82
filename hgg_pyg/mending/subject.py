"""One subject's poses: an avatar and some poses fitted together, then every other frame's pose to that avatar."""

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

    Of T evenly spread frames an avatar is made in one forward pass and refined together with their poses and the shape.
    Every other frame's pose is then fitted to that avatar: from the pose that was given, or from it with the
    corrections of the nearest mended frames, whichever looks more like the images. A frame keeps the pose that was
    given where the mended one lies no better: on images of cameras that no fit has seen, if there are such.

    Args:
        maker: makes the avatar.
        source: the subject.
        config: for how long.
        done: called with how many frames are done, once and again.

    Raises:
        UserError: a file is broken, or no frame can be used.
    """
    source = source.usable()
    capture = source.capture
    if not capture.frames:
        reasons = "; ".join(map(str, source.left_out))
        raise UserError(f"{capture.root}: expected a frame that can be used, found none: {reasons}")
    first = even_frames(0, len(capture.frames), maker.frames)
    fit = RefineConfig(seconds=config.seconds, shape=config.shape, seed=config.seed)
    refined = refine(make_bound(maker, source, first), source, first, fit)
    mending = _Mending(refined.avatar, source)
    mending.take(first, refined.poses)
    done(len(first))
    others = [frame for frame in range(len(capture.frames)) if frame not in first]
    for begin in range(0, len(others), _TOGETHER):
        chunk = others[begin : begin + _TOGETHER]
        started = replace(source, capture=capture.with_poses(mending.starts(chunk)), stored=None)
        short = replace(fit, seconds=config.seconds_per_frame * len(chunk))
        mending.take(chunk, mend_poses(refined.avatar, started, chunk, short))
        done(len(chunk))
    poses = mending.poses if mending.better else capture.poses
    names = tuple(capture.camera_names[camera] for camera in mending.judges)
    return Mended(source, poses, tuple(sorted(mending.better)), names, mending.judges == source.cameras)


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
        given = source.capture.poses
        self.poses = replace(given, betas=avatar.betas.to(given.betas))
        self.better: set[int] = set()
        others = [c for c in range(len(source.capture.cameras)) if c not in source.cameras]
        spread = tuple(others[i] for i in even_frames(0, len(others), _JUDGES)) if others else ()
        self.judges = spread or source.cameras

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
                self.poses = self.poses.put([frame], replace(mended[[row]], betas=self.poses.betas))
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
        given, now = self.source.capture.poses, self.poses
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
