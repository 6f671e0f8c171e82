"""What the surface backbone computes, in plain numpy, scipy and torch: any rays, whole images, field by field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from scipy import ndimage
from scipy.spatial import KDTree

from hgg_pyg.backbones import Moment, SurfaceConfig
from hgg_pyg.backbones.local import Local
from hgg_pyg.body.skinning import matrix_to_quaternion, polar_rotation
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.types import Gaussians

REACHES = 0.001 * np.array([0, 10, 20, 30, 45, 65, 90])


@dataclass(frozen=True)
class Lifted:
    """n pixels of one camera."""

    positions: np.ndarray  # [n, 3]
    normals: np.ndarray  # [n, 3]
    toward: np.ndarray  # [n, 3]
    footprints: np.ndarray  # [n]
    colors: np.ndarray  # [n, 3]
    blurred: np.ndarray  # [n, 2, 3]
    silhouette: np.ndarray  # [n]
    borrowed: np.ndarray  # [n]


def surface_reference(moment: Moment, config: SurfaceConfig) -> Gaussians:
    """The Gaussians of a moment that some camera's rays meet the body in, at a stride of 1."""
    images, masks = (x.double().numpy() for x in moment.pixels())
    viewmats, Ks, vertices = (x.double().numpy() for x in (moment.cameras.viewmats, moment.cameras.Ks, moment.vertices))
    mesh = RayMesh(vertices, moment.faces.numpy())
    normals = trimesh.Trimesh(vertices, moment.faces.numpy(), process=False).vertex_normals
    views = [lift(*view, mesh, normals) for view in zip(images, masks, viewmats, Ks, strict=True)]
    points = Lifted(**{n: np.concatenate([vars(v)[n] for v in views if v is not None]) for n in Lifted.__annotations__})
    places = points.positions[:, None] + REACHES[:, None] * points.normals[:, None]
    cover = coverage(places, masks, viewmats, Ks)
    features = describe(points, cover, vertices, moment.vertex_transforms.double())
    return discs(points, cover[:, 0], features, config).to(device="cpu", dtype=torch.float32)


def lift(
    image: np.ndarray, mask: np.ndarray, viewmat: np.ndarray, K: np.ndarray, mesh: RayMesh, normals: np.ndarray
) -> Lifted | None:
    """As `lifting.lift`."""
    rotation, origin = viewmat[:3, :3], -viewmat[:3, :3].T @ viewmat[:3, 3]
    rows, columns = np.nonzero(mask > 0.5)
    focal = np.sqrt(K[0, 0] * K[1, 1])
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], 1) @ np.linalg.inv(K).T @ rotation
    hits = mesh.cast(origin, rays)
    if not hits.met.any():
        return None
    depth = hits.per_ray(hits.distances)[nearest(rows, columns, hits.met, mask.shape)]
    colors = image[rows, columns][nearest(rows, columns, mask[rows, columns] > 0.95, mask.shape)]
    toward = -unit(rays)
    outward = hits.per_ray(unit(mesh.interpolate(normals, hits)))
    sigmas = np.array([0.02, 0.08]) * focal / np.median(depth)
    return Lifted(
        positions=origin + depth[:, None] * rays - 0.4 * (depth / focal)[:, None] * outward,
        normals=np.where(hits.met[:, None], outward, toward),
        toward=toward,
        footprints=depth / focal,
        colors=colors,
        blurred=np.stack([blur(rows, columns, colors, sigma) for sigma in sigmas], 1),
        silhouette=np.asarray(ndimage.distance_transform_edt(np.pad(mask > 0.5, 1)))[rows + 1, columns + 1],
        borrowed=(~hits.met).astype(np.float64),
    )


def nearest(rows: np.ndarray, columns: np.ndarray, chosen: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """For each pixel of a list the position in the list of the nearest chosen one, itself if none is. [n]"""
    if not chosen.any():
        return np.arange(len(rows))
    position, outside = np.zeros(shape, np.int64), np.ones(shape, bool)
    position[rows, columns] = np.arange(len(rows))
    outside[rows[chosen], columns[chosen]] = False
    to = np.asarray(ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True))
    return position[to[0, rows, columns], to[1, rows, columns]]


def blur(rows: np.ndarray, columns: np.ndarray, colors: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean of the listed pixels' colours around each of them; others do not count. [n, 3]"""
    canvas = np.zeros((rows.max() + 1, columns.max() + 1, 4))
    canvas[rows, columns] = np.concatenate([colors, np.ones((len(rows), 1))], 1)
    blurred = ndimage.gaussian_filter(canvas, sigma, axes=(0, 1), mode="constant", truncate=2.5)[rows, columns]
    return blurred[:, :3] / blurred[:, 3:]


def coverage(places: np.ndarray, masks: np.ndarray, viewmats: np.ndarray, Ks: np.ndarray) -> np.ndarray:
    """The least mask at places [..., 3] among the cameras that have them between the centres of their pixels. [...]"""
    least = np.ones(places.shape[:-1])
    for mask, viewmat, K in zip(masks, viewmats, Ks, strict=True):
        seen = (places @ viewmat[:3, :3].T + viewmat[:3, 3]) @ K.T
        column, row = np.moveaxis(seen[..., :2] / seen[..., 2:] - 0.5, -1, 0)
        height, width = mask.shape
        inside = (seen[..., 2] > 0) & (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
        there = ndimage.map_coordinates(mask, [row, column], order=1, mode="nearest")
        least = np.where(inside, np.minimum(least, there), least)
    return least


def describe(points: Lifted, cover: np.ndarray, vertices: np.ndarray, vertex_transforms: torch.Tensor) -> np.ndarray:
    """Features. [n, C]"""
    bound = np.asarray(KDTree(vertices).query(points.positions)[1])
    rotations = polar_rotation(vertex_transforms[:, :3, :3])[bound]
    local = Local(rotations.mT @ torch.from_numpy(points.positions - vertices[bound])[..., None], rotations)
    columns = [
        local.offsets[..., 0].numpy() / 0.05,
        local.directions(torch.from_numpy(points.normals)).numpy(),
        *((colors - 0.5) / 0.25 for colors in (points.colors, points.blurred[:, 0], points.blurred[:, 1])),
        local.directions(torch.from_numpy(points.toward)).numpy(),
        ((points.normals * points.toward).sum(1) - 0.7) / 0.3,
        np.log(points.silhouette) - 1,
        points.silhouette * points.footprints / 0.05 - 1,
        points.borrowed,
        np.log(points.footprints / 0.02),
        (cover[:, 0] - 0.9) / 0.15,
        (cover[:, 1:] - 0.4) / 0.4,
    ]
    return np.concatenate([column.reshape(len(bound), -1) for column in columns], 1)


def discs(points: Lifted, cover: np.ndarray, features: np.ndarray, config: SurfaceConfig) -> Gaussians:
    """Flat discs along the surface."""
    facing = (points.normals * points.toward).sum(1, keepdims=True)
    slope = points.toward - facing * points.normals  # in the surface, along the line of sight
    any_direction = np.cross(points.normals, np.eye(3)[np.abs(points.normals).argmin(1)])
    slope = unit(np.where((slope**2).sum(1, keepdims=True) > 1e-8, slope, any_direction))
    axes = np.stack([slope, np.cross(points.normals, slope), points.normals], -1)
    stretch = 1 / np.abs(facing).clip(1 / config.max_stretch)
    ratios = np.concatenate([stretch, np.ones_like(stretch), np.full_like(stretch, config.thickness)], 1)
    return Gaussians(
        means=torch.from_numpy(points.positions),
        quats=matrix_to_quaternion(torch.from_numpy(axes)),
        scales=torch.from_numpy(config.footprint * points.footprints[:, None] * ratios),
        opacities=torch.from_numpy(config.opacity * np.maximum(cover**6, 0.004)),
        colors=torch.from_numpy(points.colors),
        features=torch.from_numpy(features),
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each divided by its length. [n, 3]"""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
