"""The input picture as one token, which the network's cross-attention sees."""

from __future__ import annotations

from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor


class Embedder(Protocol):
    """One way of saying what is in a picture."""

    @property
    def channels(self) -> int:
        """E."""
        ...

    def __call__(self, rgb: Tensor) -> Tensor:
        """[B, 3, H, W] on white in [0, 1] -> [B, 1, E]"""
        ...


class ClipEmbedder:
    """CLIP's projected embedding: `CLIPVisionModelWithProjection` of transformers.

    Args:
        encoder: the network.
        size: pixels to which a square picture is resized, bicubically.
        mean: of its colours.
        std: of its colours.
    """

    def __init__(self, encoder: Any, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.encoder, self.size, self.mean, self.std = encoder, size, mean, std
        self.channels = int(encoder.config.projection_dim)

    def __call__(self, rgb: Tensor) -> Tensor:
        """See `Embedder`."""
        side = (self.size, self.size)
        small = F.interpolate(rgb, side, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        mean, std = (small.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return self.encoder((small - mean) / std).image_embeds[:, None]


class ThumbnailEmbedder:
    """The picture at 4 x 4 pixels, in [-1, 1]: no network, for pictures of few pixels."""

    channels = 48

    def __call__(self, rgb: Tensor) -> Tensor:
        """See `Embedder`."""
        return (2 * F.adaptive_avg_pool2d(rgb, 4) - 1).flatten(1)[:, None]
