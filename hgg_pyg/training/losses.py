"""The training objective of Section 3.4."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.config import ViewCount, Weight, check_choices
from hgg_pyg.evaluation.lpips import LPIPS, NETWORKS, find_lpips_weights
from hgg_pyg.types import RenderOutput

log = logging.getLogger("hgg_pyg")

_LEAST_ERROR = 1e-6  # 60 dB: what is better need not become better still
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

    def __post_init__(self) -> None:
        check_choices(self)


def describe_loss(config: LossConfig, lpips: bool) -> str:
    """The loss in words, for whoever reads a run's numbers.

    Args:
        config: the weights of its terms.
        lpips: whether LPIPS was at hand.
    """
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
