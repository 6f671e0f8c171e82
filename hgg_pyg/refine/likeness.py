"""How unlike its images a figure is drawn: by colours and masks, or by masks alone."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.body.skin_points import skin_points
from hgg_pyg.types import Gaussians, RenderOutput

_POINTS = 3000  # on the skin, evenly spread: every 2 cm
_OPACITY = 0.95
_CLOTHES = 0.3  # what a pixel of the mask beyond the body counts: clothes and hair are there


class Likeness(Protocol):
    """What a fit lowers, and what it is judged by."""

    def error(self, drawn: RenderOutput, rgb: Tensor, alpha: Tensor) -> Tensor:
        """Sum over the pixels of some images. []"""
        ...

    def score(self, drawn: RenderOutput, rgb: Tensor, alpha: Tensor) -> Tensor:
        """Of one image, in dB; more is better. []"""
        ...


class Colours:
    """Squared errors of colour and of mask; judged by PSNR."""

    def error(self, drawn: RenderOutput, rgb: Tensor, alpha: Tensor) -> Tensor:
        """See `Likeness`."""
        return (drawn.rgb - rgb).square().sum() / 3 + (drawn.alpha - alpha).square().sum()

    def score(self, drawn: RenderOutput, rgb: Tensor, alpha: Tensor) -> Tensor:
        """See `Likeness`."""
        return _decibels((drawn.rgb.clamp(0, 1) - rgb).square().mean())


class Outlines:
    """Squared errors of the mask; where it is beyond the body, in clothes and hair, they count less."""

    def error(self, drawn: RenderOutput, rgb: Tensor, alpha: Tensor) -> Tensor:
        """See `Likeness`."""
        off = drawn.alpha - alpha
        return off.clamp_min(0).square().sum() + _CLOTHES * off.clamp_max(0).square().sum()

    def score(self, drawn: RenderOutput, rgb: Tensor, alpha: Tensor) -> Tensor:
        """See `Likeness`."""
        return _decibels(self.error(drawn, rgb, alpha) / alpha.numel())


def bare_body(body: BodyModel, betas: Tensor) -> BoundAvatar:
    """The body itself as an avatar, soft grey balls that end at its skin: what masks are compared with."""
    points = skin_points(body, _POINTS)
    means = points.shaped(betas)
    quats = means.new_tensor([1.0, 0, 0, 0]).repeat(len(means), 1)
    radii, grey = points.sigma[:, None].expand_as(means).clone(), torch.full_like(means, 0.5)
    opacities = torch.full_like(means[:, 0], _OPACITY)
    return BoundAvatar(Gaussians(means, quats, radii, opacities, grey), points.chosen, betas)


def _decibels(error: Tensor) -> Tensor:
    return -10 * error.clamp_min(1e-10).log10()
