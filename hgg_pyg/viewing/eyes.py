"""From where a page is looked at: how large its pixels are at the person, for all browsers that show it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from viser import CameraHandle, ClientHandle, ViserServer

_NOTICED = 1.2  # a change of the pixels' size that is worth drawing again
FOV = math.radians(40)  # vertical, of a page that is opened: less of a wide angle than viser's


def whole(height: float) -> float:
    """From how far somebody is seen from head to foot, with some room. Metres"""
    return 0.7 * height / math.tan(FOV / 2)


class Eyes:
    """Follows the cameras of all browsers.

    Args:
        server: of the page.
        changed: called when the size of pixels has changed by a fifth.
    """

    def __init__(self, server: ViserServer, changed: Callable[[], None]) -> None:
        self._changed, self._lock = changed, threading.Lock()
        self._cameras: dict[int, CameraHandle] = {}
        self._noticed = 0.0
        self.at = np.zeros(3)
        """[3] what is looked at; set it when the person moves"""
        self._server = server
        server.on_client_connect(self._came)
        server.on_client_disconnect(self._left)

    def stand(self, at: np.ndarray, towards: np.ndarray, up: np.ndarray, away: float) -> None:
        """Where somebody stands who opens the page.

        Args:
            at: [3] what is looked at.
            towards: [3] from there to the eye, of any length.
            up: [3] unit.
            away: metres from there to the eye.
        """
        self.at = np.asarray(at, float)
        self._server.scene.set_up_direction((float(up[0]), float(up[1]), float(up[2])))
        camera = self._server.initial_camera
        camera.position = self.at + away * np.asarray(towards, float) / np.linalg.norm(towards)
        camera.look_at = self.at
        camera.up = np.asarray(up, float)
        camera.fov = FOV

    @property
    def pixel(self) -> float:
        """Metres that a pixel spans at what is looked at: of the browser that sees it smallest, 0 if there is none."""
        with self._lock:
            self._noticed = self._size()
            return self._noticed

    def _size(self) -> float:
        sizes = [
            2 * math.tan(camera.fov / 2) * float(np.linalg.norm(camera.position - self.at)) / camera.image_height
            for camera in self._cameras.values()
            if camera.image_height
        ]
        return max(sizes, default=0.0)

    def _came(self, client: ClientHandle) -> None:
        with self._lock:
            self._cameras[client.client_id] = client.camera
        client.camera.on_update(lambda _: self._look())
        self._changed()

    def _left(self, client: ClientHandle) -> None:
        with self._lock:
            self._cameras.pop(client.client_id, None)

    def _look(self) -> None:
        with self._lock:
            now, before = self._size(), self._noticed
        if now > before * _NOTICED or now * _NOTICED < before:
            self._changed()
