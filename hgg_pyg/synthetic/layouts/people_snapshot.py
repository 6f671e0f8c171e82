"""PeopleSnapshot: one camera, a video, masks and poses in HDF5, the camera in a pickle; the world is the camera's."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.avatar.film.formats.mp4 import write_mp4
from hgg_pyg.io.extras import import_extra
from hgg_pyg.io.video import require_av
from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.layouts.base import LayoutWriter, off_centre, padded, save_png, to_bytes
from hgg_pyg.synthetic.raycast import RenderedImage, View

_LENS = np.array([0.05, -0.11, 4e-4, -3e-4, 0.04])  # k1, k2, p1, p2, k3
_FPS = 30.0
_PARTS = "parts"  # folder of images and masks, until they are in their files


class PeopleSnapshot(LayoutWriter):
    """A subject of PeopleSnapshot.

    ::

        camera.pkl                pickled by protocol 2, as Python 2 did: camera_f, camera_c, camera_k, camera_rt,
                                  camera_t, width, height; rotation and translation are zero
        <subject>.mp4             H.264
        masks.hdf5                masks [F, H, W] int8, 0 or 1
        reconstructed_poses.hdf5  betas [10], pose [F + 1, 72], trans [F + 1, 3]; the last row is zero

    What --size scales: the images, 1080x1080 in the data set, and the camera with them. Sides are of even length.
    """

    monocular = True

    def subject(self, index: int, test: bool) -> str:
        return f"{('female', 'male')[index % 2]}-{index // 2 + 1}-casual"

    def cameras(self, count: int) -> tuple[str, ...]:
        if count != 1:
            raise ValueError(f"count: expected 1, found {count}")
        return ("camera",)

    def image_size(self, size: int) -> tuple[int, int]:
        return size + size % 2, size + size % 2

    def equip(self, views: list[View], rng: np.random.Generator) -> list[View]:
        width, height = self.image_size(views[0].height)
        lens = [_LENS * rng.uniform(0.8, 1.2, 5) for _ in views]
        shift = rng.uniform(-0.002, 0.002, 2)
        return [
            replace(off_centre(padded(view, width, height), shift), distortion=distortion)
            for view, distortion in zip(views, lens, strict=True)
        ]

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"{_PARTS}/images/{frame:08d}.png"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"{_PARTS}/masks/{frame:08d}.png"

    def save_image(self, path: Path, rendered: RenderedImage) -> None:
        save_png(path, to_bytes(rendered.rgb))

    def save_mask(self, path: Path, rendered: RenderedImage) -> None:
        save_png(path, (rendered.cover >= 0.5).astype(np.uint8))

    def write(self, folder: Path, footage: Footage) -> None:
        require_av("snapshot")
        (view,) = footage.views
        moved = footage.rotated(view.rotation)
        assert view.distortion is not None
        camera = {
            "camera_f": view.intrinsics[[0, 1], [0, 1]],
            "camera_c": view.intrinsics[:2, 2],
            "camera_k": view.distortion,
            "camera_rt": np.zeros(3),
            "camera_t": np.zeros(3),
            "width": view.width,
            "height": view.height,
        }
        (folder / "camera.pkl").write_bytes(pickle.dumps(camera, protocol=2))
        pose = moved.rotvecs.reshape(moved.frames, -1)
        rows = {"pose": pose, "trans": moved.transl + view.translation}
        arrays = {key: np.pad(values, ((0, 1), (0, 0))) for key, values in rows.items()}
        _write_hdf5(folder / "reconstructed_poses.hdf5", {**arrays, "betas": footage.betas}, np.float32)

    def finish(self, folder: Path, footage: Footage) -> None:
        def pictures(kind: str) -> Iterator[np.ndarray]:
            for path in sorted((folder / _PARTS / kind).iterdir()):
                with Image.open(path) as image:
                    yield np.asarray(image)

        write_mp4(folder / f"{footage.subject}.mp4", pictures("images"), _FPS)
        _write_hdf5(folder / "masks.hdf5", {"masks": np.stack([*pictures("masks")])}, np.int8)
        shutil.rmtree(folder / _PARTS)


def _write_hdf5(path: Path, arrays: dict[str, np.ndarray], dtype: type) -> None:
    with import_extra("h5py", "snapshot", path).File(path, "w") as file:
        for key, values in arrays.items():
            file.create_dataset(key, data=values.astype(dtype), chunks=True, compression="lzf")
