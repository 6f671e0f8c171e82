"""What `render` hands to a backend, and what it makes of what it gets back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from hgg_pyg.render.harmonics import MAX_DEGREE, view_colors
from hgg_pyg.types import Cameras, Gaussians, NotFiniteError, RenderOutput

Mode = Literal["rgb", "rgb+d", "rgb+ed"]
EPS2D = 0.3  # pixels^2 added to the 2D covariance's diagonal, as in gsplat: nothing is thinner than about a pixel
DEPTH_ALPHA_MIN = 1e-10  # expected depth divides by alpha clamped at this


@dataclass(frozen=True)
class Scene:
    """S scenes of N Gaussians, each rendered in V views of one size. All tensors on one device, in one dtype."""

    means: Tensor  # [S, N, 3] metres
    quats: Tensor  # [S, N, 4] wxyz
    scales: Tensor  # [S, N, 3] metres
    opacities: Tensor  # [S, N]
    colors: Tensor  # [S, 1, N, D], or [S, V, N, D] where they depend on the view
    viewmats: Tensor  # [S, V, 4, 4] world to camera
    Ks: Tensor  # [S, V, 3, 3] pixels
    width: int
    height: int
    with_depth: bool
    antialiased: bool
    eps2d: float  # pixels^2 added to the diagonal of every 2D covariance

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(S, V, H, W)"""
        return *self.viewmats.shape[:2], self.height, self.width


@dataclass(frozen=True)
class Rendered:
    """Sums over the Gaussians of each pixel, in front of nothing."""

    color: Tensor  # [S, V, H, W, D]
    alpha: Tensor  # [S, V, H, W, 1]
    depth: Tensor | None  # [S, V, H, W, 1] sum of weights times metres along z


def make_scene(
    gaussians: Gaussians,
    cameras: Cameras,
    mode: Mode = "rgb",
    antialiased: bool = False,
    sh_degree: int | None = None,
    eps2d: float = EPS2D,
) -> Scene:
    """Scenes in one dimension, in the device and dtype of rendering, with colours as they are seen; see `render`.

    Raises:
        ValueError: a shape does not fit, the mode is unknown, the blur is negative, or a number is NaN or infinite.
    """
    if not 0 <= eps2d < math.inf:
        raise ValueError(f"render: expected eps2d >= 0 pixels^2, found {eps2d}")
    if mode not in get_args(Mode):
        raise ValueError(f'render: expected mode "rgb", "rgb+d" or "rgb+ed", found "{mode}"')
    means, colors = gaussians.means, gaussians.colors
    lead = means.shape[:-2]
    if cameras.viewmats.ndim > 3 and cameras.viewmats.shape[:-3] != lead:
        raise ValueError(
            f"render: expected Cameras for all scenes or for each of {tuple(lead)}, "
            f"found {tuple(cameras.viewmats.shape[:-3])}"
        )
    dtype = torch.float64 if means.dtype == torch.float64 and means.device.type == "cpu" else torch.float32

    def scenes(tensor: Tensor, dims: int) -> Tensor:
        """[..., *dims] -> [S, *dims]"""
        tensor = tensor.to(means.device, dtype)
        own = tensor.shape[tensor.ndim - dims :]
        return tensor.expand(*lead, *own).reshape(math.prod(lead), *own)

    means, viewmats = scenes(means, 2), scenes(cameras.viewmats, 3)
    if sh_degree is None:
        if colors.ndim != gaussians.means.ndim:
            raise ValueError(f"render: colours {tuple(colors.shape)} are of spherical harmonics: say sh_degree")
        shown = scenes(colors, 2)[:, None]
    else:
        needed = (sh_degree + 1) ** 2
        if not 0 <= sh_degree <= MAX_DEGREE:
            raise ValueError(f"render: expected sh_degree 0 to {MAX_DEGREE}, found {sh_degree}")
        if colors.ndim != gaussians.means.ndim + 1 or colors.shape[-2] < needed or colors.shape[-1] != 3:
            raise ValueError(
                f"render: sh_degree {sh_degree} needs colours (..., M, >= {needed}, 3), found {tuple(colors.shape)}"
            )
        shown = view_colors(scenes(colors, 3), means, viewmats, sh_degree)
    scene = Scene(
        means=means,
        quats=scenes(gaussians.quats, 2),
        scales=scenes(gaussians.scales, 2),
        opacities=scenes(gaussians.opacities, 1),
        colors=shown,
        viewmats=viewmats,
        Ks=scenes(cameras.Ks.detach(), 3),
        width=cameras.width,
        height=cameras.height,
        with_depth=mode != "rgb",
        antialiased=antialiased,
        eps2d=float(eps2d),
    )
    _check_finite(scene)
    return scene


def compose(rendered: Rendered, background: Tensor | None, mode: Mode, lead: Sequence[int]) -> RenderOutput:
    """Put what was rendered over a background [D], white unless given, with scenes of `lead` dimensions.

    Raises:
        ValueError: the background has another number of channels, or holds NaN or infinite numbers.
    """
    channels = rendered.color.shape[-1]
    if background is None:
        background = rendered.color.new_ones(channels)
    if tuple(background.shape) != (channels,):
        raise ValueError(f"render: expected a background of {channels} channels, found {tuple(background.shape)}")
    background = background.to(rendered.color)
    _check_numbers({"background": background})
    color, depth = rendered.color + (1 - rendered.alpha) * background, rendered.depth
    if depth is not None and mode == "rgb+ed":
        depth = depth / rendered.alpha.clamp(min=DEPTH_ALPHA_MIN)

    def scenes(images: Tensor) -> Tensor:
        return images.view(*lead, *images.shape[1:])

    return RenderOutput(scenes(color), scenes(rendered.alpha), None if depth is None else scenes(depth))


def _check_finite(scene: Scene) -> None:
    _check_numbers(
        {
            "Gaussians.means": scene.means,
            "Gaussians.quats": scene.quats,
            "Gaussians.scales": scene.scales,
            "Gaussians.opacities": scene.opacities,
            "Gaussians.colors": scene.colors,
            "Cameras.viewmats": scene.viewmats,
            "Cameras.Ks": scene.Ks,
        }
    )


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    # One wait for the device, not seven. Where a sum is finite all numbers are; one that overflows is looked at below.
    if torch.stack([tensor.detach().sum() for tensor in tensors.values()]).isfinite().all():
        return
    for name, tensor in tensors.items():
        bad = int((~tensor.isfinite()).sum())
        if bad:
            raise NotFiniteError(f"render: {name} holds {bad} NaN or infinite numbers among {tensor.numel()}")
