"""The training objective of Section 3.4."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.body.blending import blend
from hgg_pyg.body.skin_points import SkinPoints, skin_points
from hgg_pyg.config import ViewCount, Weight, check_choices
from hgg_pyg.evaluation.lpips import LPIPS, NETWORKS, find_lpips_weights
from hgg_pyg.model.poses.mender import POINTS, Mended
from hgg_pyg.model.poses.stance import Stance
from hgg_pyg.types import RenderOutput

log = logging.getLogger("hgg_pyg")

_LEAST_ERROR = 1e-6  # 60 dB: what is better need not become better still
_METRES = 0.02  # of a body that is as far off as poses of captures are
_SHAPE_WEIGHT = 0.3
_LPIPS_SIZE = 256  # pixels; larger images are shrunk for it, as LGM does


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss; the paper takes both from LGM, 1 and 1."""

    lpips: Weight = 1.0
    """alpha_1, weight of LPIPS; without LPIPS weights on disk the term is left out (the paper: 1)"""
    lpips_views: ViewCount | None = None
    """so many of a clip's images, drawn at random, stand for all of them in LPIPS, which takes most of the time of a
    step on a CPU; by default all are compared (the paper)"""
    alpha: Weight = 1.0
    """alpha_2, weight of the mean squared error of alpha (the paper: 1)"""
    error: Literal["mse", "log"] = "mse"
    """mse: mean squared errors (the paper); log: their logarithm in each image, so that all images count alike, however
    much of them the person fills"""

    rendering: Weight = 1.0
    """weight of all the terms that compare images; 0: no image is drawn, and only corrections of poses are learnt"""
    pose: Weight = 0.2
    """weight of the distance of corrected bodies from true ones, in units of 2 cm, of a network that corrects poses"""

    def __post_init__(self) -> None:
        check_choices(self)


def describe_loss(config: LossConfig, lpips: bool) -> str:
    """The loss in words, for whoever reads a run's numbers.

    Args:
        config: the weights of its terms.
        lpips: whether LPIPS was at hand.
    """
    if not config.rendering:
        return "distance of corrected bodies from true ones alone; no image is drawn"
    squared = "squared error" if config.error == "mse" else "logarithm of the squared error"
    parts = [f"{squared} of colour and {config.alpha:g} of alpha"]
    if lpips and config.lpips:
        some = config.lpips_views
        views = "all images" if some is None else f"{some} random image{'s' * (some > 1)}"
        parts.append(f"{config.lpips:g} LPIPS ({NETWORKS['vgg']}) of {views} of a clip")
    else:
        parts.append("no LPIPS")
    return "; ".join(parts)


def say_loss(config: LossConfig, lpips: bool) -> None:
    """Log what a run is trained by, and how to come by LPIPS where it is wanted and missing."""
    log.info("loss: %s", describe_loss(config, lpips))
    if lpips and config.lpips_views is None and not torch.cuda.is_available():
        log.info("LPIPS of all images is most of a step's time on a CPU: --loss.lpips-views 1 has it see one of a clip")
    if config.lpips and find_lpips_weights() is None:
        log.info("LPIPS is left out, its networks are not here: python -m hgg_pyg.weights lpips fetches them")


def rendering_loss(
    rendered: RenderOutput, rgb: Tensor, alpha: Tensor, config: LossConfig, lpips: LPIPS | None = None
) -> Tensor:
    r"""MSE(rgb) + alpha_1 LPIPS(rgb) + alpha_2 MSE(alpha), averaged over views; LPIPS at 256 pixels at most.

    With error="log" the two squared errors of view v are :math:`\log_{10} (\mathrm{MSE}_v(rgb) + \alpha_2\,
    \mathrm{MSE}_v(alpha))`, tenths of a decibel.

    Args:
        rendered: V views.
        rgb: [V, H, W, 3] ground truth on the same background.
        alpha: [V, H, W, 1] ground-truth masks.
        config: alpha_1, alpha_2, and which error.
        lpips: the network, or None to leave its term out.
    """
    errors = _mse(rendered.rgb, rgb) + config.alpha * _mse(rendered.alpha, alpha)
    loss = (errors + _LEAST_ERROR).log10().mean() if config.error == "log" else errors.mean()
    if lpips is not None and config.lpips:
        loss = loss + config.lpips * _perceptual(rendered.rgb, rgb, lpips, config.lpips_views)
    return loss


def pose_loss(mended: Mended, truth: Stance) -> Tensor:
    r"""How far bodies are from where they should be after each round, in units of 2 cm; the last round counts double.

    .. math::
        \frac{1}{0.02\,\mathrm m} \sum_r \frac{w_r}{\sum_r w_r} \left( \frac{1}{TP} \sum_{f,n} |x^r_{fn} - x^*_{fn}|
            + \frac{0.3}{P} \sum_n |v_n(\beta^r) - v_n(\beta^*)| \right)

    over points below the skin, posed and in the rest pose. A mean of distances, not of their squares: hands and twists
    that no image shows would outweigh all else.

    Args:
        mended: what the network corrected.
        truth: of the same frames.
    """
    points = skin_points(truth.body, POINTS)
    with torch.no_grad():
        posed, shaped = _places(points, truth), points.shaped(truth.betas)
    total, weights = truth.transl.new_zeros(()), 0.0
    for round, stance in enumerate(mended.stances, 1):
        weight = 2.0 if round == len(mended.stances) else 1.0
        moved = _distance(_places(points, stance), posed)
        total = total + weight * (moved + _SHAPE_WEIGHT * _distance(points.shaped(stance.betas), shaped))
        weights += weight
    return total / (weights * _METRES)


def _places(points: SkinPoints, stance: Stance) -> Tensor:
    """[T, P, 3] metres"""
    maps = blend(points.weights, stance.maps, stance.transl)
    return (maps[..., :3, :3] @ points.shaped(stance.betas)[..., None])[..., 0] + maps[..., :3, 3]


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    return ((found - wanted).square().sum(-1) + 1e-6).sqrt().mean()  # the root of exactly zero has no gradient


def _mse(images: Tensor, truth: Tensor) -> Tensor:
    """[V, H, W, D] x 2 -> [V]"""
    return F.mse_loss(images, truth, reduction="none").flatten(1).mean(1)


def _perceptual(images: Tensor, truth: Tensor, lpips: LPIPS, views: int | None) -> Tensor:
    """Mean LPIPS over V views, or over so many of them that torch's generator draws: right on average."""
    if views is not None and views < len(truth):
        chosen = torch.randperm(len(truth))[:views].to(truth.device)
        images, truth = images[chosen], truth[chosen]
    return lpips(_shrunk(images.clamp(0, 1)), _shrunk(truth)).mean()


def _shrunk(images: Tensor) -> Tensor:
    """[V, H, W, 3] with a shorter side of at most `_LPIPS_SIZE`."""
    shorter = min(images.shape[1:3])
    if shorter <= _LPIPS_SIZE:
        return images
    size = [round(side * _LPIPS_SIZE / shorter) for side in images.shape[1:3]]
    return F.interpolate(images.permute(0, 3, 1, 2), size, mode="area").permute(0, 2, 3, 1)
