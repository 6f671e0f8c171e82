"""The input picture as one token, which the network's cross-attention sees."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.multiview.clip import ClipVision
from hgg_pyg.multiview.preprocessing import ClipPreprocessing


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
    """CLIP's projected embedding of the picture.

    Raises:
        ValueError: the encoder wants pictures of another size than are cut out.
    """

    def __init__(self, encoder: ClipVision, preprocessing: ClipPreprocessing) -> None:
        if (expected := encoder.config.image_size) != preprocessing.crop:
            raise ValueError(f"crop_size: expected the encoder's image_size {expected}, found {preprocessing.crop}")
        self.encoder, self.preprocessing = encoder, preprocessing
        self.channels = encoder.config.projection_dim

    def __call__(self, rgb: Tensor) -> Tensor:
        """See `Embedder`."""
        return self.encoder(self.preprocessing(rgb))[:, None]


class ThumbnailEmbedder:
    """The picture at 4 x 4 pixels, in [-1, 1]: no network, for pictures of few pixels."""

    channels = 48

    def __call__(self, rgb: Tensor) -> Tensor:
        """See `Embedder`."""
        return (2 * F.adaptive_avg_pool2d(rgb, 4) - 1).flatten(1)[:, None]
