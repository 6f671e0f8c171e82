"""The surface backbone: pixels put on the body. It has no weights, so it works on any capture as it comes."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hgg_pyg.backbones.base import Moment
from hgg_pyg.backbones.lifting import Points, lift
from hgg_pyg.backbones.local import localise
from hgg_pyg.backbones.visual_hull import coverage
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.config import check_choices
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.types import Gaussians

_VERSION = 4  # raise it whenever the same input gives another result
_BLUR_RADII = (0.02, 0.08)  # metres
_REACHES_MM = (10, 20, 30, 45, 65, 90)  # off the surface along its normal: from tight clothes to a skirt
# What several cameras put around the outline adds up to a person that is a pixel too thick. On synthetic people, powers
# from 4 to 8 are equally good for novel views and poses, over 2 dB better than 0.
_OUTLINE_POWER = 6
_FAINTEST = 0.004  # just too faint to be rendered, but not zero: the network may find a use for such a Gaussian
_FEATURES = (
    ("offset", 3),  # from the bound vertex, 5 cm
    ("normal", 3),
    ("color", 3),
    ("color_near", 3),  # blurred by the first radius
    ("color_around", 3),  # by the second
    ("view", 3),  # to the camera
    ("facing", 1),  # cosine between normal and view
    ("outline_pixels", 1),  # log distance to the person's outline
    ("outline_metres", 1),  # the same, 5 cm
    ("borrowed", 1),  # 1 where the depth is not the pixel's own
    ("footprint", 1),  # log size of a pixel at this depth, 2 cm
    ("coverage", 1),  # how sure all cameras are that the person is there
    *((f"coverage_{reach}mm", 1) for reach in _REACHES_MM),  # and so far off the surface: how thick the clothes may be
)


@dataclass(frozen=True)
class SurfaceConfig:
    """How pixels become Gaussians."""

    stride: int = 1
    """side of the square block of pixels that becomes one Gaussian of their mean colour"""
    footprint: float = 0.35
    """standard deviation of a Gaussian along the surface, in pixels"""
    thickness: float = 0.3
    """standard deviation along the normal, as a share of that along the surface"""
    max_stretch: float = 3.0
    """largest factor by which a Gaussian is stretched along a surface seen at a grazing angle"""
    opacity: float = 0.85
    """opacity of Gaussians well inside the outline"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.stride < 1:
            raise ValueError(f"SurfaceConfig.stride: expected at least 1, found {self.stride}")
        for name in ("footprint", "thickness", "opacity"):
            if getattr(self, name) <= 0:
                raise ValueError(f"SurfaceConfig.{name}: expected above 0, found {getattr(self, name)}")
        if self.max_stretch < 1 or self.opacity > 1:
            raise ValueError("SurfaceConfig: expected max_stretch >= 1 and opacity <= 1")


class SurfaceBackbone:
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
        self.feature_names = tuple(
            name if width == 1 else f"{name}_{axis}" for name, width in _FEATURES for axis in "xyz"[:width]
        )

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
        mesh = RayMesh(_float64(moment.vertices), moment.faces.cpu().numpy())
        colors, covers, viewmats, Ks = (_float64(x) for x in (images, masks, moment.cameras.viewmats, Ks))
        views = zip(colors, covers, viewmats, Ks, strict=True)
        points = Points.cat([lift(*view, mesh, _BLUR_RADII) for view in views])
        reaches = 0.001 * np.array([0, *_REACHES_MM])[:, None]
        cover = coverage(points.positions[:, None] + reaches * points.normals[:, None], covers, viewmats, Ks)
        gaussians = self._discs(points, cover[:, 0], _features(points, cover, moment))
        return gaussians.to(device="cpu", dtype=torch.float32)

    def _blocks(self, images: Tensor, masks: Tensor, Ks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images and masks shrunk by the stride, colours weighted by the mask, and the intrinsics to match."""
        stride = self.config.stride
        if stride == 1:
            return images, masks, Ks
        weighted = torch.cat([images * masks[..., None], masks[..., None]], -1).permute(0, 3, 1, 2)
        means = nn.functional.avg_pool2d(weighted, stride, ceil_mode=True).permute(0, 2, 3, 1)
        scale = torch.tensor([1 / stride, 1 / stride, 1], dtype=Ks.dtype, device=Ks.device)
        return means[..., :3] / means[..., 3:].clamp_min(1e-6), means[..., 3], scale[:, None] * Ks

    def _discs(self, points: Points, cover: np.ndarray, features: np.ndarray) -> Gaussians:
        config = self.config
        facing = (points.normals * points.toward).sum(1, keepdims=True)
        slope = points.toward - facing * points.normals  # in the surface, along the line of sight
        any_direction = np.cross(points.normals, np.eye(3)[np.abs(points.normals).argmin(1)])
        slope = _unit(np.where((slope**2).sum(1, keepdims=True) > 1e-8, slope, any_direction))
        axes = np.stack([slope, np.cross(points.normals, slope), points.normals], -1)
        stretch = 1 / np.abs(facing).clip(1 / config.max_stretch)
        ratios = np.concatenate([stretch, np.ones_like(stretch), np.full_like(stretch, config.thickness)], 1)
        return Gaussians(
            means=torch.from_numpy(points.positions),
            quats=matrix_to_quaternion(torch.from_numpy(axes)),
            scales=torch.from_numpy(config.footprint * points.footprints[:, None] * ratios),
            opacities=torch.from_numpy(config.opacity * np.maximum(cover**_OUTLINE_POWER, _FAINTEST)),
            colors=torch.from_numpy(points.colors),
            features=torch.from_numpy(features),
        )


def _features(points: Points, cover: np.ndarray, moment: Moment) -> np.ndarray:
    """What is known of each pixel, in the axes that its vertex has in the rest pose, scaled to about 1. [n, C]

    cover [n, 1 + reaches] is that of the point, then those of places off the surface.
    """
    vertices, vertex_transforms = moment.vertices.double().cpu(), moment.vertex_transforms.double().cpu()
    local = localise(torch.from_numpy(points.positions), vertices, vertex_transforms)
    facing = (points.normals * points.toward).sum(1)
    columns = {
        "offset": local.offsets.numpy() / 0.05,
        "normal": local.directions(torch.from_numpy(points.normals)).numpy(),
        "color": (points.colors - 0.5) / 0.25,
        "color_near": (points.blurred[:, 0] - 0.5) / 0.25,
        "color_around": (points.blurred[:, 1] - 0.5) / 0.25,
        "view": local.directions(torch.from_numpy(points.toward)).numpy(),
        "facing": (facing - 0.7) / 0.3,
        "outline_pixels": np.log(points.silhouette) - 1,
        "outline_metres": points.silhouette * points.footprints / 0.05 - 1,
        "borrowed": points.borrowed,
        "footprint": np.log(points.footprints / 0.02),
        "coverage": (cover[:, 0] - 0.9) / 0.15,
        **{f"coverage_{reach}mm": (cover[:, i] - 0.4) / 0.4 for i, reach in enumerate(_REACHES_MM, 1)},
    }
    return np.concatenate([columns[name].reshape(len(facing), width) for name, width in _FEATURES], 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _float64(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
