"""Training the Human Gaussian Graph: clips in, the loss of Section 3.4 out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch_geometric.data import HeteroData

from hgg_pyg.backbones import Backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.data.choosing import EVEN, looks_of
from hgg_pyg.data.clip_input import ClipInput, graph_for, load_clip
from hgg_pyg.data.clips import ClipPlan, clip_graph, input_range, load_target, sample_clip
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import with_poses
from hgg_pyg.data.people import frames_with_person
from hgg_pyg.data.pose_images import load_pose_images
from hgg_pyg.data.pose_noise import draw_noise
from hgg_pyg.data.protocols import PROTOCOLS
from hgg_pyg.data.variety import vary
from hgg_pyg.evaluation.evaluator import LEAN, evaluate
from hgg_pyg.evaluation.lpips import LPIPS
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.model.direct_binding import as_avatar
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.model.poses.stance import Stance
from hgg_pyg.render import render
from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.training.losses import pose_loss, rendering_loss
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.training.starting import freeze_all_but_poses, start_from
from hgg_pyg.types import BodyPose, Cameras, Gaussians, UserError

_VALIDATION_VIEWS = 12


@dataclass(frozen=True)
class Untold:
    """A clip whose poses are to be corrected before there is a graph."""

    source: FrameSource  # with poses as they are given
    plan: ClipPlan
    images: PoseImages  # of the T input frames
    truth: BodyPose  # T


@dataclass(frozen=True)
class LoadedClip:
    """A clip in memory."""

    input: ClipInput | Untold
    poses: BodyPose  # [T] of the frames that the avatar is compared with
    cameras: Cameras  # [T, V]
    rgb: Tensor  # [T, V, H, W, 3] on white
    alpha: Tensor  # [T, V, H, W, 1]

    @property
    def told(self) -> ClipInput:
        """The input of a network that corrects no poses.

        Raises:
            ValueError: poses are to be corrected first.
        """
        if isinstance(self.input, Untold):
            raise ValueError("expected a network with mend 0, found one that corrects poses before there is a graph")
        return self.input


@contextmanager
def fitting() -> Iterator[None]:
    """Say in one line that a conv, a relation or a network of the user's does not fit.

    Raises:
        UserError: what was said of it, or that there is no memory for it.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise UserError(f"model: expected a network that fits into memory ({str(error).splitlines()[0]})") from error


def try_network(config: TrainConfig, body: BodyModel, backbone: Backbone) -> None:
    """Make a run's network for a frame of five Gaussians on the body at rest, before any work is done for it.

    Raises:
        UserError: a conv or a relation does not fit, or the network does not fit into memory.
    """
    one, few = torch.zeros(1, 3), torch.ones(5)
    pose = BodyPose(torch.zeros(body.shapedirs.shape[-1]), one, torch.zeros(1, 3 * (body.num_joints - 1)), one)
    posed = body.pose(pose)
    gaussians = Gaussians(
        means=posed.vertices[0, :5],
        quats=torch.eye(4)[:1].expand(5, 4),
        scales=0.01 * few[:, None].expand(5, 3),
        opacities=few,
        colors=few[:, None].expand(5, 3),
        features=torch.zeros(5, backbone.feature_dim),
    )
    with fitting():
        graph = clip_graph([gaussians], posed, body.faces, pose.betas, config.graph)
        HGGNet(config.model.for_graph(graph, body.num_joints))


class Trainer(TrainingLoop[LoadedClip]):
    """Trains a model on the captures of `train`, looking at one subject of `val` now and then.

    Args:
        config: the run.
        accelerator: devices, processes and precision.
        train: training captures.
        val: validation captures; the first is looked at.
        limit_frames: train only on frames that may be input, because test subjects are among the captures.
        lpips: the perceptual term of the loss, or None to go without.
    """

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        train: Sequence[FrameSource],
        val: Sequence[FrameSource],
        limit_frames: bool = False,
        lpips: LPIPS | None = None,
    ) -> None:
        self.config = config
        self.train_sources, self.val_sources = train, val
        self.limit_frames = limit_frames
        self.body = train[0].body.on(accelerator.device)
        self.lpips = None if lpips is None else lpips.to(accelerator.device)
        torch.manual_seed(config.seed)
        settings = config.model.for_graph(self._some_graph(), self.body.num_joints)
        model = HGGNet(settings)
        if config.start is not None:
            start_from(model, config.start)
        if not config.loss.rendering:
            freeze_all_but_poses(model)
        super().__init__(config, accelerator, model, unit="clip")

    def _some_graph(self) -> HeteroData:
        """The smallest graph of a training subject: it has the features, vertices and relations of all."""
        return load_clip(self.train_sources[0], [0], self.config.graph).graph

    @property
    def network(self) -> HGGNet:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    def load(self, rng: np.random.Generator) -> LoadedClip:
        """A clip of a random subject."""
        source, plan, gaussians, truth = self._draw(rng)
        capture = source.capture
        targets = plan.targets if self.config.loss.rendering else plan.targets[:1]  # which nothing is compared with
        views, rgb, alpha = zip(*(load_target(capture, target) for target in targets), strict=True)
        frames = list(plan.frames)
        return LoadedClip(
            Untold(source, plan, load_pose_images(source, frames), truth[frames])
            if self.config.model.mend
            else self._input(source, plan, gaussians),
            truth[[target.frame for target in targets]],
            Cameras.stack(views),
            torch.stack(rgb),
            torch.stack(alpha),
        )

    def _input(self, source: FrameSource, plan: ClipPlan, gaussians: Sequence[Gaussians] | None) -> ClipInput:
        config = self.config
        return load_clip(source, plan.frames, config.graph, plan.ref_frame, config.model.feedback, gaussians)

    def _draw(self, rng: np.random.Generator) -> tuple[FrameSource, ClipPlan, Sequence[Gaussians] | None, BodyPose]:
        """A capture with poses that are off, a clip of it, Gaussians that are not to come from the cache, true poses.

        A varied clip whose few cameras do not see the person in some frame is drawn again. Gaussians are None where
        they come from the cache, or where poses are to be corrected first.
        """
        source = self.train_sources[int(rng.integers(len(self.train_sources)))]
        even = PROTOCOLS[self.config.protocol].even_clips
        clip = self.config.clip
        while True:
            seen = source
            if self.config.variety:
                seen, clip = vary(source, self.config.clip, self.config.variety, rng)
            capture = seen.capture
            frames = input_range(capture) if self.limit_frames else len(capture.frames)
            looks = None if clip.choose == EVEN else looks_of(capture, seen.cameras, frames)
            plan = sample_clip(frames, len(capture.cameras), seen.cameras, clip, rng, even, looks)
            truth = capture.poses
            if clip.pose_noise:
                rows = list(plan.frames)
                off = draw_noise(clip.pose_noise, rng)(truth[rows], rng)
                seen = with_poses(seen, rows, off)
            if not self.config.variety and not clip.pose_noise:
                return seen, plan, None, truth
            if self.config.model.mend:  # Gaussians are made by the corrected poses
                if len(frames_with_person(seen.capture, seen.cameras, seen.body, plan.frames)) == len(plan.frames):
                    return seen, plan, None, truth
                continue
            gaussians = seen.predict_all(plan.frames)
            if all(map(len, gaussians)):
                return seen, plan, gaussians, truth

    def loss(self, item: LoadedClip) -> tuple[Tensor, Tensor]:
        """The loss of one clip and the PSNR of its images, means over its targets; NaN where none is drawn."""
        device, config = self.accelerator.device, self.config.loss
        mending, known = None, item.input
        if isinstance(known, Untold):
            mending, known = self._mend(known)
            if known is None:
                return config.pose * mending, mending.new_tensor(torch.nan)  # no image is drawn
        graph = graph_for(known, self.config.model, device)
        avatar = as_avatar(self.model(graph), graph)
        rgb, alpha = item.rgb.to(device).flatten(0, 1), item.alpha.to(device).flatten(0, 1)
        rendered = render(avatar.repose(self.body, item.poses.to(device)), item.cameras.to(device))
        rendered = rendered.map(lambda images: images.flatten(0, 1))
        loss = config.rendering * rendering_loss(rendered, rgb, alpha, config, self.lpips)
        if mending is not None:
            loss = loss + config.pose * mending
        return loss, psnr(rendered.rgb.detach(), rgb).mean()

    def _mend(self, item: Untold) -> tuple[Tensor, ClipInput | None]:
        """How far corrected bodies are from true ones, and the clip by corrected poses, if it is wanted."""
        device, source, plan = self.accelerator.device, item.source, item.plan
        given = source.capture.poses[list(plan.frames)].to(device)
        mended = self.model(None, (self.body, given, item.images.to(device)))
        loss = pose_loss(mended, Stance.of(self.body, item.truth.to(device)))
        if not self.config.loss.rendering:
            return loss, None
        source = with_poses(source, plan.frames, mended.poses.detach().to("cpu"))
        gaussians = source.predict_all(plan.frames)
        return loss, self._input(source, plan, gaussians)

    def validate(self) -> float | None:
        """Novel-pose PSNR of a validation subject, dB; None where there are no images, or on another process."""
        if not self.val_sources or not self.accelerator.is_main_process:
            return None
        report = evaluate(
            self.network,
            self.val_sources[:1],
            self.config.graph,
            self.config.clip.frames,
            limit=_VALIDATION_VIEWS,
            extras=LEAN,
            choose=self.config.clip.choose,
        )
        return report.mean("novel pose", "ours", "psnr") if "novel pose" in report.tasks else None
