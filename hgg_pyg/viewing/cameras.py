"""The cameras of a capture with what they saw, and looking through them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from hgg_pyg.data.capture import Capture
from hgg_pyg.data.images import put_on_white
from hgg_pyg.types import UserError
from hgg_pyg.viewing.text import node_name

if TYPE_CHECKING:
    from viser import CameraFrustumHandle, ClientHandle, ViserServer

Shown = Literal["as filmed", "the person alone", "masks", "none"]
_PIXELS = 256  # the longest side of an image in the scene
_INPUT, _OTHER = (20, 110, 220), (120, 120, 120)
_SECONDS = 0.25  # that images are read for before the rest of the scene is drawn again


class CameraLayer:
    """A frustum for each camera, with its image of the frame that is shown; a click looks through it.

    Args:
        server: of the page.
        capture: whose V cameras.
        inputs: positions of those that the per-frame network sees, which are blue.
        person: [3] where the person is, metres.
        complain: tells people of an image that is broken, and so is not shown.
    """

    def __init__(
        self,
        server: ViserServer,
        capture: Capture,
        inputs: tuple[int, ...],
        person: np.ndarray,
        complain: Callable[[str], None],
    ) -> None:
        self._capture, self._person, self._complain = capture, person, complain
        self._images = [(-1, "none")] * len(capture.cameras)  # of which frame, and how, each image is
        self._next = 0
        away = np.linalg.norm(capture.cameras.centers.double().numpy() - person, axis=1)
        names = [node_name(name) for name in capture.camera_names]
        self.handles: list[CameraFrustumHandle] = []
        for camera, name in enumerate(capture.camera_names):
            wxyz, position, fov, aspect = self._placed(0, camera)
            handle = server.scene.add_camera_frustum(
                f"/cameras/{node_name(name)}" if names.count(node_name(name)) == 1 else f"/cameras/{camera}",
                fov,
                aspect,
                scale=0.1 * float(np.median(away)),
                thickness=0.002 * float(np.median(away)),
                color=_INPUT if camera in inputs else _OTHER,
                wxyz=wxyz,
                position=position,
                cast_shadow=False,
                receive_shadow=False,
            )
            handle.on_click(lambda event, camera=camera: self.look_through(event.client, camera))
            self.handles.append(handle)

    def show(self, frame: int, images: Shown) -> bool:
        """Show them with their images of a frame, as many as can be read in a moment. -> whether some are missing"""
        end = time.perf_counter() + _SECONDS
        wanted = (frame, images)
        for handle in self.handles:
            handle.visible = True
        for _ in self.handles:
            if all(found == wanted for found in self._images):
                return False
            camera, self._next = self._next, (self._next + 1) % len(self.handles)
            if self._images[camera] != wanted:
                self._images[camera] = wanted
                self._set(camera, frame, images)
                if time.perf_counter() > end:
                    break
        return any(found != wanted for found in self._images)

    def hide(self) -> None:
        """Show none."""
        for handle in self.handles:
            handle.visible = False

    def look_through(self, client: ClientHandle, camera: int) -> None:
        """Put a browser's eye where a camera is, to turn about the person."""
        wxyz, position, fov, _ = self._placed(max(self._images[camera][0], 0), camera)
        ahead = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()[:, 2]
        with client.atomic():
            client.camera.position = position
            client.camera.look_at = position + ahead * max(float((self._person - position) @ ahead), 0.5)
            client.camera.fov = fov

    def _set(self, camera: int, frame: int, images: Shown) -> None:
        handle = self.handles[camera]
        handle.wxyz, handle.position, handle.fov, handle.aspect = self._placed(frame, camera)
        try:
            handle.image = None if images == "none" else self._image(frame, camera, images)
        except UserError as error:
            handle.image = None
            self._complain(str(error))

    def _image(self, frame: int, camera: int, images: Shown) -> np.ndarray:
        """[h, w, 3] uint8"""
        capture = self._capture
        if images == "masks":
            image = np.repeat(capture.mask(frame, camera)[..., None], 3, -1)
        else:
            image = capture.image(frame, camera)
            if images == "the person alone":
                put_on_white(image, capture.mask(frame, camera), image)
        small = Image.fromarray((image * 255).round().astype(np.uint8))
        small.thumbnail((_PIXELS, _PIXELS))
        return np.asarray(small)

    def _placed(self, frame: int, camera: int) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Orientation wxyz, place, vertical field of view in radians and width / height of what is shown.

        A frustum of viser's has its axis in the middle of the image: it is turned to that of a square cut out.
        """
        view = self._capture.views(frame, [camera])
        K = view.Ks[0].double().numpy()
        middle = np.linalg.inv(K) @ [view.width / 2, view.height / 2, 1.0]
        ahead = middle / np.linalg.norm(middle)
        turn = Rotation.align_vectors([ahead], [[0.0, 0.0, 1.0]])[0]
        to_world = Rotation.from_matrix(view.viewmats[0, :3, :3].double().numpy()).inv() * turn
        focal = K[1, 1] * np.linalg.norm(middle)
        fov = 2 * float(np.arctan(view.height / 2 / focal))
        return np.roll(to_world.as_quat(), 1), view.centers[0].double().numpy(), fov, view.width / view.height
