"""The mesh of the posed body, plain or painted with values of its vertices, its vertices as dots, and clicks on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import trimesh

from hgg_pyg.kernels.raycast import RayMesh

if TYPE_CHECKING:
    from viser import GlbHandle, MeshHandle, PointCloudHandle, ViserServer

_SKIN = (150, 140, 130)
_DOT = 0.004  # metres


class BodyLayer:
    """What of the body is seen.

    Args:
        server: of the page.
        faces: [F, 3]
        clicked: called with the vertex that somebody clicked at.
    """

    def __init__(self, server: ViserServer, faces: np.ndarray, clicked: Callable[[int], None]) -> None:
        self._server, self._faces, self._clicked = server, faces, clicked
        self._vertices = np.zeros((0, 3))
        self._mesh: MeshHandle | None = None
        self._painted: GlbHandle | None = None
        self._dots: PointCloudHandle | None = None

    def show(self, vertices: np.ndarray, colors: np.ndarray | None, surface: bool, dots: bool) -> None:
        """Draw the body in a pose.

        Args:
            vertices: [N, 3] metres.
            colors: [N, 3] in [0, 1] to be painted with; None leaves it plain.
            surface: whether the mesh is seen.
            dots: whether the vertices are.
        """
        self._vertices = vertices
        self._show_plain(vertices, surface and colors is None)
        self._show_painted(vertices, colors, surface and colors is not None)
        self._show_dots(vertices, colors, dots)

    def vertex_at(self, origin: np.ndarray, direction: np.ndarray) -> int | None:
        """The vertex nearest to where a ray first meets the body, None if it does not."""
        hits = RayMesh(self._vertices, self._faces).cast(np.asarray(origin), np.asarray(direction)[None])
        if not hits.met.any():
            return None
        return int(self._faces[hits.faces[0]][hits.shares[0].argmax()])

    def _show_plain(self, vertices: np.ndarray, visible: bool) -> None:
        if self._mesh is not None:
            self._mesh.visible = visible
            if visible:
                self._mesh.vertices = vertices.astype(np.float32)
        elif visible:
            self._mesh = self._server.scene.add_mesh_simple(
                "/body/mesh", vertices, self._faces, color=_SKIN, side="double"
            )
            self._mesh.on_click(lambda event: self._click(event.ray_origin, event.ray_direction))

    def _show_painted(self, vertices: np.ndarray, colors: np.ndarray | None, visible: bool) -> None:
        if visible and colors is not None:
            mesh = trimesh.Trimesh(vertices, self._faces, process=False, vertex_colors=_bytes(colors))
            self._painted = self._server.scene.add_mesh_trimesh("/body/painted", mesh)
            self._painted.on_click(lambda event: self._click(event.ray_origin, event.ray_direction))
        elif self._painted is not None:
            self._painted.visible = False

    def _show_dots(self, vertices: np.ndarray, colors: np.ndarray | None, visible: bool) -> None:
        if visible:
            shown = np.tile(np.array(_SKIN, np.uint8) // 2, (len(vertices), 1)) if colors is None else _bytes(colors)
            self._dots = self._server.scene.add_point_cloud(
                "/body/vertices", vertices, shown, point_size=_DOT, point_shape="circle", precision="float32"
            )
        elif self._dots is not None:
            self._dots.visible = False

    def _click(self, origin: tuple[float, float, float], direction: tuple[float, float, float]) -> None:
        vertex = self.vertex_at(np.array(origin), np.array(direction))
        if vertex is not None:
            self._clicked(vertex)


def _bytes(colors: np.ndarray) -> np.ndarray:
    return (colors * 255).round().astype(np.uint8)
