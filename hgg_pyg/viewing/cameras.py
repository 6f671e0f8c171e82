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
_LARGE = 768  # of the one that stands behind the person
_BEHIND = 1.5  # metres
_SECONDS = 0.25  # that images are read for before the rest of the scene is drawn again


class CameraLayer:
    """A frustum for each camera, with its image of the frame that is shown.

    Args:
        server: of the page.
        capture: whose V cameras.
        inputs: positions of those that the per-frame network sees, which are blue.
        person: [3] where the person is, metres.
        clicked: called with the position of a camera that somebody clicked at.
        complain: tells people of an image that is broken, and so is not shown.
    """

    def __init__(
        self,
        server: ViserServer,
        capture: Capture,
        inputs: tuple[int, ...],
        person: np.ndarray,
        clicked: Callable[[int], None],
        complain: Callable[[str], None],
    ) -> None:
        self._capture, self._person, self._complain = capture, person, complain
        self._scene, self._backdrop, self._behind = server.scene, None, (0, "none", None)
        self._images = [(-1, "none")] * len(capture.cameras)  # of which frame, and how, each image is
        self._next = 0
        away = np.linalg.norm(capture.cameras.centers.double().numpy() - person, axis=1)
        names = [node_name(name) for name in capture.camera_names]
        self.handles: list[CameraFrustumHandle] = []
        for camera, name in enumerate(capture.camera_names):
            wxyz, position, fov, aspect = _placed(capture, 0, camera)
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
            handle.on_click(lambda _, camera=camera: clicked(camera))
            self.handles.append(handle)

    def show(self, frame: int, images: Shown, through: int | None = None) -> bool:
        """Show them with their images of a frame, as many as can be read in a moment. -> whether some are missing

        Args:
            frame: by position in the capture.
            images: what of them.
            through: the camera that is looked through: what it saw stands behind the person instead of before the eye.
        """
        end = time.perf_counter() + _SECONDS
        wanted = (frame, images)
        for camera, handle in enumerate(self.handles):
            handle.visible = camera != through
        self._show_behind(frame, images, through)
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
        self._show_behind(0, "none", None)

    def look_through(self, client: ClientHandle, frame: int, camera: int) -> None:
        """Put a browser's eye where a camera is, its upright side up, to turn about the person."""
        wxyz, position, fov, _ = _placed(self._capture, frame, camera)
        axes = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
        with client.atomic():
            client.camera.up_direction = -axes[:, 1]
            client.camera.position = position
            client.camera.look_at = position + axes[:, 2] * max(float((self._person - position) @ axes[:, 2]), 0.5)
            client.camera.fov = fov

    def _set(self, camera: int, frame: int, images: Shown) -> None:
        handle = self.handles[camera]
        handle.wxyz, handle.position, handle.fov, handle.aspect = _placed(self._capture, frame, camera)
        try:
            handle.image = None if images == "none" else _image(self._capture, frame, camera, images, _PIXELS)
        except UserError as error:
            handle.image = None
            self._complain(str(error))

    def _show_behind(self, frame: int, images: Shown, through: int | None) -> None:
        wanted = (frame, images, through)
        if wanted == self._behind:
            return
        self._behind = wanted
        if self._backdrop is not None:
            self._backdrop.remove()
            self._backdrop = None
        if through is None or images == "none":
            return
        wxyz, position, fov, aspect = _placed(self._capture, frame, through)
        ahead = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()[:, 2]
        away = max(float((self._person - position) @ ahead), 0.5) + _BEHIND
        height = 2 * away * float(np.tan(fov / 2))
        try:
            image = _image(self._capture, frame, through, images, _LARGE)
        except UserError as error:
            self._complain(str(error))
            return
        self._backdrop = self._scene.add_image(
            "/backdrop", image, height * aspect, height, wxyz=wxyz, position=position + away * ahead
        )


def _image(capture: Capture, frame: int, camera: int, images: Shown, longest: int) -> np.ndarray:
    """What a camera saw, or what of it is wanted, shrunk to a longest side in pixels. [h, w, 3] uint8"""
    if images == "masks":
        image = np.repeat(capture.mask(frame, camera)[..., None], 3, -1)
    else:
        image = capture.image(frame, camera)
        if images == "the person alone":
            put_on_white(image, capture.mask(frame, camera), image)
    small = Image.fromarray((image * 255).round().astype(np.uint8))
    small.thumbnail((longest, longest))
    return np.asarray(small)


def _placed(capture: Capture, frame: int, camera: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Orientation wxyz, place, vertical field of view in radians and width / height of what is shown.

    A frustum of viser's has its axis in the middle of the image: it is turned to that of a square cut out.
    """
    view = capture.views(frame, [camera])
    K = view.Ks[0].double().numpy()
    middle = np.linalg.inv(K) @ [view.width / 2, view.height / 2, 1.0]
    ahead = middle / np.linalg.norm(middle)
    turn = Rotation.align_vectors([ahead], [[0.0, 0.0, 1.0]])[0]
    to_world = Rotation.from_matrix(view.viewmats[0, :3, :3].double().numpy()).inv() * turn
    focal = K[1, 1] * np.linalg.norm(middle)
    fov = 2 * float(np.arctan(view.height / 2 / focal))
    return np.roll(to_world.as_quat(), 1), view.centers[0].double().numpy(), fov, view.width / view.height
