"""ZJU-MoCap: world up z, translations in millimetres, lenses that distort, EasyMocap's poses, masks of body parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from hgg_pyg.synthetic.conventions import Z_UP, to_millimetres
from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.layouts.base import LayoutWriter, save_png
from hgg_pyg.synthetic.raycast import RenderedImage, View

_LENS = np.array([-0.19, 0.09, 8e-4, -6e-4, -0.02])  # k1, k2, p1, p2, k3
_LABELS = 19  # of the data set's masks: 1..19, and 0 for the background


class ZjuMocap(LayoutWriter):
    """A subject of ZJU-MoCap.

    ::

        annots.npy                            pickled {cams: {K, D, R, T}, ims: [{ims: [path of each camera]}]}
        Camera_B1/000000.jpg                  distorted by the camera's own D = k1, k2, p1, p2, k3
        mask_cihp/Camera_B1/000000.png        a label for each body part, here for each piece of clothing; 0: background
        params/0.npy                          pickled {poses [1, 72], Rh [1, 3], Th [1, 3], shapes [1, 10]}
        vertices/0.npy                        [6890, 3] float32, metres

    What --size scales: the images, 1024x1024 in the data set, and K with them.
    """

    first = 0  # number of the first frame in file names

    def subject(self, index: int, test: bool) -> str:
        names = (377, 386, 387, 390, 392, 393, 394)  # the data set's; more of ours follow on
        return f"CoreView_{names[index] if index < len(names) else 388 + index}"

    def cameras(self, count: int) -> tuple[str, ...]:
        return tuple(f"Camera_B{camera + 1}" for camera in range(count))

    def equip(self, views: list[View], rng: np.random.Generator) -> list[View]:
        equipped = []
        for view in super().equip(views, rng):
            stretch = np.diag([*(1 + rng.uniform(-0.004, 0.004, 2)), 1])  # before the principal point is added
            distortion = _LENS * rng.uniform(0.8, 1.2, 5)
            equipped.append(replace(view, intrinsics=view.intrinsics @ stretch, distortion=distortion))
        return equipped

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"{camera}/{frame:06d}.jpg"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"mask_cihp/{Path(self.image(subject, camera, frame)).with_suffix('.png')}"

    def save_mask(self, path: Path, rendered: RenderedImage) -> None:
        labels = np.where(rendered.parts > 0, 1 + (rendered.parts - 1) % _LABELS, 0)
        save_png(path, np.where(rendered.cover >= 0.5, labels, 0).astype(np.uint8))

    def write(self, folder: Path, footage: Footage) -> None:
        footage = footage.rotated(Z_UP)
        views = footage.views
        cameras = {
            "K": [view.intrinsics.tolist() for view in views],
            "D": [[] if view.distortion is None else view.distortion[:, None].tolist() for view in views],
            "R": [view.rotation.tolist() for view in views],
            "T": [to_millimetres(view.translation)[:, None].tolist() for view in views],
        }
        images = [
            {"ims": [self.image(footage.subject, camera, frame) for camera in footage.cameras]}
            for frame in range(footage.frames)
        ]
        _save_pickled(folder / "annots.npy", {"cams": cameras, "ims": images})
        orient, shift = (values.astype(np.float32) for values in footage.easymocap())
        poses = footage.rotvecs.reshape(footage.frames, -1).astype(np.float32)
        poses[:, :3] = 0  # the orientation is in Rh
        vertices = footage.body.pose(footage.poses()).vertices.numpy()
        (folder / "params").mkdir()
        (folder / "vertices").mkdir()
        for frame in range(footage.frames):
            name = f"{frame + self.first}.npy"
            rows = slice(frame, frame + 1)
            person = {"poses": poses[rows], "Rh": orient[rows], "Th": shift[rows], "shapes": footage.betas[None]}
            _save_pickled(folder / "params" / name, person)
            np.save(folder / "vertices" / name, vertices[frame])


class ZjuMocap313(ZjuMocap):
    """As subjects 313 and 315 lie: other names of cameras and images, frames counted from 1.

    `Camera (1)/CoreView_313_Camera_(1)_0001_2019-08-23_16-08-50.592.jpg`, the mask with the same name in `mask_cihp`,
    `params/1.npy`, `vertices/1.npy`.
    """

    first = 1

    def subject(self, index: int, test: bool) -> str:
        return f"CoreView_{313 + 2 * index}"

    def cameras(self, count: int) -> tuple[str, ...]:
        return tuple(f"Camera ({camera + 1})" for camera in range(count))

    def image(self, subject: str, camera: str, frame: int) -> str:
        taken = datetime(2019, 8, 23, 16, 8, 50, 592000) + timedelta(milliseconds=32.5 * frame)
        stamp = f"{taken:%Y-%m-%d_%H-%M-%S}.{taken.microsecond // 1000:03d}"
        return f"{camera}/{subject}_{camera.replace(' ', '_')}_{frame + self.first:04d}_{stamp}.jpg"


def _save_pickled(path: Path, content: dict[str, object]) -> None:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
