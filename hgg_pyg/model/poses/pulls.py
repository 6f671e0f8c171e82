"""How the images pull at a body: the gradient of a rendering error by its joints, its place and its shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from hgg_pyg.body.blending import blend
from hgg_pyg.body.skin_points import SkinPoints
from hgg_pyg.model.poses.stance import Stance
from hgg_pyg.render import render
from hgg_pyg.types import Cameras, Gaussians

_OPACITY = 0.95
_LEAST_WEIGHT = 0.3  # pixels: below this a point is hardly seen, and keeps its colour


@dataclass(frozen=True)
class PoseImages:
    """Squares around the person in T frames by V cameras, all of one size."""

    cameras: Cameras  # [T, V]
    rgb: Tensor  # [T, V, S, S, 3] on white
    alpha: Tensor  # [T, V, S, S, 1]

    def to(self, device: str | torch.device) -> PoseImages:
        """A copy on a device."""
        return PoseImages(self.cameras.to(device), self.rgb.to(device), self.alpha.to(device))

    def some(self, first: int, count: int) -> PoseImages:
        """Of each frame so many views from the first on, counted round and round; all where there are no more."""
        views = self.rgb.shape[1]
        if count >= views:
            return self
        chosen = [(first + i) % views for i in range(count)]
        cameras = replace(self.cameras, viewmats=self.cameras.viewmats[:, chosen], Ks=self.cameras.Ks[:, chosen])
        return PoseImages(cameras, self.rgb[:, chosen], self.alpha[:, chosen])

    @cached_property
    def detail(self) -> Tensor:
        r"""How fast images change, :math:`M |\nabla I|^2 + |\nabla M|^2` per squared pixel. [T, V, S, S]"""
        inside = self.alpha[..., 0]
        of_colors = sum(_slope(channel) for channel in self.rgb.unbind(-1))
        return inside * of_colors + _slope(inside)

    @cached_property
    def mean_color(self) -> Tensor:
        """Of the person in all images. [3]"""
        inside = self.alpha.flatten(0, 3)
        return (inside * self.rgb.flatten(0, 3)).sum(0) / inside.sum().clamp_min(1)


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
    frames, count = len(stance.transl), len(points.chosen)
    with torch.no_grad():
        maps = blend(points.weights, stance.maps, stance.transl)
        means = (maps[..., :3, :3] @ points.shaped(stance.betas)[..., None])[..., 0] + maps[..., :3, 3]
    with torch.enable_grad():
        means = means.detach().requires_grad_()
        # Channels that are zero: gradients by them are sums over the pixels that a point covers.
        channels = torch.cat([colors, colors.new_zeros(count, 4)], 1).expand(frames, count, 7).clone().requires_grad_()
        drawn = render(
            Gaussians(
                means=means,
                quats=means.new_tensor([1.0, 0, 0, 0]).expand(frames, count, 4),
                scales=points.sigma[:, None].expand(frames, count, 3),
                opacities=means.new_full((frames, count), _OPACITY),
                colors=channels,
            ),
            images.cameras,
            background=means.new_tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        )
        inside = images.alpha
        wrong = (inside * (drawn.rgb[..., :3] - images.rgb).square()).sum(-1)
        error = 0.5 * (wrong.sum() + (drawn.alpha - inside).square().sum())
        steep = images.detail * _pixels_per_metre(images.cameras, stance.transl).square()[..., None, None]
        told = torch.stack([torch.ones_like(wrong), inside[..., 0], steep, wrong.detach()], -1)
        sums = (told * drawn.rgb[..., 3:]).sum()
        of_means, of_channels = torch.autograd.grad(error + sums, (means, channels))
    pixels = of_channels.sum(0)
    colors = colors - pixels[:, :3] / (pixels[:, 4:5] + _LEAST_WEIGHT)
    seen, within, stiffness, wrong = of_channels[..., 3:].unbind(-1)
    return Pulls(means.detach(), -of_means, seen, seen - within, stiffness, wrong, colors.clamp(0, 1))


def _slope(image: Tensor) -> Tensor:
    """Squared gradient by central differences, half of which each side has. [..., S, S]"""
    across, down = torch.gradient(image, dim=(-1, -2))
    return across.square() + down.square()


def _pixels_per_metre(cameras: Cameras, places: Tensor) -> Tensor:
    """At the places [T, 3] of a person, in their images. [T, V]"""
    depth = (cameras.viewmats[..., 2, :3] * places[:, None]).sum(-1) + cameras.viewmats[..., 2, 3]
    return cameras.Ks[..., 0, 0] / depth.clamp_min(0.1)
