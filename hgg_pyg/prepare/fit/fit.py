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
from hgg_pyg.prepare.fit.figure import Figure, Posed
from hgg_pyg.prepare.fit.joints import JointPrior
from hgg_pyg.prepare.fit.silhouettes import MaskReader, Skin, Squares, cut_squares
from hgg_pyg.prepare.fit.start import lay_trunk
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.types import BodyPose

_TAIL, _FIRST_TAIL = 3.0, 100.0

Progress = Callable[[int, int], object]  # steps done, of how many


@dataclass(frozen=True)
class Fit:
    """A body that was fitted."""

    pose: BodyPose  # F frames
    anchors: np.ndarray  # [F, A, 3] metres, where the landmarks should be by it
    names: tuple[str, ...]  # A
    distances: np.ndarray  # [F, A] metres between these and the landmarks in space, NaN where they are not known
    offsets: dict[str, tuple[float, float, float]]  # metres, of landmarks from the body's places for them


def fit_body(
    body: BodyModel,
    landmarks: LandmarkSet,
    points3d: np.ndarray,
    points2d: np.ndarray | None,
    calibration: Calibration,
    size: tuple[int, int],
    masks: MaskReader | None,
    times: np.ndarray,
    config: FitConfig,
    progress: Progress = lambda done, total: None,
) -> Fit:
    r"""Find shape, pose and translation of a body in F frames.

    The most probable ones under landmarks in space, then in the images, then under the masks, with priors:

    .. math:: E = \sum \rho(|x_{fvj} - \pi_v(X_{fj})| z / f \sigma_l) + \sum |S_{fv} - M_{fv}|^2 \ldots

    Args:
        body: of any kind.
        landmarks: what the J points are.
        points3d: [F, J, 3] metres, in the world of the cameras, NaN where not known.
        points2d: [F, V, J, 3] x and y in pixels of the images without distortion, weight in 0..1, NaN where not known;
            None: only those in space are given.
        calibration: V cameras.
        size: (width, height) of the images.
        masks: of frame and camera by position, [H, W] uint8 as filed, None where there is none; or none at all.
        times: [F] seconds.
        config: what is expected.
        progress: told how far it is.

    Raises:
        UserError: no frame shows the trunk.
    """
    anchors, prior = make_anchors(body, landmarks), JointPrior(body)
    target = torch.from_numpy(points3d[:, anchors.columns.numpy()]).float()
    rest = anchors.regressor @ body.v_template
    root = body.rest_joints(torch.zeros(1))[0].numpy()
    orient, transl = lay_trunk(rest.numpy(), target.numpy(), anchors.names, root)
    figure = Figure(body, anchors, prior, torch.from_numpy(orient).float(), torch.from_numpy(transl).float())
    energy = Energy(figure, prior, target, _images(points2d, anchors.columns, calibration, size), times, config)
    total = config.steps + config.mask_steps * (masks is not None)

    def towards_landmarks(step: int) -> Tensor:
        # At first everything pulls, however far it is: arms of the unposed body are half a metre from where they belong.
        energy.tail = _TAIL * (_FIRST_TAIL / _TAIL) ** max(0.0, 1 - 2 * step / config.steps)
        figure.offsets.requires_grad_(step > 0.4 * config.steps)  # or they would go with the arms
        return energy.of_landmarks(figure())

    _descend(figure, towards_landmarks, config.steps, lambda step: progress(step, total))
    energy.tail = _TAIL
    if masks is not None and config.mask_steps:
        middles = figure.transl.detach().numpy() + root
        squares = cut_squares(masks, calibration, size, middles, config.mask_size)
        if len(squares.frames):
            skin = Skin(body)
            order = torch.Generator().manual_seed(0)

            def both(step: int) -> Tensor:
                chosen = torch.randperm(len(squares.frames), generator=order)[: config.mask_batch]
                posed = figure()
                return energy.of_landmarks(posed) + energy.of_masks(posed, skin, squares, chosen)

            _descend(figure, both, config.mask_steps, lambda step: progress(config.steps + step, total), 0.3)
    with torch.no_grad():
        found = figure().anchors
        offsets = figure.offsets[anchors.shared] * anchors.side
    return Fit(
        figure.pose(),
        found.numpy(),
        anchors.names,
        (found - target).norm(dim=-1).numpy(),
        {name: tuple(offset) for name, offset in zip(anchors.names, offsets.tolist(), strict=True)},
    )


@dataclass(frozen=True)
class _Images:
    """Landmarks of A anchors in V images of F frames."""

    points: Tensor  # [F, V, A, 2] on the plane one metre before the camera
    weights: Tensor  # [F, V, A] 0 where not known
    viewmats: Tensor  # [V, 4, 4]


def _images(
    points2d: np.ndarray | None, columns: Tensor, calibration: Calibration, size: tuple[int, int]
) -> _Images | None:
    if points2d is None:
        return None
    points = torch.from_numpy(points2d[:, :, columns.numpy()]).float()
    Ks = torch.from_numpy(calibration.intrinsics(size)).float()
    focal, centre = Ks[:, [0, 1], [0, 1]], Ks[:, :2, 2]
    rays = (points[..., :2] - centre[:, None]) / focal[:, None]
    weights = points[..., 2].nan_to_num(0).clamp(0, 1) * rays.isfinite().all(-1)
    return _Images(rays.nan_to_num(0), weights, calibration.cameras(size).viewmats)


class Energy:
    """Minus the logarithm of how probable a figure is."""

    def __init__(
        self,
        figure: Figure,
        prior: JointPrior,
        target: Tensor,
        images: _Images | None,
        times: np.ndarray,
        config: FitConfig,
    ) -> None:
        self._figure, self._prior, self._images, self._config = figure, prior, images, config
        self.tail = _TAIL
        """Standard deviations from which on a landmark counts less"""
        self._known = target.isfinite().all(-1)
        self._target = target.nan_to_num(0)
        gaps = torch.from_numpy(np.diff(times)).float()
        self._between = ((gaps[1:] + gaps[:-1]) / 2).square()[:, None, None]  # seconds^2
        self._even = gaps[1:] / gaps[:-1]

    def of_landmarks(self, posed: Posed) -> Tensor:
        """Landmarks and what is expected of shape, pose and motion. []"""
        figure, config = self._figure, self._config
        if self._images is None:
            away = (posed.anchors - self._target).norm(dim=-1) / config.landmark_sigma
            data = (_robust(away, self.tail) * self._known).sum()
        else:
            camera = self._images.viewmats
            seen = torch.einsum("vab,fnb->fvna", camera[:, :3, :3], posed.anchors) + camera[:, None, :3, 3]
            depth = seen[..., 2].clamp_min(0.05)
            away = (seen[..., :2] / depth[..., None] - self._images.points).square().sum(-1).add(1e-12).sqrt() * depth
            data = (_robust(away / config.landmark_sigma, self.tail) * self._images.weights).sum()
        offsets = (figure.offsets[figure._anchors.shared] / figure._anchors.sigma[:, None]).square().sum() / 4 * len(figure.turn)
        shape = 0.5 * (figure.betas / config.shape_sigma).square().sum()
        return data + offsets + shape + self._prior.cost(figure.bends) + self._of_motion(posed)

    def _of_motion(self, posed: Posed) -> Tensor:
        if len(posed.transl) < 3:
            return posed.transl.new_zeros(())
        figure, config = self._figure, self._config

        def second(values: Tensor) -> Tensor:
            even = self._even.view(-1, *[1] * (values.ndim - 1))
            return 2 * (values[2:] - values[1:-1] - even * (values[1:-1] - values[:-2])) / (1 + even)

        moved = second(posed.anchors) / self._between / config.acceleration_sigma
        turned = second(figure.rotations().flatten(2)) / self._between / config.spin_sigma
        return 0.5 * moved.square().sum() + 0.5 * turned.square().sum() / 2

    def of_masks(self, posed: Posed, skin: Skin, squares: Squares, chosen: Tensor) -> Tensor:
        """The masks, as far as some of the images tell. []"""
        config = self._config
        error = skin.silhouettes(self._figure.betas, posed, squares, chosen) - squares.masks[chosen]
        scale = squares.scale[chosen][:, None, None]
        outside = error.clamp_min(0).square() / config.edge_sigma
        within = error.clamp_max(0).square() / config.clothes_sigma
        # A metre of outline that is off by d has d / scale^2 pixels; 0.1 m of it count as one independent measurement.
        each = ((outside + within) * scale.square()).sum((1, 2)) / 0.1
        return each.mean() * len(squares.frames)


def _robust(away: Tensor, tail: float) -> Tensor:
    """Geman and McClure's distance: half the square near zero, never more than half of tail^2."""
    square = away.square()
    return 0.5 * square / (1 + square / tail**2)


def _descend(
    figure: Figure, energy: Callable[[int], Tensor], steps: int, told: Callable[[int], object], pace: float = 1.0
) -> None:
    """Adam with a step that falls to a thirtieth along a cosine."""
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
