"""Pictures to what a network is noised and denoised in, and back: latents of a VAE, or the pixels themselves."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.multiview.cutout import alpha_on_white


class Codec(Protocol):
    """One way of writing a picture as an array that is as fine as it must be and no finer."""

    @property
    def channels(self) -> int:
        """C."""
        ...

    @property
    def alpha(self) -> bool:
        """Whether masks come back as they went in."""
        ...

    def encode(self, rgb: Tensor, alpha: Tensor, sample: bool = False) -> Tensor:
        """[B, 3, H, W] on white in [0, 1] and [B, 1, H, W] -> [B, C, h, w].

        Args:
            rgb: colours, or normals as colours.
            alpha: share of the pixel that the person covers.
            sample: draw from what the encoder thinks possible, for targets; otherwise its likeliest.
        """
        ...

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, h, w] -> colours [B, 3, H, W] on white in [0, 1], and alpha [B, 1, H, W]"""
        ...


class LatentCodec:
    """Stable Diffusion's VAE, `AutoencoderKL` of diffusers; alpha comes back as what is not white."""

    alpha = False

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.channels = int(vae.config.latent_channels)
        self.scale = float(vae.config.scaling_factor)

    def encode(self, rgb: Tensor, alpha: Tensor, sample: bool = False) -> Tensor:
        """See `Codec`. A latent has 1/8 of the picture's sides."""
        found = self.vae.encode(2 * rgb - 1).latent_dist
        return (found.sample() if sample else found.mode()) * self.scale

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """See `Codec`."""
        rgb = (self.vae.decode(latents / self.scale).sample / 2 + 0.5).clamp(0, 1)
        return rgb, alpha_on_white(rgb)


class PixelCodec:
    """Colours and alpha in [-1, 1], 2 x 2 pixels side by side in the channels: no VAE, for pictures of few pixels."""

    alpha = True
    channels = 16

    def encode(self, rgb: Tensor, alpha: Tensor, sample: bool = False) -> Tensor:
        """See `Codec`. Half of the picture's sides."""
        return F.pixel_unshuffle(2 * torch.cat([rgb, alpha], 1) - 1, 2)

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """See `Codec`."""
        rgba = (F.pixel_shuffle(latents, 2) / 2 + 0.5).clamp(0, 1)
        return rgba[:, :3], rgba[:, 3:]
