"""The asymmetric U-Net with attention across views behind LGM (Tang et al. 2024, section 3.2).

Written from the shapes of the public checkpoint, whose names the modules have, so that it loads as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SKIP = math.sqrt(0.5)  # sums of two branches keep their variance
_EPS = 1e-5


@dataclass(frozen=True)
class UNetConfig:
    """Channels of the blocks on the way down, each but the last halving the image, and on the way up.

    The way up has fewer blocks than the way down by one more than what the output is smaller than the input.
    """

    down: tuple[int, ...]
    down_attention: tuple[bool, ...]
    up: tuple[int, ...]
    up_attention: tuple[bool, ...]
    heads: int = 16
    groups: int = 32
    """groups of each group normalisation"""
    nets: int = 2
    """residual blocks per resolution on the way down; one more on the way up"""
    in_channels: int = 9
    out_channels: int = 14
    anchored: bool = False
    """whether positions are offsets from given points on the rays of the pixels"""


class ResidualBlock(nn.Module):
    """x -> sqrt(1/2) (shortcut(x) + conv(silu(norm(conv(silu(norm(x))))))), [B, C, H, W] -> [B, C', H, W]."""

    def __init__(self, channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels, _EPS)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, _EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H, W]"""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return _SKIP * (self.shortcut(x) + hidden)


class _SelfAttention(nn.Module):
    """Softmax attention of every token with every other; queries, keys and values packed as (3, heads, channels)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]"""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class MultiViewAttention(nn.Module):
    """x -> sqrt(1/2) (x + attention(norm(x))) over the pixels of all views of an object at once."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, _EPS)
        self.attn = _SelfAttention(channels, heads)

    def forward(self, x: Tensor, views: int) -> Tensor:
        """[B * V, C, H, W] -> the same"""
        size = x.shape[-2:]
        tokens = self.norm(x).flatten(2).unflatten(0, (-1, views)).transpose(2, 3)  # [B, V, H W, C]
        mixed = self.attn(tokens.flatten(1, 2)).unflatten(1, (views, -1)).flatten(0, 1)
        return _SKIP * (x + mixed.transpose(1, 2).unflatten(2, size))


class _Stage(nn.Module):
    """Residual blocks, each followed by attention across views where there is any."""

    def __init__(self, widths: Sequence[tuple[int, int]], attention: bool, config: UNetConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleList(ResidualBlock(a, b, config.groups) for a, b in widths)
        if attention:
            self.attns = nn.ModuleList(MultiViewAttention(b, config.heads, config.groups) for _, b in widths)
        self.attention = attention

    def step(self, index: int, x: Tensor, views: int) -> Tensor:
        """One residual block, with its attention."""
        x = self.nets[index](x)
        return self.attns[index](x, views) if self.attention else x


class DownBlock(_Stage):
    """A stage, then half the size; keeps all that it computes for the way up."""

    def __init__(self, channels: int, out: int, attention: bool, last: bool, config: UNetConfig) -> None:
        widths = [(channels, out), *[(out, out)] * (config.nets - 1)]
        super().__init__(widths, attention, config)
        self.downsample = None if last else nn.Conv2d(out, out, 3, stride=2, padding=1)

    def forward(self, x: Tensor, views: int, kept: list[Tensor]) -> Tensor:
        """Append to `kept` what the way up will read, last what is returned."""
        for index in range(len(self.nets)):
            x = self.step(index, x, views)
            kept.append(x)
        if self.downsample is not None:
            x = self.downsample(x)
            kept.append(x)
        return x


class MidBlock(nn.Module):
    """Residual block, attention, residual block at the lowest size."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleList(ResidualBlock(channels, channels, config.groups) for _ in range(2))
        self.attns = nn.ModuleList([MultiViewAttention(channels, config.heads, config.groups)])

    def forward(self, x: Tensor, views: int) -> Tensor:
        """[B * V, C, H, W] -> the same"""
        return self.nets[1](self.attns[0](self.nets[0](x), views))


class UpBlock(_Stage):
    """A stage that reads what was kept on the way down, then twice the size."""

    def __init__(
        self, channels: int, skips: Sequence[int], out: int, attention: bool, last: bool, config: UNetConfig
    ) -> None:
        inputs = [channels, *[out] * (len(skips) - 1)]
        super().__init__([(a + skip, out) for a, skip in zip(inputs, skips, strict=True)], attention, config)
        self.upsample = None if last else nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor, views: int, kept: list[Tensor]) -> Tensor:
        """Take from the end of `kept`."""
        for index in range(len(self.nets)):
            x = self.step(index, torch.cat([x, kept.pop()], 1), views)
        if self.upsample is not None:
            x = self.upsample(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class UNet(nn.Module):
    """[B * V, 9, H, W] -> [B * V, 14, H', W'] and the last activation [B * V, C, H', W'], C = `up[-1]`.

    H' is H over 2 to the number of blocks that the way up has fewer.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        down, up = config.down, config.up
        self.conv_in = nn.Conv2d(config.in_channels, down[0], 3, padding=1)
        kept = [down[0]]
        blocks = []
        for index, (channels, out) in enumerate(pairwise((down[0], *down))):
            last = index == len(down) - 1
            blocks.append(DownBlock(channels, out, config.down_attention[index], last, config))
            kept += [out] * (config.nets + (not last))
        self.down_blocks = nn.ModuleList(blocks)
        self.mid_block = MidBlock(down[-1], config)
        blocks = []
        for index, (channels, out) in enumerate(pairwise((down[-1], *up))):
            skips = [kept.pop() for _ in range(config.nets + 1)]
            blocks.append(UpBlock(channels, skips, out, config.up_attention[index], index == len(up) - 1, config))
        self.up_blocks = nn.ModuleList(blocks)
        self.norm_out = nn.GroupNorm(config.groups, up[-1], _EPS)
        self.conv_out = nn.Conv2d(up[-1], config.out_channels, 3, padding=1)

    @property
    def shrinks(self) -> int:
        """How many times smaller the output is."""
        return 2 ** (len(self.config.down) - len(self.config.up))

    def forward(self, x: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Views of one object are successive rows of the batch."""
        x = self.conv_in(x)
        kept = [x]
        for block in self.down_blocks:
            x = block(x, views, kept)
        x = self.mid_block(x, views)
        for block in self.up_blocks:
            x = block(x, views, kept)
        return self.conv_out(F.silu(self.norm_out(x))), x
