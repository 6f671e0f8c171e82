"""What the network predicts for each Gaussian, and what that does to it."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.body.skinning import quaternion_multiply
from hgg_pyg.model import fast_residual
from hgg_pyg.types import Gaussians

_CHANNELS = (3, 3, 3, 1, 3)  # shift, rotation, log size, opacity logit, colour
RESIDUAL_DIM = sum(_CHANNELS)
_SHIFT_UNIT = 0.05  # metres: clothes hang about this far off the body


def apply_residual(gaussians: Gaussians, delta: Tensor, axes: Tensor | None = None) -> Gaussians:
    r"""Change Gaussians by residuals; zeros change nothing, bit for bit.

    .. math::
        \mu + 0.05\,\mathrm{m} \; R\,\delta_\mathrm{shift}, \quad
        q \otimes \mathrm{normalise}(1, \delta_\mathrm{rotation} / 2), \quad
        s \, e^{\delta_\mathrm{size}}, \quad
        \sigma(\sigma^{-1}(o) + \delta_\mathrm{logit}), \quad
        c + \delta_\mathrm{colour}

    Args:
        gaussians: [M]
        delta: [M, 13] shift 3, rotation 3, size 3, opacity logit 1, colour 3
        axes: [M, 3, 3] R, whose columns are the directions of each Gaussian's shift; those of space if None
    """
    if fast_residual.can_apply(gaussians, delta, axes):
        return fast_residual.apply(gaussians, delta, axes, _SHIFT_UNIT)
    shift, rotation, size, logit, color = delta.split(_CHANNELS, -1)
    if axes is not None:
        shift = (axes @ shift[..., None])[..., 0]
    half_rotation = torch.cat([torch.ones_like(logit), 0.5 * rotation], -1)
    growth = torch.expm1(logit[..., 0].clamp(-15, 15))  # o e^l / (1 + o (e^l - 1)) spares the sigmoid its rounding
    return Gaussians(
        means=gaussians.means + _SHIFT_UNIT * shift,
        quats=quaternion_multiply(gaussians.quats, torch.nn.functional.normalize(half_rotation, dim=-1)),
        scales=gaussians.scales * torch.exp(size.clamp(-5, 5)),
        opacities=gaussians.opacities * (1 + growth) / (1 + gaussians.opacities * growth),
        colors=gaussians.colors + color,
    )
