"""How the images pull at a body: the gradient of a rendering error by its joints, its place and its shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hgg_pyg.body.blending import blend
from hgg_pyg.body.skin_points import SkinPoints
from hgg_pyg.model.poses import fast_look
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.model.poses.stance import Stance
from hgg_pyg.render import render
from hgg_pyg.types import Cameras, Gaussians

_OPACITY = 0.95
_LEAST_WEIGHT = 0.3  # pixels: below this a point is hardly seen, and keeps its colour


@dataclass(frozen=True)
class Pulls:
    """What one look at the images says."""

    points: Tensor  # [T, P, 3] metres, where the points are
    pulls: Tensor  # [T, P, 3] the direction in which each would have to move, per metre, a sum over pixels
    seen: Tensor  # [T, P] pixels that each covers
    outside: Tensor  # [T, P] of these, those outside the masks
    stiffness: Tensor  # [T, P] about how the pull falls when a point follows it, per squared metre
    wrong: Tensor  # [T, P] squared error of colour within the masks, a sum over the pixels that it covers
    colors: Tensor  # [P, 3] of the points, as the images have them where they are now


def start_colors(images: PoseImages, points: SkinPoints) -> Tensor:
    """Of points that nobody has looked at: the person's mean colour. [P, 3]"""
    return images.mean_color.expand(len(points.chosen), 3)


def look(points: SkinPoints, stance: Stance, images: PoseImages, colors: Tensor) -> Pulls:
    r"""Draw a body of coloured points in all images, and compare.

    .. math::
        E = \tfrac12 \sum_{f,v,p} M^*_{fvp} |I_{fvp} - I^*_{fvp}|^2 + (A_{fvp} - M^*_{fvp})^2, \qquad
        g_{fn} = -\partial E / \partial x_{fn}

    I and A are what the renderer draws of the points x in white surroundings, I* and M* the images and masks. Colours
    become the mean of the images where the points are seen within the masks,

    .. math:: c_n \leftarrow c_n - \frac{\partial E / \partial c_n}{\sum_{fvp} M^*_{fvp} \alpha_{np} T_{np}},

    one step of Jacobi's for the least squares that they solve. No gradient passes.

    Args:
        points: P points below the skin.
        stance: of the body in T frames.
        images: of the same frames.
        colors: [P, 3]
    """
    with torch.no_grad():
        maps = blend(points.weights, stance.maps, stance.transl)
        means = (maps[..., :3, :3] @ points.shaped(stance.betas)[..., None])[..., 0] + maps[..., :3, 3]
        zoom = _pixels_per_metre(images.cameras, stance.transl)
    compare = fast_look.compare if fast_look.can_compare(means) else compare_by_autograd
    of_means, of_channels = compare(soft_points(means, points.sigma, colors), images, zoom)
    pixels = of_channels.sum(0)
    colors = colors - pixels[:, :3] / (pixels[:, 4:5] + _LEAST_WEIGHT)
    seen, within, stiffness, wrong = of_channels[..., 3:].unbind(-1)
    return Pulls(means, -of_means, seen, seen - within, stiffness, wrong, colors.clamp(0, 1))


def soft_points(means: Tensor, sigma: Tensor, colors: Tensor) -> Gaussians:
    """Round Gaussians. means [T, P, 3], sigma [P] metres, colors [P, 3]"""
    shape = means.shape[:-1]
    return Gaussians(
        means=means.detach(),
        quats=means.new_tensor([1.0, 0, 0, 0]).expand(*shape, 4),
        scales=sigma[:, None].expand(*shape, 3),
        opacities=means.new_full(shape, _OPACITY),
        colors=colors.expand(*shape, 3),
    )


def compare_by_autograd(points: Gaussians, images: PoseImages, zoom: Tensor) -> tuple[Tensor, Tensor]:
    """Draw points, compare them with images and differentiate: the reference of `fast_look.compare`, on any device.

    Args:
        points: [T, P] round, with three colours.
        images: T frames of V views.
        zoom: [T, V] pixels per metre.

    Returns:
        Gradients of the error by the points' places [T, P, 3], and sums over the pixels of each [T, P, 7]: the
        gradients by its colours, then of its weights, of these within the masks, times how steep the images are, and
        times the squared errors of colour.
    """
    with torch.enable_grad():
        means = points.means.detach().requires_grad_()
        # Channels that are zero: gradients by them are sums over the pixels that a point covers.
        channels = torch.cat([points.colors, points.colors.new_zeros(*points.colors.shape[:-1], 4)], -1)
        channels = channels.detach().requires_grad_()
        drawn = render(
            replace(points, means=means, colors=channels),
            images.cameras,
            background=means.new_tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        )
        inside = images.alpha
        wrong = (inside * (drawn.rgb[..., :3] - images.rgb).square()).sum(-1)
        error = 0.5 * (wrong.sum() + (drawn.alpha - inside).square().sum())
        steep = images.detail * zoom.square()[..., None, None]
        told = torch.stack([torch.ones_like(wrong), inside[..., 0], steep, wrong.detach()], -1)
        sums = (told * drawn.rgb[..., 3:]).sum()
        of_means, of_channels = torch.autograd.grad(error + sums, (means, channels))
    return of_means, of_channels


def _pixels_per_metre(cameras: Cameras, places: Tensor) -> Tensor:
    """At the places [T, 3] of a person, in their images. [T, V]"""
    depth = (cameras.viewmats[..., 2, :3] * places[:, None]).sum(-1) + cameras.viewmats[..., 2, 3]
    return cameras.Ks[..., 0, 0] / depth.clamp_min(0.1)
