"""From one camera's pixels to points on and around the body: depth, normal, size and colours of each."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hgg_pyg.kernels.blur import blur
from hgg_pyg.kernels.first_hits import first_hits
from hgg_pyg.kernels.nearest_pixel import nearest_pixels
from hgg_pyg.kernels.numba_tools import kernel

_FOREGROUND = 0.5  # a pixel belongs to the person when they cover more of it than this
_SOLID = 0.95  # below this the background shows through a pixel's colour
_SINK = 0.4  # pixels below the surface, so that a Gaussian's soft outside ends about where the surface is


@dataclass(frozen=True)
class Body:
    """The posed body that pixels are lifted to."""

    vertices: np.ndarray  # [N, 3] float64, world, metres
    faces: np.ndarray  # [F, 3] int64
    normals: np.ndarray  # [N, 3] float64, unit, outward


@dataclass(frozen=True)
class Points:
    """n lifted pixels, world coordinates, float64 but for the colours, which are float32."""

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
    image: np.ndarray,  # [H, W, 3] float32
    mask: np.ndarray,  # [H, W] float32
    viewmat: np.ndarray,  # [4, 4] float64, world to camera
    K: np.ndarray,  # [3, 3] float64
    body: Body,
    radii: tuple[float, ...],  # metres
) -> Points:
    """Cast a ray through every pixel of the person and put a point where it meets the body, just under the surface.

    A pixel whose ray misses the body (hair, loose clothes) takes the depth of the nearest pixel whose ray does not, and
    faces the camera. A pixel that the background shows through takes the colour of the nearest one that it does not:
    its own is a mixture that would leave a rim in the colour of the studio around the person in every other view.
    A camera in which no ray meets the body gives no points.
    """
    rows, columns = np.nonzero(mask > _FOREGROUND)
    origin, to_world = -viewmat[:3, :3].T @ viewmat[:3, 3], viewmat[:3, :3].T @ np.linalg.inv(K)
    hits = first_hits(body.vertices, body.faces, origin, to_world, rows, columns)
    met = hits.faces >= 0
    if not met.any():
        return _no_points(len(radii))
    # From here on an image of the person alone, with a margin of one pixel.
    image_rows, image_columns = rows, columns
    rows, columns = rows - rows.min() + 1, columns - columns.min() + 1
    place = np.full((rows.max() + 2, columns.max() + 2), -1)  # of each pixel in the list
    place[rows, columns] = np.arange(len(rows))
    solid = mask[image_rows, image_columns] > _SOLID
    colors = image[image_rows, image_columns][_nearest(place, rows, columns, solid)]
    depths = hits.depths[_nearest(place, rows, columns, met)]
    focal = np.sqrt(K[0, 0] * K[1, 1])
    corners = body.faces[hits.faces]  # of any face where none is met
    positions, normals, toward = _place(
        *(image_rows, image_columns, depths, hits.shares, corners), *(body.normals, to_world, origin, _SINK / focal)
    )
    return Points(
        positions=positions,
        normals=normals,
        toward=toward,
        footprints=depths / focal,
        colors=colors,
        blurred=np.stack([blur(colors, rows, columns, radius * focal / np.median(depths)) for radius in radii], 1),
        silhouette=nearest_pixels(place < 0, rows, columns)[1],
        borrowed=(~met).astype(np.float64),
    )


def _no_points(radii: int) -> Points:
    vectors, numbers, colors = np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3), np.float32)
    return Points(vectors, vectors, vectors, numbers, colors, np.zeros((0, radii, 3), np.float32), numbers, numbers)


def _nearest(place: np.ndarray, rows: np.ndarray, columns: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """For each pixel of a list the position in the list of the nearest chosen one, itself if none is. [n]"""
    nearest, others = np.arange(len(rows)), np.flatnonzero(~chosen)
    if len(others) < len(rows):
        image = np.zeros(place.shape, bool)
        image[rows[chosen], columns[chosen]] = True
        nearest[others] = place.ravel()[nearest_pixels(image, rows[others], columns[others])[0]]
    return nearest


@kernel
def _place(rows, columns, depths, shares, corners, vertex_normals, to_world, origin, sink):  # pyright: ignore[reportMissingParameterType]
    """Where points are, their normals and the directions to the camera. Shares are zero where the body is not met."""
    positions, normals, toward = np.empty((len(rows), 3)), np.empty((len(rows), 3)), np.empty((len(rows), 3))
    for i in range(len(rows)):
        x, y = columns[i] + 0.5, rows[i] + 0.5
        square, length = 0.0, 0.0
        for k in range(3):
            ray = to_world[k, 0] * x + to_world[k, 1] * y + to_world[k, 2]
            positions[i, k], toward[i, k] = origin[k] + depths[i] * ray, -ray
            square += ray * ray
            normals[i, k] = 0
            for corner in range(3):
                normals[i, k] += shares[i, corner] * vertex_normals[corners[i, corner], k]
            length += normals[i, k] ** 2
        square, length = np.sqrt(square), np.sqrt(length)
        for k in range(3):
            toward[i, k] /= square
            if shares[i, 0] + shares[i, 1] + shares[i, 2] == 0:
                normals[i, k] = toward[i, k]
            else:
                normals[i, k] /= max(length, 1e-12)
                positions[i, k] -= sink * depths[i] * normals[i, k]
    return positions, normals, toward
