"""A skeleton as lines from each joint to its parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from viser import LineSegmentsHandle, ViserServer

_COLOR = (230, 90, 20)
_THICKNESS = 0.008  # metres


class Bones:
    """Lines under one name of the scene.

    Args:
        server: of the page.
        name: of the node, with a slash before it.
        parents: J, -1 for the first alone.
    """

    def __init__(self, server: ViserServer, name: str, parents: Sequence[int]) -> None:
        self._server, self._name = server, name
        self._pairs = np.array([(joint, parent) for joint, parent in enumerate(parents) if parent >= 0])
        self._handle: LineSegmentsHandle | None = None

    def show(self, joints: np.ndarray) -> None:
        """Draw them with the joints at these places. [J, 3]"""
        points = np.asarray(joints, np.float32)[self._pairs]
        if self._handle is None:
            self._handle = self._server.scene.add_line_segments(self._name, points, _COLOR, thickness=_THICKNESS)
        else:
            self._handle.points = points
            self._handle.visible = True

    def hide(self) -> None:
        """Draw nothing."""
        if self._handle is not None:
            self._handle.visible = False
