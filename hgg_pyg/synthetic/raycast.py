"""Images of a posed figure: rays through four points of every pixel, colours from where they hit, a soft light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hgg_pyg.kernels.raycast import Hits, RayMesh
from hgg_pyg.synthetic.optics import distort, undistort
from hgg_pyg.synthetic.skeleton import skin
from hgg_pyg.synthetic.surface import Surface, vertex_normals

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Points in the chart [n, 3] and the chart's unit normals there [n, 3] -> RGB [n, 3]."""

_SUBPIXELS = 0.25 + 0.5 * np.stack(np.meshgrid([0, 1], [0, 1], indexing="ij"), -1).reshape(4, 2)
_LIGHT = np.array([0.35, 0.75, 0.56], np.float32)  # towards the lamp, fixed in the world
_LIGHT /= np.linalg.norm(_LIGHT)
_AMBIENT = 0.65  # light on what faces away from the lamp
_LINING = 0.55  # light on the inner side of a sleeve or a hem
_RAYS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class Part:
    """One surface of a figure and its colours."""

    surface: Surface
    paint: Paint


@dataclass(frozen=True)
class View:
    """A camera, OpenCV: x_cam = rotation @ x + translation, pixel centres at +0.5."""

    intrinsics: np.ndarray  # [3, 3] pixels
    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3] metres
    width: int  # pixels
    height: int
    distortion: np.ndarray | None = None  # [5] k1, k2, p1, p2, k3; None: a pinhole

    @property
    def center(self) -> np.ndarray:
        """The camera's position in the world. [3]"""
        return -self.rotation.T @ self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points to pixels. [n, 3] -> [n, 2]"""
        if self.distortion is None:
            x, y, depth = self.intrinsics @ (self.rotation @ points.T + self.translation[:, None])
            return np.stack([x / depth, y / depth]).T
        x, y, depth = self.rotation @ points.T + self.translation[:, None]
        shown = distort(np.stack([x / depth, y / depth], 1), self.distortion)
        return shown @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2]

    def directions(self, pixels: np.ndarray) -> np.ndarray:
        """World directions of the rays through points of the image, any length. [n, 2] -> [n, 3]"""
        points = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
        to_camera = np.linalg.inv(self.intrinsics)
        if self.distortion is None:
            return points @ (self.rotation.T @ to_camera).T
        points = points @ to_camera.T
        points[:, :2] = undistort(points[:, :2], self.distortion)
        return points @ self.rotation


@dataclass(frozen=True)
class RenderedImage:
    """What a camera sees of a figure."""

    rgb: np.ndarray  # [height, width, 3] float32 in [0, 1]
    cover: np.ndarray  # [height, width] float32 in [0, 1], the share of each pixel that the figure covers
    parts: np.ndarray  # [height, width] int16, 1 + the highest index among the parts seen in the pixel, 0 for none


class Figure:
    """All the surfaces of one subject in one mesh, ready to be posed and rendered.

    Args:
        parts: the surfaces, with weights for the same joints.
    """

    def __init__(self, parts: list[Part]) -> None:
        surfaces = [part.surface for part in parts]
        starts = np.cumsum([0, *(len(surface) for surface in surfaces[:-1])])
        self.faces = np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)])
        self.paints = [part.paint for part in parts]
        self.part_of_face = np.repeat(np.arange(len(parts)), [len(surface.faces) for surface in surfaces])
        self.charts = np.concatenate([np.c_[s.chart, s.chart_normals] for s in surfaces]).astype(np.float32)
        self._vertices = np.concatenate([surface.vertices for surface in surfaces]).astype(np.float32)
        self._weights = np.concatenate([surface.weights for surface in surfaces]).astype(np.float32)

    def vertices(self, joint_transforms: np.ndarray) -> np.ndarray:
        """Posed vertices under joint transforms [J, 4, 4]. [n, 3]"""
        return skin(self._vertices, self._weights, joint_transforms)

    def pose(self, joint_transforms: np.ndarray) -> PosedFigure:
        """The figure under joint transforms [J, 4, 4], ready to be rendered."""
        return PosedFigure(self, self.vertices(joint_transforms))


class PosedFigure:
    """A figure in one pose: a scene that rays can be sent into."""

    def __init__(self, figure: Figure, vertices: np.ndarray) -> None:
        self.vertices = vertices
        self._figure = figure
        self._normals = vertex_normals(vertices, figure.faces).astype(np.float32)
        self._mesh = RayMesh(vertices, figure.faces)

    def render(self, view: View, background: np.ndarray) -> RenderedImage:
        """What the camera sees in front of a background, RGB [height, width, 3] in [0, 1]."""
        pixels = view.project(self.vertices)
        size = (view.width, view.height)
        low = np.clip(np.floor(pixels.min(0)).astype(int), 0, size)
        high = np.clip(np.ceil(pixels.max(0)).astype(int), 0, size)
        image, mask = background.astype(np.float32), np.zeros((view.height, view.width), np.float32)
        parts = np.zeros(mask.shape, np.int16)
        width = int(high[0] - low[0])
        step = max(1, _RAYS_AT_ONCE // max(4 * width, 1))
        for top in range(low[1], high[1], step):
            rows = slice(top, min(top + step, high[1]))
            columns = slice(low[0], high[0])
            color, cover, part = self._cast(view, rows, columns)
            mask[rows, columns], parts[rows, columns] = cover, part
            image[rows, columns] = color + (1 - cover[..., None]) * image[rows, columns]
        return RenderedImage(image, mask, parts)

    def _cast(self, view: View, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Premultiplied colours [h, w, 3], coverage [h, w] and parts [h, w] of a block of pixels."""
        y, x = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop), indexing="ij")
        points = np.stack([x, y], -1)[:, :, None, :] + _SUBPIXELS
        shape = points.shape[:3]
        directions = view.directions(points.reshape(-1, 2))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        hits = self._mesh.cast(view.center, directions.astype(np.float32))
        samples, parts = np.zeros((len(directions), 4), np.float32), np.zeros(len(directions), np.int16)
        samples[hits.rays, :3] = self._shade(hits)
        samples[hits.rays, 3] = 1
        parts[hits.rays] = 1 + self._figure.part_of_face[hits.faces]
        block = np.einsum("hwsc->hwc", samples.reshape(*shape, 4)) / len(_SUBPIXELS)
        return block[..., :3], block[..., 3], parts.reshape(shape).max(2)

    def _shade(self, hits: Hits) -> np.ndarray:
        """Lit colours where rays meet triangles. [n, 3]"""
        figure = self._figure
        chart = self._mesh.interpolate(figure.charts, hits)
        normals = self._mesh.interpolate(self._normals, hits)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        parts = figure.part_of_face[hits.faces]
        colors = np.empty((len(parts), 3), np.float32)
        for index, paint in enumerate(figure.paints):
            chosen = np.flatnonzero(parts == index)
            if len(chosen):
                colors[chosen] = paint(chart[chosen, :3], chart[chosen, 3:])
        light = _AMBIENT + (1 - _AMBIENT) * np.clip(0.5 + 0.65 * (normals @ _LIGHT), 0, 1)
        light = np.where(hits.behind, _LINING, light).astype(np.float32)
        return np.clip(colors * light[:, None], 0, 1)
