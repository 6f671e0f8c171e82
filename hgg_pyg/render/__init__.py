"""Drawing Gaussians: one function, with gsplat's CUDA kernels or our own CPU kernels behind it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hgg_pyg.types import Cameras, Gaussians, RenderOutput, UserError

__all__ = ["render"]


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None = None,  # [D]
    backend: Literal["auto", "gsplat", "cpu"] = "auto",
) -> RenderOutput:
    """Draw M Gaussians in V views, blended front to back over `background` (white unless given).

    Differentiable in means, quats, scales, opacities, colors, viewmats and background; not in Ks. Colours may have any
    number D >= 1 of channels. Depth is the expected depth along z: sum(w z) / sum(w) over the blending weights w of a
    pixel, 0 where nothing is drawn; the background has no part in it. render/reference.py states the picture as
    formulas, which are those of gsplat 1.5.3.

    Works on the Gaussians' device (cameras and background are brought there), in float32, or on the CPU in float64 if
    the means are float64; autocast does not apply. Backend "auto" is "gsplat" where the Gaussians are on a CUDA device,
    "cpu" elsewhere.

    Raises:
        ValueError: a shape does not fit, the backend's name is unknown, or a field holds NaN or infinite numbers.
        UserError: the backend asked for cannot draw tensors on this device, or gsplat is not usable here.
    """
    channels = gaussians.colors.shape[-1]
    if gaussians.means.ndim != 2:
        raise ValueError(
            f"render: expected Gaussians.means [M, 3], found {tuple(gaussians.means.shape)}; select one frame"
        )
    if background is None:
        background = gaussians.colors.new_ones(channels)
    if tuple(background.shape) != (channels,):
        raise ValueError(f"render: expected a background of {channels} channels, found {tuple(background.shape)}")
    device = gaussians.means.device
    if backend == "auto":
        backend = "gsplat" if gaussians.means.is_cuda else "cpu"
    if backend == "cpu" and device.type != "cpu":
        raise UserError(f'render: backend "cpu" needs tensors on the CPU, found {device}; use backend "auto"')

    double = backend == "cpu" and gaussians.means.dtype == torch.float64
    dtype = torch.float64 if double else torch.float32
    shown = Gaussians(
        means=gaussians.means.to(dtype),
        quats=gaussians.quats.to(dtype),
        scales=gaussians.scales.to(dtype),
        opacities=gaussians.opacities.to(dtype),
        colors=gaussians.colors.to(dtype),
    )
    viewmats, Ks = cameras.viewmats.to(device, dtype), cameras.Ks.detach().to(device, dtype)
    background = background.to(device, dtype)
    _check_finite(shown, viewmats, Ks, background)
    cameras = Cameras(viewmats, Ks, cameras.width, cameras.height)

    with torch.autocast(device.type, enabled=False):
        if backend == "cpu":
            from hgg_pyg.render.cpu import draw
        elif backend == "gsplat":
            from hgg_pyg.render.gsplat_backend import draw
        else:
            raise ValueError(f'render: expected backend "auto", "gsplat" or "cpu", found "{backend}"')
        color, alpha, depth = draw(shown, cameras)
        return RenderOutput(rgb=color + (1 - alpha) * background, alpha=alpha, depth=depth)


def _check_finite(gaussians: Gaussians, viewmats: Tensor, Ks: Tensor, background: Tensor) -> None:
    tensors = {
        "Gaussians.means": gaussians.means,
        "Gaussians.quats": gaussians.quats,
        "Gaussians.scales": gaussians.scales,
        "Gaussians.opacities": gaussians.opacities,
        "Gaussians.colors": gaussians.colors,
        "Cameras.viewmats": viewmats,
        "Cameras.Ks": Ks,
        "background": background,
    }
    if torch.stack(
        [tensor.isfinite().all() for tensor in tensors.values()]
    ).all():  # one wait for the device, not eight
        return
    for name, tensor in tensors.items():
        bad = int((~tensor.isfinite()).sum())
        if bad:
            raise ValueError(f"render: {name} holds {bad} NaN or infinite numbers among {tensor.numel()}")
