"""The training objective of Section 3.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.config import Weight, check_choices
from hgg_pyg.evaluation.lpips import LPIPS
from hgg_pyg.types import RenderOutput

_LEAST_ERROR = 1e-6  # 60 dB: what is better need not become better still
_LPIPS_SIZE = 256  # pixels; larger images are shrunk for it, as LGM does


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss; the paper takes both from LGM, 1 and 1."""

    lpips: Weight = 1.0
    """alpha_1, weight of LPIPS; without LPIPS weights on disk the term is left out (the paper: 1)"""
    alpha: Weight = 1.0
    """alpha_2, weight of the mean squared error of alpha (the paper: 1)"""
    error: Literal["mse", "log"] = "mse"
    """mse: mean squared errors (the paper); log: their logarithm in each image, so that all images count alike, however
    much of them the person fills"""

    def __post_init__(self) -> None:
        check_choices(self)


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
    if lpips is not None:
        loss = loss + config.lpips * lpips(_shrunk(rendered.rgb.clamp(0, 1)), _shrunk(rgb)).mean()
    return loss


def _mse(images: Tensor, truth: Tensor) -> Tensor:
    """[V, H, W, D] x 2 -> [V]"""
    return F.mse_loss(images, truth, reduction="none").flatten(1).mean(1)


def _shrunk(images: Tensor) -> Tensor:
    """[V, H, W, 3] with a shorter side of at most `_LPIPS_SIZE`."""
    shorter = min(images.shape[1:3])
    if shorter <= _LPIPS_SIZE:
        return images
    size = [round(side * _LPIPS_SIZE / shorter) for side in images.shape[1:3]]
    return F.interpolate(images.permute(0, 3, 1, 2), size, mode="area").permute(0, 2, 3, 1)
