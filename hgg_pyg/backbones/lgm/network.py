"""LGM: four views of a person to Gaussians in its own frame (Tang et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hgg_pyg.backbones.lgm.unet import UNet, UNetConfig

VIEWS = 4
CHANNELS = (3, 1, 3, 4, 3)  # of the output: position, opacity, scale, rotation wxyz, colour
_START_SIZE = -1.5  # softplus of it is 0.2, so 0.02 units
_WIDE = (64, 128, 256, 512, 1024, 1024)
_WIDE_ATTENTION = (False, False, False, True, True, True)

Preset = Literal["big", "small", "tiny", "micro"]

PRESETS: dict[Preset, UNetConfig] = {
    "big": UNetConfig(_WIDE, _WIDE_ATTENTION, (1024, 1024, 512, 256, 128), (True, True, True, False, False)),
    "small": UNetConfig(_WIDE, _WIDE_ATTENTION, (1024, 1024, 512, 256), (True, True, True, False)),
    "tiny": UNetConfig(
        (32, 64, 128, 256, 512), (False, False, False, False, True), (512, 256, 128), (True, False, False)
    ),
    # Ours, a million parameters: what a CPU can train. From four views 90 degrees apart it would take days to find
    # depths, so its positions start from where the pixels' rays meet the posed body.
    "micro": UNetConfig(
        (32, 48, 64, 64), (False, False, False, True), (64, 48, 32), (True, False, False), 4, 8, 1, anchored=True
    ),
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
    ``colour = tanh(x) / 2 + 1/2``; a network that is `anchored` adds given points to the positions before the clamp.
    Its state has the names and shapes of the public checkpoint's.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.unet = UNet(config)
        self.conv = nn.Conv2d(config.out_channels, config.out_channels, 1)
        if config.anchored:  # start with Gaussians about as large as a pixel of the person
            nn.init.constant_(cast(Tensor, self.conv.bias)[4:7], _START_SIZE)

    def forward(self, inputs: Tensor, anchors: Tensor | None = None) -> Predicted:
        """[B, V, 9, H, W], as `hgg_pyg.backbones.lgm.cameras.network_input` makes it, to Gaussians.

        Args:
            inputs: four views of each object.
            anchors: [B, M, 3] where positions start from, if the network is anchored.

        Raises:
            ValueError: the input has other channels, or a size that the blocks on the way down cannot halve; or there
                are anchors and the network has no use for them, or the other way round.
        """
        config = self.unet.config
        halved = 2 ** (len(config.down) - 1)
        if inputs.ndim != 5 or inputs.shape[2] != config.in_channels or any(s % halved for s in inputs.shape[-2:]):
            raise ValueError(
                f"LGM: expected [B, V, {config.in_channels}, H, W] with sides that {halved} divides, "
                f"found {tuple(inputs.shape)}"
            )
        if config.anchored != (anchors is not None):
            raise ValueError(f"LGM: expected anchors {'given' if config.anchored else 'None'}, found the contrary")
        views = inputs.shape[1]
        # Kernels of convolutions are fastest where channels lie side by side.
        output, hidden = self.unet(inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last), views)
        raw, hidden = (
            x.permute(0, 2, 3, 1).unflatten(0, (-1, views)).flatten(1, 3) for x in (self.conv(output), hidden)
        )
        return activate(raw.float(), hidden.float(), anchors)


def activate(raw: Tensor, hidden: Tensor, anchors: Tensor | None = None) -> Predicted:
    """[B, M, 14] numbers and [B, M, C] activations to Gaussians; see `LGM`."""
    position, opacity, scale, rotation, color = raw.split(CHANNELS, -1)
    if anchors is not None:
        position = position + anchors
    return Predicted(
        means=position.clamp(-1, 1),
        opacities=opacity[..., 0].sigmoid(),
        scales=0.1 * F.softplus(scale),
        quats=F.normalize(rotation, dim=-1),
        colors=0.5 * color.tanh() + 0.5,
        raw=raw,
        hidden=hidden,
    )
