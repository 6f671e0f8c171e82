"""One subject: cameras put right, the bare body brought onto the masks, then an avatar onto the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clips import Target, even_frames, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import mended_source
from hgg_pyg.making import Maker
from hgg_pyg.mending.config import MendConfig
from hgg_pyg.refine import RefineConfig, mend_poses, refine
from hgg_pyg.refine.cameras import Placed, place_cameras
from hgg_pyg.refine.likeness import Colours, Likeness, Outlines, bare_body
from hgg_pyg.refine.poses import poses_by_masks
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, UserError

_TOGETHER = 8  # frames whose poses are fitted side by side: bounds the memory
_MASK_SHARE = 0.3  # of the seconds of a frame, for its masks alone
_MOST_PLACED, _FEWEST_PLACED = 24, 6  # frames by which cameras are put right
_PLACED_IMAGES = 512  # of these frames, about: bounds the memory
_CAMERAS_OF_SECONDS = 4  # that `camera_seconds` are for; more get as much more
_JUDGES = 4  # cameras that judge, of those that no fit looks through


@dataclass(frozen=True)
class Mended:
    """What became of a subject's poses."""

    source: FrameSource  # of the frames that can be used, with the poses that were given
    poses: BodyPose  # F, of the same frames, mended where that is better
    better: tuple[int, ...]  # positions of the frames whose poses are new
    judges: tuple[str, ...]  # names of the cameras that said which is better
    fitted: bool  # whether they are the cameras that the fit looked through, where there are no others
    placed: Placed | None  # cameras put right, or found to be right; None where that was not asked for or could not be

    @property
    def before(self) -> Capture:
        """With the poses that were given."""
        return self.source.capture

    @property
    def after(self) -> Capture:
        """With the mended ones, from cameras where they are."""
        capture = self.before if self.placed is None else self.placed.applied(self.before)
        return capture.with_poses(self.poses)


def mend_subject(
    maker: Maker, source: FrameSource, config: MendConfig, done: Callable[[int], object] = lambda frames: None
) -> Mended:
    """Mend the poses of all frames that can be used, and the shape.

    First the cameras are put right by the masks of up to 24 frames, with their poses and the shape, see
    `place_cameras`. Then poses are mended twice: every frame's pose is fitted to its masks by the bare body; then of T
    evenly spread frames an avatar is made in one forward pass and refined together with their poses and the shape, and
    every other frame's pose is fitted to that avatar: from the pose that it had, or from it with the corrections of the
    nearest mended frames, whichever looks more like the images. A frame keeps the pose that it had where the mended one
    lies no better: on images of cameras that neither of these two fits looks through, if there are such, and by the
    bare body on the masks as well. Cameras are put right by the masks of all of them.

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
    given, placed, right = source, _placed(source, config), ()
    if placed is not None and placed.changed:
        right, capture = placed.frames, placed.applied(capture)
        source = replace(source, capture=capture, stored=None)
    every, fit = range(len(capture.frames)), RefineConfig(steps=config.steps, shape=config.shape, seed=config.seed)
    by_masks = _Mending(bare_body(source.body, capture.poses.betas), source, Outlines())
    for chunk in _chunks(every):
        some = replace(fit, seconds=_MASK_SHARE * config.seconds_per_frame * len(chunk))
        by_masks.take(chunk, poses_by_masks(by_masks.started(chunk), chunk, some))
        done(len(chunk))
    nearer = replace(source, capture=capture.with_poses(by_masks.poses), stored=None)
    first = maker.frames_of(source)
    corrected = mended_source(nearer, first, maker.model)
    refined = refine(maker.bound(corrected, first), corrected, first, replace(fit, seconds=config.seconds))
    by_images = _Mending(refined.avatar, nearer, Colours())
    by_images.take(first, refined.poses)
    done(len(first))
    for chunk in _chunks([frame for frame in every if frame not in first]):
        some = replace(fit, seconds=(1 - _MASK_SHARE) * config.seconds_per_frame * len(chunk))
        by_images.take(chunk, mend_poses(refined.avatar, by_images.started(chunk), chunk, some))
        done(len(chunk))
    better = tuple(sorted(by_masks.better.union(by_images.better, right)))
    names = tuple(capture.camera_names[camera] for camera in by_images.judges)
    return Mended(given, by_images.poses, better, names, by_images.judges == source.cameras, placed)


def _placed(source: FrameSource, config: MendConfig) -> Placed | None:
    """Cameras put right by evenly spread frames; None where that is not wanted or cannot be."""
    capture = source.capture
    views = len(capture.cameras)
    if not config.cameras or views < 2:
        return None
    count = max(_FEWEST_PLACED, min(_MOST_PLACED, _PLACED_IMAGES // views))
    frames = list(even_frames(0, len(capture.frames), count))
    every = replace(source, capture=capture.select(frames), cameras=tuple(range(views)), stored=None).usable()
    seen = [capture.frames.index(number) for number in every.capture.frames]
    if not seen:
        return None
    pace = max(1.0, views / _CAMERAS_OF_SECONDS)
    fit = RefineConfig(seconds=pace * config.camera_seconds, steps=config.steps, shape=config.shape, seed=config.seed)
    return place_cameras(source, seen, fit)


def _chunks(frames: Sequence[int]) -> list[list[int]]:
    return [list(frames[begin : begin + _TOGETHER]) for begin in range(0, len(frames), _TOGETHER)]


class _Mending:
    """Poses under way, judged by an avatar that stays."""

    def __init__(self, avatar: BoundAvatar, source: FrameSource, likeness: Likeness) -> None:
        self.avatar, self.source, self.likeness = avatar, source, likeness
        self.device = avatar.gaussians.means.device
        self.body = source.body.on(self.device)
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
            if after < before and self._lies_no_worse(frame, pair):
                self._poses = self._poses.put([frame], replace(mended[[row]], betas=self._poses.betas))
                self.better.add(frame)

    def _lies_no_worse(self, frame: int, pair: BodyPose) -> bool:
        """Whether the bare body, too, fits into the masks at least as well: an avatar may have drifted off its body."""
        given = self.source.capture.poses.betas.to(self.device)
        bare = [bare_body(self.body, betas) for betas in (given, self.avatar.betas)]
        every = (*self.source.cameras, *self.judges)
        before, after = (self.errors(frame, pair[[i]], every, bare[i], Outlines())[0] for i in (0, 1))
        return after <= before

    def started(self, frames: Sequence[int]) -> FrameSource:
        """The source with the poses that were given; of some frames with their neighbours' corrections, if better."""
        poses = self.source.capture.poses
        for frame in frames:
            moved = self._corrected(frame)
            if moved is None:
                continue
            before, after = self.errors(frame, _pair(poses[[frame]], moved), self.source.cameras)
            if after < before:
                poses = poses.put([frame], replace(moved, betas=poses.betas))
        return replace(self.source, capture=self.source.capture.with_poses(poses), stored=None)

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
    def errors(
        self,
        frame: int,
        poses: BodyPose,
        cameras: Sequence[int],
        avatar: BoundAvatar | None = None,
        likeness: Likeness | None = None,
    ) -> list[float]:
        """How unlike the images of some cameras an avatar, by default the one that judges, is in K poses. K"""
        avatar, likeness = avatar or self.avatar, likeness or self.likeness
        views, rgb, alpha = load_target(self.source.capture, Target(frame, tuple(cameras)))
        rgb, alpha = rgb.to(self.device), alpha.to(self.device)
        posed = avatar.repose(self.body, poses.to(self.device))
        drawn = [render(posed[row], views.to(self.device)) for row in range(len(poses))]
        return [float(likeness.error(images, rgb, alpha)) for images in drawn]


def _pair(first: BodyPose, second: BodyPose) -> BodyPose:
    """Two poses of one frame each as two frames; the face is the first one's."""
    names = ("global_orient", "body_pose", "transl")
    both = {name: torch.cat([getattr(pose, name) for pose in (first, second)]) for name in names}
    return replace(first, **both, expression=None if first.expression is None else first.expression[[0, 0]])
