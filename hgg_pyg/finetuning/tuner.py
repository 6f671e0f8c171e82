"""Fine-tuning LGM: four views of one frame in, its Gaussians rendered from cameras that it was not shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from accelerate import Accelerator
from scipy.spatial import KDTree
from torch import Tensor

from hgg_pyg.backbones.lgm.anchors import anchors_for
from hgg_pyg.backbones.lgm.augment import AugmentConfig, augment
from hgg_pyg.backbones.lgm.cameras import crop_cameras, crop_images, lgm_frame, network_input
from hgg_pyg.backbones.lgm.network import LGM, VIEWS, Predicted
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture, LeftOut
from hgg_pyg.data.people import NOBODY, frames_with_person, read_masks, shows_person
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.evaluation.lpips import LPIPS
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.render import render
from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.training.losses import rendering_loss
from hgg_pyg.types import Cameras, Gaussians, RenderOutput, UserError

_OPAQUE = 9000 / 65536  # share of the Gaussians that the surface term looks at, as in the paper's release
_REACH = 0.1  # of LGM's units, where the surface term is its weight

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class CameraSplit:
    """A capture with its input cameras and the others, by position."""

    capture: Capture
    inputs: tuple[int, ...]
    others: tuple[int, ...]

    @staticmethod
    def of(capture: Capture) -> CameraSplit:
        """Front, left, back and right are input; where there are no other cameras, they are rendered as well."""
        inputs = spread_cameras(capture, VIEWS)
        others = tuple(c for c in range(len(capture.cameras)) if c not in inputs)
        return CameraSplit(capture, inputs, others or inputs)

    def usable(self, body: BodyModel) -> CameraSplit:
        """The same without the frames that show nobody, by their masks; the log says which. There may be none left."""
        seen = frames_with_person(self.capture, self.inputs, body)
        lost = [number for i, number in enumerate(self.capture.frames) if i not in set(seen)]
        if not lost:
            return self
        say_left_out(self.capture, lost)
        return replace(self, capture=self.capture.select(seen))


def say_left_out(capture: Capture, numbers: Sequence[int]) -> None:
    """Log how many frames are left out because nobody is in them, and which."""
    log.info("%s: %s", capture.name, LeftOut("frame", tuple(map(str, numbers)), NOBODY))


@dataclass(frozen=True)
class Views:
    """B frames as LGM sees them, everything over LGM's frame; T cameras to render each from."""

    inputs: Tensor  # [B, 4, 9, S, S]
    anchors: Tensor | None  # [B, M, 3]
    cameras: Cameras  # B x T
    rgb: Tensor  # [B, T, h, h, 3] on white
    alpha: Tensor  # [B, T, h, h, 1]
    vertices: Tensor  # [B, N, 3]


class ViewLoader:
    """Reads frames of captures as LGM sees them, cut out around the person."""

    def __init__(self, config: FinetuneConfig, network: LGM, body: BodyModel) -> None:
        self.config, self.network, self.body = config, network, body

    def read(
        self,
        subject: CameraSplit,
        frame: int,
        targets: Sequence[int],
        augmentation: AugmentConfig | None = None,
        rng: np.random.Generator | None = None,
    ) -> Views | None:
        """A frame and the cameras that it is to be rendered from, all by position; None if it shows nobody."""
        capture, size = subject.capture, self.config.size
        vertices = self.body.pose(capture.poses[[frame]]).vertices[0]
        cameras = capture.views(frame, subject.inputs)
        input_masks = read_masks(capture, frame, subject.inputs)
        if not shows_person(input_masks, vertices, cameras):
            return None
        placed = lgm_frame(vertices, cameras)

        def cut(chosen: Sequence[int], masks: Tensor, side: int) -> tuple[Cameras, Tensor, Tensor]:
            images = torch.from_numpy(np.stack([capture.image(frame, c) for c in chosen]))
            whole = capture.views(frame, chosen)
            crops = crop_cameras(whole, placed, side)
            shown, alpha = crop_images(images, masks, whole, crops)
            return placed.cameras_to_lgm(crops), shown, alpha

        seen, shown, _ = cut(subject.inputs, input_masks, size)
        if augmentation is not None and rng is not None:
            shown, seen = augment(shown, seen, augmentation, rng)
        render_from, rgb, alpha = cut(targets, read_masks(capture, frame, targets), self.config.target_size)
        return Views(
            inputs=network_input(shown, seen)[None],
            anchors=anchors_for(self.network, cameras, placed, size, vertices, self.body.faces),
            cameras=Cameras(render_from.viewmats[None], render_from.Ks[None], render_from.width, render_from.height),
            rgb=rgb[None],
            alpha=alpha[None, ..., None],
            vertices=placed.points_to_lgm(vertices)[None],
        )


def stack(parts: Sequence[Views]) -> Views:
    """Frames of as many subjects in one batch."""
    cameras = [part.cameras for part in parts]
    anchors = [part.anchors for part in parts if part.anchors is not None]
    return Views(
        inputs=torch.cat([part.inputs for part in parts]),
        anchors=torch.cat(anchors) if anchors else None,
        cameras=Cameras(
            torch.cat([c.viewmats for c in cameras]),
            torch.cat([c.Ks for c in cameras]),
            cameras[0].width,
            cameras[0].height,
        ),
        rgb=torch.cat([part.rgb for part in parts]),
        alpha=torch.cat([part.alpha for part in parts]),
        vertices=torch.cat([part.vertices for part in parts]),
    )


def render_views(network: torch.nn.Module, views: Views, device: torch.device) -> tuple[Predicted, RenderOutput]:
    """What the network says of the frames, and how that looks from their cameras."""
    anchors = None if views.anchors is None else views.anchors.to(device)
    predicted: Predicted = network(views.inputs.to(device), anchors)
    gaussians = Gaussians(predicted.means, predicted.quats, predicted.scales, predicted.opacities, predicted.colors)
    return predicted, render(gaussians, views.cameras.to(device))


def surface_distance(predicted: Predicted, vertices: Tensor) -> Tensor:
    """Mean of (d / 0.1)^3, d from an opaque Gaussian to the nearest vertex in LGM's units, as in the paper's release.

    Args:
        predicted: [B, M]; the 9,000 in 65,536 of highest opacity count.
        vertices: [B, N, 3]
    """
    chosen = predicted.opacities.topk(max(1, round(_OPAQUE * predicted.opacities.shape[1])), dim=1).indices
    points = predicted.means.gather(1, chosen[..., None].expand(-1, -1, 3))
    total = points.new_zeros(())
    for own, body in zip(points, vertices, strict=True):
        _, nearest = KDTree(body.cpu().numpy()).query(own.detach().cpu().numpy())
        distance = (own - body[torch.from_numpy(nearest).to(body.device)]).norm(dim=-1)
        total = total + (distance / _REACH).pow(3).mean()
    return total / len(points)


class Tuner(TrainingLoop[Views]):
    """Trains LGM on the captures of `train`, looking at a subject of `val` now and then.

    The loss is MSE(rgb) + alpha_1 LPIPS + alpha_2 MSE(alpha), and `surface` times `surface_distance`.

    Which training frames show nobody is known once their masks are read. Another is drawn in the place of each, so
    that every other frame is as likely as before; `empty` keeps them, by subject and position.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        accelerator: Accelerator,
        network: LGM,
        body: BodyModel,
        train: Sequence[Capture],
        val: Sequence[Capture],
        lpips: LPIPS | None = None,
    ) -> None:
        self.config = config
        self.train_subjects = [CameraSplit.of(capture) for capture in train]
        looked_at = (CameraSplit.of(capture).usable(body) for capture in val) if accelerator.is_main_process else ()
        self.val_subjects = list(islice((subject for subject in looked_at if subject.capture.frames), 1))
        self.loader = ViewLoader(config, network, body)
        self.empty: dict[int, set[int]] = {}
        self.lpips = None if lpips is None else lpips.to(accelerator.device)
        prepared = network.requires_grad_(True).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        super().__init__(config, accelerator, prepared, unit="batch")

    @property
    def network(self) -> LGM:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    def load(self, rng: np.random.Generator) -> Views:
        """Random frames of random subjects, rendered from as many input cameras as others."""
        parts = list(islice(self._draw(rng), self.config.batch))
        views = min(part.rgb.shape[1] for part in parts)  # captures may have few cameras
        return stack([_first(part, views) for part in parts])

    def _draw(self, rng: np.random.Generator) -> Iterator[Views]:
        """Random frames without end.

        Raises:
            UserError: all of them show nobody.
        """
        while sum(map(len, self.empty.values())) < sum(len(subject.capture.frames) for subject in self.train_subjects):
            number = int(rng.integers(len(self.train_subjects)))
            subject = self.train_subjects[number]
            others = rng.permutation(subject.others)[: self.config.target_views // 2]
            inputs = rng.permutation(subject.inputs)[: self.config.target_views - len(others)]
            frame = int(rng.integers(len(subject.capture.frames)))
            views = self.loader.read(subject, frame, [*inputs, *others], self.config.augment, rng)
            if views is None:
                self.empty.setdefault(number, set()).add(frame)
            else:
                yield views
        root = self.train_subjects[0].capture.root
        raise UserError(f"{root}: expected a frame that can be used in a training subject, found none: {NOBODY}")

    def say_what_was_left_out(self) -> None:
        """Log the frames that were drawn and showed nobody."""
        for number, frames in sorted(self.empty.items()):
            capture = self.train_subjects[number].capture
            say_left_out(capture, [capture.frames[frame] for frame in sorted(frames)])

    def loss(self, item: Views) -> tuple[Tensor, Tensor]:
        """The loss of a batch and the PSNR of its images."""
        device = self.accelerator.device
        predicted, rendered = render_views(self.model, item, device)
        rgb, alpha = item.rgb.to(device).flatten(0, 1), item.alpha.to(device).flatten(0, 1)
        flat = rendered.map(lambda images: images.flatten(0, 1))
        loss = rendering_loss(flat, rgb, alpha, self.config.loss, self.lpips)
        if self.config.surface:
            loss = loss + self.config.surface * surface_distance(predicted, item.vertices.to(device))
        return loss, psnr(flat.rgb.detach(), rgb).mean()

    @torch.no_grad()
    def validate(self) -> float | None:
        """PSNR of the validation subject's held-out cameras in its middle frame, dB."""
        if not self.val_subjects or not self.accelerator.is_main_process:
            return None
        subject = self.val_subjects[0]
        views = self.loader.read(subject, len(subject.capture.frames) // 2, subject.others)
        assert views is not None, "a frame that shows nobody is not among those of a validation subject"
        self.network.eval()
        _, rendered = render_views(self.network, views, self.accelerator.device)
        self.network.train()
        return float(psnr(rendered.rgb[0].cpu(), views.rgb[0]).mean())


def _first(views: Views, count: int) -> Views:
    cameras = views.cameras
    kept = Cameras(cameras.viewmats[:, :count], cameras.Ks[:, :count], cameras.width, cameras.height)
    return Views(views.inputs, views.anchors, kept, views.rgb[:, :count], views.alpha[:, :count], views.vertices)
