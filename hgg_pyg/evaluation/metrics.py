"""Image metrics by this project's convention, written into every result file as `CONVENTION` and `REGIONS`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

CONVENTION = (
    "white background; ground truth composited by its mask, prediction not masked, clamped to [0, 1]; data range 1; "
    "SSIM with a Gaussian window of 11 and sigma 1.5; computed per image, then averaged"
)
REGIONS = {
    "image": "all pixels; SSIM's map is averaged over all of them, images mirrored at their borders",
    "mask": "pixels where the ground truth's mask is above 0.5, squared error and SSIM's map averaged over these only",
    "box": "both images cut to the bounding box of those pixels (at least 11 x 11), then as for image",
}
LEAST_SIZE = 11  # pixels, the SSIM window


@dataclass(frozen=True)
class ImageScores:
    """One value per image; NaN where a region has no pixels."""

    psnr: Tensor  # [V] dB
    ssim: Tensor  # [V]


@dataclass(frozen=True)
class RegionScores:
    """The three regions of V images."""

    image: ImageScores
    mask: ImageScores
    box: ImageScores


def psnr(prediction: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, -10 log10 MSE for data range 1. [V, H, W, 3] x 2 -> [V] dB"""
    return _decibel((prediction.clamp(0, 1) - truth).square().flatten(1).mean(1))


def ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), Gaussian window of 11. [V, H, W, 3] x 2 -> [V]"""
    return ssim_map(prediction, truth).flatten(1).mean(1)


def ssim_map(prediction: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of the window about each pixel, mean over colours. [V, H, W, 3] x 2 -> [V, H, W]

    H and W are at least 6, which is what mirroring half a window takes.
    """
    found = structural_similarity_index_measure(
        prediction.clamp(0, 1).permute(0, 3, 1, 2),
        truth.permute(0, 3, 1, 2),
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    assert isinstance(found, tuple)
    return found[1].reshape(len(truth), 3, *truth.shape[1:3]).mean(1)


def image_scores(prediction: Tensor, truth: Tensor) -> ImageScores:
    """PSNR and SSIM of V images. [V, H, W, 3] x 2"""
    return ImageScores(psnr(prediction, truth), ssim(prediction, truth))


def region_scores(prediction: Tensor, truth: Tensor, alpha: Tensor) -> RegionScores:
    """PSNR and SSIM of V images in every region of `REGIONS`; NaN in mask and box of an image without a person.

    Args:
        prediction: [V, H, W, 3]
        truth: [V, H, W, 3] in [0, 1]
        alpha: [V, H, W, 1] the ground truth's mask
    """
    similarity = ssim_map(prediction, truth)
    person = alpha[..., 0] > 0.5
    inside = person.to(truth)
    count = inside.flatten(1).sum(1)  # 0 / 0 is the NaN that is promised
    error = (prediction.clamp(0, 1) - truth).square().mean(-1)
    masked = ImageScores(
        _decibel((error * inside).flatten(1).sum(1) / count), (similarity * inside).flatten(1).sum(1) / count
    )
    nothing = truth.new_full((1,), torch.nan)
    boxes = []
    for i, pixels in enumerate(person):
        if not pixels.any():
            boxes.append(ImageScores(nothing, nothing))
            continue
        rows, columns = (_extent(pixels.any(axis)) for axis in (1, 0))
        boxes.append(image_scores(prediction[i : i + 1, rows, columns], truth[i : i + 1, rows, columns]))
    boxed = ImageScores(torch.cat([box.psnr for box in boxes]), torch.cat([box.ssim for box in boxes]))
    return RegionScores(ImageScores(_decibel(error.flatten(1).mean(1)), similarity.flatten(1).mean(1)), masked, boxed)


def _decibel(error: Tensor) -> Tensor:
    return -10 * torch.log10(error.clamp_min(1e-10))


def _extent(occupied: Tensor) -> slice:
    """From the first to the last True of a line, widened to both sides up to `LEAST_SIZE` where the line is as long."""
    places = occupied.nonzero()[:, 0]
    first, length = int(places[0]), int(places[-1] - places[0]) + 1
    wanted = max(length, min(LEAST_SIZE, len(occupied)))
    first = min(max(0, first - (wanted - length) // 2), len(occupied) - wanted)
    return slice(first, first + wanted)
