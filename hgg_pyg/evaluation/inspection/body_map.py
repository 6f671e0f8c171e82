"""Values at the vertices of a body, painted on it as seen from the front and from the back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from matplotlib.colors import Colormap, Normalize

from hgg_pyg.kernels.raster import surface

_FAR = 40.0  # metres to the camera: as good as parallel rays
_MARGIN = 0.04  # metres around the body
_GAP = 0.12  # metres between the two views
NOTHING = (0.5, 0.5, 0.5)
"""The grey of a vertex without a value."""


@dataclass(frozen=True)
class BodyMap:
    """The body in its rest pose, y up and facing z, seen twice: from the front on the left, from behind on the right.

    Args:
        vertices: [N, 3] float64, metres.
        faces: [F, 3] int64
        height: of the image, pixels.
    """

    vertices: np.ndarray
    faces: np.ndarray
    height: int = 520

    def paint(self, values: np.ndarray, norm: Normalize, colors: Colormap) -> np.ndarray:
        """Colours by value, grey where it is NaN, on white and softly shaded. [N] -> [height, width, 3] in [0, 1]"""
        there = np.isfinite(values)
        seen, rendered = self._render(np.where(there, values, 0.0))
        _, part = self._render(there.astype(float))
        # Within a triangle that lacks a corner's value, what the others say counts.
        painted = colors(norm(rendered / part.clip(1e-9)))[..., :3]
        return self._finish(np.where((part >= 0.5)[..., None], painted, NOTHING), seen)

    def paint_classes(self, parts: np.ndarray, colors: np.ndarray) -> np.ndarray:
        """The colour of the class with the largest part of each place, grey where parts are NaN.

        Args:
            parts: [N, K] at least 0.
            colors: [K, 3] in [0, 1]

        Returns:
            [height, width, 3] in [0, 1]
        """
        there = np.isfinite(parts).all(1)
        first = np.where(there, np.nan_to_num(parts).argmax(1), -1)
        # A class is not a number to be interpolated: each is rendered by itself, and the largest wins.
        rendered = [self._render((first == k).astype(float)) for k in range(-1, len(colors))]
        winner = np.stack([part for _, part in rendered]).argmax(0)
        return self._finish(np.array([NOTHING, *colors])[winner], rendered[0][0])

    def _finish(self, painted: np.ndarray, seen: np.ndarray) -> np.ndarray:
        normals = trimesh.Trimesh(self.vertices, self.faces, process=False).vertex_normals
        _, facing = self._render(np.abs(normals[:, 2]))
        shade = 0.55 + 0.45 * facing[..., None]
        return np.where(seen[..., None], np.clip(painted * shade, 0, 1), 1.0)

    def _render(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the body is seen and the value there, both views side by side. [N] -> 2 x [height, width]"""
        low, high = self.vertices.min(0), self.vertices.max(0)
        scale = self.height / (high[1] - low[1] + 2 * _MARGIN)  # pixels a metre
        width = round((high[0] - low[0] + 2 * _MARGIN) * scale)
        center = (low + high) / 2
        K = np.array([[scale * _FAR, 0, width / 2], [0, scale * _FAR, self.height / 2], [0, 0, 1]])
        gap = np.zeros((self.height, round(_GAP * scale)))
        views = []
        for side in (1.0, -1.0):
            viewmat = np.diag([side, -1.0, -side, 1.0])
            viewmat[:3, 3] = -viewmat[:3, :3] @ center + [0, 0, _FAR]
            views.append(
                surface(self.vertices, self.faces, values.astype(np.float64), viewmat, K, (width, self.height))
            )
        (front, shown), (back, hidden) = views
        return np.hstack([front, gap > 0, back]), np.hstack([shown, gap, hidden])
