"""Landmarks and masks to the body's shape and motion, all frames at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.fit.anchors import make_anchors
from hgg_pyg.prepare.fit.config import FitConfig
from hgg_pyg.prepare.fit.energy import FIRST_TAIL, TAIL, Energy, images_of
from hgg_pyg.prepare.fit.figure import Figure
from hgg_pyg.prepare.fit.joints import JointPrior
from hgg_pyg.prepare.fit.silhouettes import MaskReader, Skin, cut_squares
from hgg_pyg.prepare.fit.start import lay_trunk
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.types import BodyPose

_MASK_PACE = 0.3  # steps towards the masks are this much smaller: the landmarks have brought the body near
_OFFSETS_FROM = 0.4  # share of the steps after which landmarks' offsets are free, or they would go with the arms
Progress = Callable[[int, int], object]  # steps done, of how many


@dataclass(frozen=True)
class Fit:
    """A body that was fitted."""

    pose: BodyPose  # F frames
    names: tuple[str, ...]  # A landmarks that have a place on the body
    anchors: np.ndarray  # [F, A, 3] metres, where the landmarks should be by it
    distances: np.ndarray  # [F, A] metres from these to the landmarks in space, NaN where they are not known
    offsets: np.ndarray  # [A, 3] metres at rest, from the body's places for landmarks to where the network sees them


def fit_body(
    body: BodyModel,
    landmarks: LandmarkSet,
    points3d: np.ndarray,
    points2d: np.ndarray | None,
    calibration: Calibration,
    masks: MaskReader | None,
    times: np.ndarray,
    config: FitConfig | None = None,
    progress: Progress = lambda done, total: None,
) -> Fit:
    """Find shape, pose and translation of a body in F frames: the most probable ones, as `Energy` says.

    First towards the landmarks; their influence at first has no bound, as arms of the unposed body are half a metre
    from where they belong, and then falls for those that do not fit. Then towards the masks as well, some images at a
    time.

    Args:
        body: of any kind.
        landmarks: what the J points are.
        points3d: [F, J, 3] metres, in the world of the cameras, NaN where not known.
        points2d: [F, V, J, 3] x and y in pixels of the filed images, weight in 0..1; NaN or weight 0 where not known.
            None: only those in space are compared.
        calibration: V cameras; K in pixels of the filed images.
        masks: of frame and camera by position, [H, W] uint8 as filed, None where there is none; or no masks at all.
        times: [F] seconds.
        config: what is expected.
        progress: told how far it is.

    Raises:
        UserError: no frame shows the trunk.
    """
    config = config or FitConfig()
    anchors, prior = make_anchors(body, landmarks), JointPrior(body)
    target = torch.from_numpy(points3d[:, anchors.columns.numpy()]).float()
    root = body.rest_joints(torch.zeros(1))[0].numpy()
    orient, transl = lay_trunk((anchors.regressor @ body.v_template).numpy(), target.numpy(), anchors.names, root)
    figure = Figure(body, anchors, prior, torch.from_numpy(orient).float(), torch.from_numpy(transl).float())
    images = None if points2d is None else images_of(points2d[:, :, anchors.columns.numpy()], calibration)
    energy = Energy(figure, prior, target, images, times, config)
    mask_steps = 0 if masks is None else config.steps_towards_masks(len(points3d) * len(calibration.names))
    total = config.steps + mask_steps

    def towards_landmarks(step: int) -> Tensor:
        energy.tail = TAIL * (FIRST_TAIL / TAIL) ** max(0.0, 1 - 2 * step / config.steps)
        figure.offsets.requires_grad_(step > _OFFSETS_FROM * config.steps)
        return energy.of_landmarks(figure())

    descend(figure, towards_landmarks, config.steps, lambda step: progress(step, total))
    energy.tail = TAIL
    figure.offsets.requires_grad_(True)
    squares = None
    if masks is not None and mask_steps:
        squares = cut_squares(masks, calibration, figure.transl.detach().numpy() + root, config.mask_size)
    if squares is not None:
        skin, order = Skin(body), torch.Generator().manual_seed(0)

        def towards_both(step: int) -> Tensor:
            chosen = torch.randperm(len(squares.frames), generator=order)[: config.mask_batch]
            posed = figure()
            return energy.of_landmarks(posed) + energy.of_masks(posed, skin, squares, chosen)

        descend(figure, towards_both, mask_steps, lambda step: progress(config.steps + step, total), _MASK_PACE)
    with torch.no_grad():
        found = figure().anchors
    return Fit(
        pose=figure.pose(),
        names=anchors.names,
        anchors=found.numpy(),
        distances=(found - target).norm(dim=-1).numpy(),
        offsets=figure.anchor_offsets().detach().numpy(),
    )


def descend(
    figure: Figure, energy: Callable[[int], Tensor], steps: int, told: Callable[[int], object], pace: float = 1.0
) -> None:
    """Adam on all that is unknown of a figure, with a step that falls to a thirtieth along a cosine.

    Args:
        figure: what is changed.
        energy: of a step by its number, to be lowered.
        steps: how many.
        told: after each, how many are done.
        pace: factor of all steps.
    """
    rates = {"betas": 0.03, "turn": 0.02, "bends": 0.03, "transl": 0.01, "offsets": 0.002}
    groups = [{"params": [getattr(figure, name)], "lr": pace * rate} for name, rate in rates.items()]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 / 30 + (1 - 1 / 30) * 0.5 * (1 + np.cos(np.pi * min(step / max(steps, 1), 1)))
    )
    for step in range(steps):
        optimizer.zero_grad()
        energy(step).backward()
        optimizer.step()
        schedule.step()
        told(step + 1)
