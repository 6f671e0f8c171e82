"""LGM: four views of a person to Gaussians in its own frame (Tang et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hgg_pyg.backbones.lgm.unet import UNet, UNetConfig

VIEWS = 4
CHANNELS = (3, 1, 3, 4, 3)  # of the output: position, opacity, scale, rotation wxyz, colour
_WIDE = (64, 128, 256, 512, 1024, 1024)
_WIDE_ATTENTION = (False, False, False, True, True, True)

Preset = Literal["big", "small", "tiny", "micro"]

PRESETS: dict[Preset, UNetConfig] = {
    "big": UNetConfig(_WIDE, _WIDE_ATTENTION, (1024, 1024, 512, 256, 128), (True, True, True, False, False)),
    "small": UNetConfig(_WIDE, _WIDE_ATTENTION, (1024, 1024, 512, 256), (True, True, True, False)),
    "tiny": UNetConfig(
        (32, 64, 128, 256, 512), (False, False, False, False, True), (512, 256, 128), (True, False, False)
    ),
    # Ours: what a CPU can train. Under two million parameters.
    "micro": UNetConfig((16, 32, 64, 96), (False, False, True, True), (96, 64, 32), (True, True, False), 4, 8, 1),
}
"""Big, small and tiny are those of the public release."""


@dataclass(frozen=True)
class Predicted:
    """What the network says, view by view, row by row: M = V h w Gaussians an object, in LGM's frame."""

    means: Tensor  # [B, M, 3] within [-1, 1]
    opacities: Tensor  # [B, M]
    scales: Tensor  # [B, M, 3]
    quats: Tensor  # [B, M, 4] wxyz, of length 1
    colors: Tensor  # [B, M, 3] in [0, 1]
    raw: Tensor  # [B, M, 14] before activation
    hidden: Tensor  # [B, M, C] the last activation of the U-Net


class LGM(nn.Module):
    """A U-Net over four views with the rays of their pixels, and the activations that make Gaussians of its output.

    ``position = clamp(x, -1, 1)``, ``opacity = sigmoid(x)``, ``scale = 0.1 softplus(x)``, ``rotation = x / |x|``,
    ``colour = tanh(x) / 2 + 1/2``. Its state has the names and shapes of the public checkpoint's.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.unet = UNet(config)
        self.conv = nn.Conv2d(config.out_channels, config.out_channels, 1)

    def forward(self, inputs: Tensor) -> Predicted:
        """[B, V, 9, H, W], as `hgg_pyg.backbones.lgm.cameras.network_input` makes it, to Gaussians.

        Raises:
            ValueError: the input has other channels, or a size that the blocks on the way down cannot halve.
        """
        config = self.unet.config
        halved = 2 ** (len(config.down) - 1)
        if inputs.ndim != 5 or inputs.shape[2] != config.in_channels or any(s % halved for s in inputs.shape[-2:]):
            raise ValueError(
                f"LGM: expected [B, V, {config.in_channels}, H, W] with sides that {halved} divides, "
                f"found {tuple(inputs.shape)}"
            )
        views = inputs.shape[1]
        # Kernels of convolutions are fastest where channels lie side by side.
        output, hidden = self.unet(inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last), views)
        raw, hidden = (
            x.permute(0, 2, 3, 1).unflatten(0, (-1, views)).flatten(1, 3) for x in (self.conv(output), hidden)
        )
        return activate(raw.float(), hidden.float())


def activate(raw: Tensor, hidden: Tensor) -> Predicted:
    """[B, M, 14] numbers and [B, M, C] activations to Gaussians; see `LGM`."""
    position, opacity, scale, rotation, color = raw.split(CHANNELS, -1)
    return Predicted(
        means=position.clamp(-1, 1),
        opacities=opacity[..., 0].sigmoid(),
        scales=0.1 * F.softplus(scale),
        quats=F.normalize(rotation, dim=-1),
        colors=0.5 * color.tanh() + 0.5,
        raw=raw,
        hidden=hidden,
    )
