"""From one camera's pixels to points on and around the body: depth, normal, size and colours of each."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from hgg_pyg.kernels.raycast import RayMesh

_FOREGROUND = 0.5  # a pixel belongs to the person when they cover more of it than this
_SOLID = 0.95  # below this the background shows through a pixel's colour
_SINK = 0.4  # pixels below the surface, so that a Gaussian's soft outside ends about where the surface is


@dataclass(frozen=True)
class Points:
    """n lifted pixels, float64, world coordinates."""

    positions: np.ndarray  # [n, 3] metres
    normals: np.ndarray  # [n, 3] unit, outward
    toward: np.ndarray  # [n, 3] unit, to the camera
    footprints: np.ndarray  # [n] metres that a pixel spans at this depth
    colors: np.ndarray  # [n, 3]
    blurred: np.ndarray  # [n, R, 3] the colour around, at R radii
    silhouette: np.ndarray  # [n] pixels to the person's outline
    borrowed: np.ndarray  # [n] 1 where the body is not met and the depth is that of the nearest pixel where it is

    @staticmethod
    def cat(parts: list[Points]) -> Points:
        """Several cameras' points, one after the other."""
        return Points(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Points)})


def lift(
    image: np.ndarray,  # [H, W, 3]
    mask: np.ndarray,  # [H, W]
    viewmat: np.ndarray,  # [4, 4] world to camera
    K: np.ndarray,  # [3, 3]
    mesh: RayMesh,
    radii: tuple[float, ...],  # metres
) -> Points:
    """Cast a ray through every pixel of the person and put a point where it meets the body, just under the surface.

    A pixel whose ray misses the body (hair, loose clothes) takes the depth of the nearest pixel whose ray does not, and
    faces the camera. A pixel that the background shows through takes the colour of the nearest one that it does not:
    its own is a mixture that would leave a rim in the colour of the studio around the person in every other view.
    A camera in which no ray meets the body gives no points.
    """
    rotation, origin = viewmat[:3, :3], -viewmat[:3, :3].T @ viewmat[:3, 3]
    rows, columns = np.nonzero(mask > _FOREGROUND)
    focal = np.sqrt(K[0, 0] * K[1, 1])
    centers = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], 1)
    rays = centers @ np.linalg.inv(K).T @ rotation  # of depth 1 along the camera's axis
    hits = mesh.cast(origin, rays)
    if not hits.met.any():
        return _no_points(len(radii))
    depth = hits.per_ray(hits.distances)[_nearest(rows, columns, hits.met, mask.shape)]
    colors = image[rows, columns][_nearest(rows, columns, mask[rows, columns] > _SOLID, mask.shape)]
    toward = -rays / np.linalg.norm(rays, axis=1, keepdims=True)
    outward = mesh.interpolate(mesh.vertex_normals, hits)
    outward = hits.per_ray(outward / np.linalg.norm(outward, axis=1, keepdims=True).clip(1e-12))
    sink = _SINK * (depth / focal)[:, None] * outward  # none where the body is not met
    return Points(
        positions=origin + depth[:, None] * rays - sink,
        normals=np.where(hits.met[:, None], outward, toward),
        toward=toward,
        footprints=depth / focal,
        colors=colors,
        blurred=np.stack([_blur(rows, columns, colors, radius * focal / np.median(depth)) for radius in radii], 1),
        silhouette=np.asarray(ndimage.distance_transform_edt(np.pad(mask > _FOREGROUND, 1)))[rows + 1, columns + 1],
        borrowed=(~hits.met).astype(np.float64),
    )


def _no_points(radii: int) -> Points:
    vectors, numbers = np.zeros((0, 3)), np.zeros(0)
    return Points(vectors, vectors, vectors, numbers, vectors, np.zeros((0, radii, 3)), numbers, numbers)


def _nearest(rows: np.ndarray, columns: np.ndarray, chosen: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """For each pixel of a list the position in the list of the nearest chosen one, itself if none is. [n]"""
    if not chosen.any():
        return np.arange(len(rows))
    position = np.zeros(shape, np.int64)
    position[rows, columns] = np.arange(len(rows))
    outside = np.ones(shape, bool)
    outside[rows[chosen], columns[chosen]] = False
    to = np.asarray(ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True))
    return position[to[0, rows, columns], to[1, rows, columns]]


def _blur(rows: np.ndarray, columns: np.ndarray, colors: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean of the listed pixels' colours around each of them; others do not count. [n, 3]"""
    top, left = rows.min(), columns.min()
    canvas = np.zeros((rows.max() - top + 1, columns.max() - left + 1, 4))
    canvas[rows - top, columns - left] = np.concatenate([colors, np.ones((len(rows), 1))], 1)
    blurred = ndimage.gaussian_filter(canvas, sigma, axes=(0, 1), mode="constant", truncate=2.5)
    return blurred[rows - top, columns - left, :3] / blurred[rows - top, columns - left, 3:]
