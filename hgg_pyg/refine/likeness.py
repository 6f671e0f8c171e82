"""How unlike its images a figure is drawn: by colours and masks, or by masks alone."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.types import Gaussians, RenderOutput

_EVERY = 2  # vertices of which one is drawn
_RADIUS = 0.014  # metres, the standard deviation at which these close the surface
_OPACITY = 0.9
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
    """The body itself as an avatar, one grey ball at every other vertex: what masks are compared with."""
    vertices = body.shaped_vertices(betas)
    binding = torch.arange(0, len(vertices), _EVERY, device=vertices.device)
    means = vertices[binding]
    quats = means.new_tensor([1.0, 0, 0, 0]).repeat(len(means), 1)
    radii, grey = torch.full_like(means, _RADIUS), torch.full_like(means, 0.5)
    return BoundAvatar(Gaussians(means, quats, radii, torch.full_like(means[:, 0], _OPACITY), grey), binding, betas)


def _decibels(error: Tensor) -> Tensor:
    return -10 * error.clamp_min(1e-10).log10()
