"""Image metrics by this project's convention, written into every result file as `CONVENTION`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

CONVENTION = (
    "white background; ground truth composited by its mask, prediction not masked, clamped to [0, 1]; data range 1; "
    "SSIM with a Gaussian window of 11 and sigma 1.5; computed per image, then averaged"
)


@dataclass(frozen=True)
class ImageScores:
    """One value an image."""

    psnr: Tensor  # [V] dB
    ssim: Tensor  # [V]


def psnr(prediction: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, -10 log10 MSE for data range 1. [V, H, W, 3] x 2 -> [V] dB"""
    error = (prediction.clamp(0, 1) - truth).square().flatten(1).mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))


def ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), Gaussian window of 11. [V, H, W, 3] x 2 -> [V]"""
    score = structural_similarity_index_measure(
        prediction.clamp(0, 1).permute(0, 3, 1, 2), truth.permute(0, 3, 1, 2), data_range=1.0, reduction="none"
    )
    assert isinstance(score, Tensor)
    return score.reshape(len(truth))


def image_scores(prediction: Tensor, truth: Tensor) -> ImageScores:
    """PSNR and SSIM of V images. [V, H, W, 3] x 2"""
    return ImageScores(psnr(prediction, truth), ssim(prediction, truth))
