"""From a capture to an avatar in one forward pass, and a fit if asked: what `python -m hgg_pyg.avatar` does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.avatar import Avatar, BoundAvatar, Seen
from hgg_pyg.avatar.upright import upright_motion
from hgg_pyg.backbones import Backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.data.choosing import EVEN, choose_frames, looks_of, say_of_one_camera
from hgg_pyg.data.clip_input import graph_of
from hgg_pyg.data.clips import Target, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import mended_source, with_poses
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.refine import RefineConfig, refine_pass
from hgg_pyg.render import render
from hgg_pyg.types import UserError

CAPTURED = "captured"  # the motion of the capture itself
_FAINTEST = 1 / 255  # what is less opaque is never drawn
_MOST_MOTION = 100_000  # frames of a capture's own motion that are kept: an hour of video
_URLS = {24: "https://smpl.is.tue.mpg.de/modellicense.html", 55: "https://smpl-x.is.tue.mpg.de/modellicense.html"}

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class Maker:
    """A network with what it expects of its input; captures are turned into avatars one after the other."""

    model: HGGNet | DirectBinding  # in evaluation mode, on its device
    spec: GraphSpec
    backbone: Backbone
    body: BodyModel
    frames: int  # T, how many are joined
    name: str  # of the weights, for people
    refine: RefineConfig | None = None  # a fit after the forward pass; none if None
    choose: str = EVEN  # which T frames

    def frames_of(self, source: FrameSource) -> tuple[int, ...]:
        """The T frames, by position, of which a capture's avatar is made; the first is t0."""
        return choose_frames(source.capture, source.cameras, len(source.capture.frames), self.frames, self.choose)

    @torch.no_grad()
    def make(self, source: FrameSource, fps: float) -> Made:
        """The avatar of a capture, of T of its frames.

        Args:
            source: the capture and which of its cameras are input.
            fps: frames per second of the capture, for its own motion.

        Raises:
            UserError: a file is broken, a pose is not finite, or no frame shows the person.
        """
        source = source.usable()
        capture = source.capture
        if not capture.frames:
            reasons = "; ".join(map(str, source.left_out))
            raise UserError(f"{capture.root}: expected a frame that can be used, found none: {reasons}")
        frames = self.frames_of(source)
        if len(source.cameras) == 1:
            log.info("%s: %s", capture.name, say_of_one_camera([looks_of(capture, source.cameras)[list(frames)]]))
        source = mended_source(source, frames, self.model)
        capture = source.capture
        graph = self._graph(source, frames)
        bound = without_faint(self.model.avatar(graph))
        if not self.spec.is_papers:
            graph = graph_of(source, frames[:1], self.spec.direct(), DirectBinding())
        direct = without_faint(DirectBinding().avatar(graph))
        scores = [input_psnr(direct.to("cpu"), source, frames)]
        about: dict[str, str] = {}
        if self.refine is not None:
            again = partial(self.bound, frames=frames)
            refined = refine_pass(bound, again, source, frames, self.refine, not self.model.mend, progress=True)
            bound, source = without_faint(refined.avatar), with_poses(source, frames, refined.poses)
            about["refined"] = f"{refined.steps} steps in {refined.seconds:.1f} s, {refined.stopped}"
        bound = bound.to("cpu")
        about = {**self._about(source, frames, bound), **about}
        avatar = bound.rig(self.body, seen_of(source, frames), about=about)
        motion = upright_motion(CAPTURED, fps, capture.poses[:_MOST_MOTION], avatar.skeleton)
        scores.append(input_psnr(bound, source, frames))
        return Made(replace(avatar, motions=(motion,)), *scores)

    @torch.no_grad()
    def bound(self, source: FrameSource, frames: Sequence[int]) -> BoundAvatar:
        """The avatar of one forward pass over some frames (by position), by the poses that the source has.

        Raises:
            UserError: a file is broken, or a frame does not show the person.
        """
        return without_faint(self.model.avatar(self._graph(source, frames)))

    def _graph(self, source: FrameSource, frames: Sequence[int]) -> HeteroData:
        device = next((weight.device for weight in self.model.parameters()), torch.device("cpu"))
        return graph_of(source, frames, self.spec, self.model, device)

    def _about(self, source: FrameSource, frames: Sequence[int], bound: BoundAvatar) -> Mapping[str, str]:
        capture, body = source.capture, self.body
        width, height = capture.size()
        about = {
            "made by": "hgg_pyg",
            "weights": self.name,
            "capture": capture.name,
            "layout": capture.layout,
            "frames": ", ".join(str(capture.frames[frame]) for frame in frames),
            "cameras": ", ".join(source.views),
            "images": f"{width}x{height} pixels",
            "body": body.name if body.is_open else f"a licensed body of {body.num_joints} joints",
            "licence": _licence(body),
        }
        far = 1000 * bound.dropped(body, capture.poses[list(frames)])
        if far.max() > 0:
            how_far = f"by {float(far.mean()):.1f} mm in the mean, {float(far.max()):.0f} mm at most"
            about["dropped"] = f"pose blend shapes, which move Gaussians {how_far}"
            log.info("left out of the avatar: %s", about["dropped"])
        return about


@dataclass(frozen=True)
class Made:
    """An avatar, and how near it comes to the input images of the frames that it is not made of."""

    avatar: Avatar
    direct_psnr: float  # dB, of direct binding
    psnr: float  # dB, its own


def _licence(body: BodyModel) -> str:
    """Under which licence the skeleton and the weights on it are."""
    if body.is_open:
        return "skeleton and weights on joints: of the open body that comes with hgg_pyg, CC0 1.0"
    terms = _URLS.get(body.num_joints, "see its terms")
    return f"skeleton and weights on joints: of a body model whose licence is non-commercial, {terms}"


def without_faint(bound: BoundAvatar) -> BoundAvatar:
    """Without the Gaussians that are too faint ever to be drawn: the images stay the same to the bit."""
    kept = bound.gaussians.opacities >= _FAINTEST
    return replace(bound, gaussians=bound.gaussians[kept], binding=bound.binding[kept])


def seen_of(source: FrameSource, frames: Sequence[int]) -> Seen:
    """From where the input cameras see the person: medians over cameras and frames."""
    capture, cameras = source.capture, list(source.cameras)
    places = source.body.pose(capture.poses[list(frames)]).vertices.mean(1)
    depths, focals = [], []
    for frame, place in zip(frames, places, strict=True):
        views = capture.views(frame, cameras)
        depths.append((views.viewmats[:, 2, :3] @ place + views.viewmats[:, 2, 3]).clamp_min(1e-3))
        focals.append((views.Ks[:, 0, 0] * views.Ks[:, 1, 1]).sqrt())
    depth, focal = torch.cat(depths), torch.cat(focals)
    distance = float(depth.median())
    return Seen(float((focal / depth).median()) * distance, distance)


@torch.no_grad()
def input_psnr(avatar: BoundAvatar, source: FrameSource, frames: Sequence[int]) -> float:
    """PSNR of the input images, dB, mean over them; without those of the first frame, which the avatar is made of."""
    scores = []
    for frame in frames[1:] or frames:
        cameras, rgb, _ = load_target(source.capture, Target(frame, source.cameras))
        posed = avatar.repose(source.body, source.capture.poses[[frame]])
        scores.append(psnr(render(posed[0], cameras).rgb, rgb))
    return float(torch.cat(scores).mean())
