"""Rendering Gaussians: one function, with gsplat's CUDA kernels or our own CPU kernels behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from hgg_pyg.render.scene import EPS2D, Mode, Rendered, Scene, compose, make_scene
from hgg_pyg.types import Cameras, Gaussians, RenderOutput, UserError

__all__ = ["EPS2D", "Backend", "Mode", "render"]

Backend = Literal["auto", "gsplat", "cpu"]


@overload
def render(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None = None,
    mode: Mode = "rgb",
    antialiased: bool = False,
    backend: Backend = "auto",
    sh_degree: int | None = None,
    eps2d: float = EPS2D,
) -> RenderOutput: ...


@overload
def render(
    gaussians: Gaussians,
    cameras: Sequence[Cameras],
    background: Tensor | None = None,
    mode: Mode = "rgb",
    antialiased: bool = False,
    backend: Backend = "auto",
    sh_degree: int | None = None,
    eps2d: float = EPS2D,
) -> list[RenderOutput]: ...


def render(
    gaussians: Gaussians,
    cameras: Cameras | Sequence[Cameras],
    background: Tensor | None = None,  # [D]
    mode: Mode = "rgb",
    antialiased: bool = False,
    backend: Backend = "auto",
    sh_degree: int | None = None,
    eps2d: float = EPS2D,
) -> RenderOutput | list[RenderOutput]:
    """Render Gaussians, blended front to back over `background` (white unless given).

    Arguments that gsplat has mean what they mean there; render/reference.py states the image as formulas, which are
    those of gsplat 1.5.3. Differentiable in means, quats, scales, opacities, colors, viewmats and background; not in
    Ks. Works on the Gaussians' device (cameras and background are brought there), in float32, or on the CPU in float64
    if the means are float64; autocast does not apply.

    Args:
        gaussians: [..., M]: scenes, or poses of one avatar, each rendered in every view. Colours may have any number
            D >= 1 of channels, to render normals, vertex ids or attention.
        cameras: V views of one size, the same for all scenes, or [..., V] of each. A sequence of cameras, each of a
            size of its own, gives a list.
        background: [D]
        mode: "rgb" renders no depth; "rgb+d" adds the weighted sum of depths along z; "rgb+ed" the expected depth, the
            same over the sum of weights, 0 where nothing is rendered. The background has no part in either.
        antialiased: take from the opacity of small Gaussians what the least size of a pixel adds to their area.
        backend: "auto" is "gsplat" where the Gaussians are on a CUDA device, "cpu" elsewhere.
        sh_degree: colours are coefficients of spherical harmonics [..., M, K, 3], of which (sh_degree + 1)^2 are used.
        eps2d: pixels^2 that every Gaussian is blurred by: a variance added along both axes of the image. Where a
            camera is nearer than those that the Gaussians were made for, more of it closes the gaps between them.

    Returns:
        Images [..., V, H, W, D], alpha and depth [..., V, H, W, 1].

    Raises:
        ValueError: a shape does not fit, a word is unknown, the blur is negative, or a number is NaN or infinite.
        UserError: the backend asked for cannot render tensors on this device, or gsplat is not usable here.
    """
    if not isinstance(cameras, Cameras):
        return [render(gaussians, some, background, mode, antialiased, backend, sh_degree, eps2d) for some in cameras]
    render_scene = _renderer(backend, gaussians.means.device)
    with torch.autocast(gaussians.means.device.type, enabled=False):
        scene = make_scene(gaussians, cameras, mode, antialiased, sh_degree, eps2d)
        return compose(render_scene(scene), background, mode, gaussians.means.shape[:-2])


def _renderer(backend: str, device: torch.device) -> Callable[[Scene], Rendered]:
    """The backend's function."""
    if backend == "auto":
        backend = "gsplat" if device.type == "cuda" else "cpu"
    if backend == "gsplat":
        from hgg_pyg.render.gsplat_backend import render_scene
    elif backend == "cpu":
        from hgg_pyg.render.cpu import render_scene

        if device.type != "cpu":
            raise UserError(f'render: backend "cpu" needs tensors on the CPU, found {device}; use backend "auto"')
    else:
        raise ValueError(f'render: expected backend "auto", "gsplat" or "cpu", found "{backend}"')
    return render_scene
