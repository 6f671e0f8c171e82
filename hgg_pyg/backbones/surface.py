"""The surface backbone: pixels put on the body. It has no weights, so it works on any capture as it comes."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from hgg_pyg.backbones.base import FromImages, Moment
from hgg_pyg.backbones.describing import FEATURE_NAMES, REACHES_MM, describe
from hgg_pyg.backbones.lifting import Body, Points, lift
from hgg_pyg.backbones.visual_hull import coverage
from hgg_pyg.config import Bounds, Pixels, check_choices
from hgg_pyg.kernels.nearest import nearest_vertices
from hgg_pyg.kernels.normals import vertex_normals
from hgg_pyg.kernels.polar import polar_rotations
from hgg_pyg.types import Gaussians

_VERSION = 5  # raise it whenever the same input gives another result
_Ratio = Annotated[float, Bounds(0, 65_535, above=True)]  # of a Gaussian to a pixel or to itself: an image's side
_BLUR_RADII = (0.02, 0.08)  # metres


@dataclass(frozen=True)
class SurfaceConfig:
    """How pixels become Gaussians."""

    stride: Pixels = 1
    """side of the square block of pixels that becomes one Gaussian of their mean colour"""
    footprint: _Ratio = 0.35
    """standard deviation of a Gaussian along the surface, in pixels"""
    thickness: _Ratio = 0.3
    """standard deviation along the normal, as a share of that along the surface"""
    max_stretch: Annotated[float, Bounds(1, 65_535)] = 3.0
    """largest factor by which a Gaussian is stretched along a surface seen at a grazing angle"""
    opacity: Annotated[float, Bounds(0, 1, above=True)] = 0.85
    """opacity of Gaussians well inside the outline"""

    def __post_init__(self) -> None:
        check_choices(self)


class SurfaceBackbone(FromImages):
    """Every pixel of the person becomes a Gaussian where its ray meets the posed body.

    A Gaussian is a flat disc along the surface, as large as its pixel there: with `a` the footprint of a pixel, `n` the
    normal and `v` the direction to the camera, the standard deviations are `f a / max(|n.v|, 1/max_stretch)` down the
    slope, `f a` across it and `f a * thickness` along `n`. See `lifting.lift` for pixels whose ray misses the body.

    A Gaussian fades where any camera sees background or the outline: its opacity is `opacity * coverage^6`, see
    `visual_hull.coverage`. None is left out.
    """

    views: int | None = None
    one_core: bool = True

    def __init__(self, config: SurfaceConfig = SurfaceConfig()) -> None:
        self.config = config
        self.feature_names = FEATURE_NAMES

    @property
    def feature_dim(self) -> int:
        """C."""
        return len(self.feature_names)

    @property
    def digest(self) -> str:
        """Hash of the class, its version and its configuration."""
        text = f"{type(self).__name__} {_VERSION} {astuple(self.config)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @torch.no_grad()
    def __call__(self, moment: Moment) -> Gaussians:
        """Gaussians in the world with features [M, C], float32, on the CPU. M is 0 if nothing is seen.

        Raises:
            ValueError: shapes do not fit.
        """
        if moment.vertex_transforms.shape != (len(moment.vertices), 4, 4):
            found = tuple(moment.vertex_transforms.shape)
            raise ValueError(f"SurfaceBackbone: vertex_transforms: expected a 4x4 matrix per vertex, found {found}")
        images, masks, Ks = self._blocks(*moment.pixels(), moment.cameras.Ks)
        images, masks, viewmats, Ks = _float32(images), _float32(masks), _float64(moment.cameras.viewmats), _float64(Ks)
        vertices, faces = _float64(moment.vertices), moment.faces.cpu().contiguous().numpy()
        body = Body(vertices, faces, vertex_normals(vertices, faces))
        points = Points.cat([lift(*view, body, _BLUR_RADII) for view in zip(images, masks, viewmats, Ks, strict=True)])
        reaches = 0.001 * np.array([0, *REACHES_MM])
        cover = coverage(points.positions, points.normals, reaches, masks, viewmats, Ks)
        bound = nearest_vertices(points.positions, vertices)
        used = np.zeros(len(vertices), bool)
        used[bound] = True
        rotations = polar_rotations(_float64(moment.vertex_transforms[:, :3, :3]), used)
        config = self.config
        shape = (config.footprint, config.thickness, config.max_stretch)
        return describe(points, cover, bound, vertices, rotations, shape, config.opacity)

    def _blocks(self, images: Tensor, masks: Tensor, Ks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images and masks shrunk by the stride, colours weighted by the mask, and the intrinsics to match."""
        stride = self.config.stride
        if stride == 1:
            return images, masks, Ks
        weighted = torch.cat([images * masks[..., None], masks[..., None]], -1).permute(0, 3, 1, 2)
        means = nn.functional.avg_pool2d(weighted, stride, ceil_mode=True).permute(0, 2, 3, 1)
        scale = torch.tensor([1 / stride, 1 / stride, 1], dtype=Ks.dtype, device=Ks.device)
        return means[..., :3] / means[..., 3:].clamp_min(1e-6), means[..., 3], scale[:, None] * Ks


def _float64(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().contiguous().numpy()


def _float32(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()
