"""AvatarReX and THuman4: one calibration file, one archive of poses, cameras in the world of the poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.layouts.base import LayoutWriter, write_json
from hgg_pyg.synthetic.raycast import View


class AvatarRex(LayoutWriter):
    """`calibration_full.json`, `<cam>/%08d.jpg`, `<cam>/mask/pha/%08d.jpg`, `smpl_params.npz`.

    Our default, with poses of the open body of 24 joints. Images are square, principal points in their middle.
    """

    def subject(self, index: int, test: bool) -> str:
        return f"subject{index:03d}"

    def cameras(self, count: int) -> tuple[str, ...]:
        return tuple(f"cam{camera:02d}" for camera in range(count))

    def equip(self, views: list[View], rng: np.random.Generator) -> list[View]:
        return views

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"{camera}/{frame:08d}.jpg"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"{camera}/mask/pha/{frame:08d}.jpg"

    def write(self, folder: Path, footage: Footage) -> None:
        calibration = {
            name: {
                "K": view.intrinsics.tolist(),
                "R": view.rotation.tolist(),
                "T": view.translation.tolist(),
                "imgSize": [view.width, view.height],
                "distCoeff": [0.0] * 5,
            }
            for name, view in zip(footage.cameras, footage.views, strict=True)
        }
        write_json(folder / "calibration_full.json", calibration)
        self._write_poses(folder / "smpl_params.npz", footage)

    def _write_poses(self, path: Path, footage: Footage) -> None:
        np.savez(
            path,
            betas=footage.betas[None],
            global_orient=footage.rotvecs[:, 0].astype(np.float32),
            transl=footage.transl.astype(np.float32),
            body_pose=footage.rotvecs[:, 1:].reshape(footage.frames, -1).astype(np.float32),
        )


class AvatarRexSmplx(AvatarRex):
    """The same files with SMPL-X's poses, as the data set itself has them."""

    body = "open-smplx"
    smplx = True

    def _write_poses(self, path: Path, footage: Footage) -> None:
        _write_smplx(path, footage)


class THuman4(LayoutWriter):
    """`calibration.json`, `images/cam%02d/%08d.jpg`, `masks/cam%02d/%08d.jpg`, `smpl_params.npz` (SMPL-X's).

    Images have the shape of 1330x1150. Of more than three frames, one image is missing and listed in
    `missing_img_files.txt`.
    """

    body = "open-smplx"
    smplx = True

    def subject(self, index: int, test: bool) -> str:
        return f"subject{index:02d}"

    def cameras(self, count: int) -> tuple[str, ...]:
        return tuple(f"cam{camera:02d}" for camera in range(count))

    def image_size(self, size: int) -> tuple[int, int]:
        return round(size * 1330 / 1150), size

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"images/{camera}/{frame:08d}.jpg"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"masks/{camera}/{frame:08d}.jpg"

    def has_image(self, frames: int, camera: str, frame: int) -> bool:
        return frames <= 3 or (camera, frame) != ("cam00", 1)

    def write(self, folder: Path, footage: Footage) -> None:
        calibration = {
            name: {
                "K": view.intrinsics.ravel().tolist(),
                "R": view.rotation.ravel().tolist(),
                "T": view.translation.tolist(),
            }
            for name, view in zip(footage.cameras, footage.views, strict=True)
        }
        write_json(folder / "calibration.json", calibration)
        _write_smplx(folder / "smpl_params.npz", footage)
        lost = [
            self.image(footage.subject, camera, frame)
            for camera in footage.cameras
            for frame in range(footage.frames)
            if not self.has_image(footage.frames, camera, frame)
        ]
        (folder / "missing_img_files.txt").write_text("".join(f"{path}\n" for path in lost), "utf-8")


def _write_smplx(path: Path, footage: Footage) -> None:
    """Fingers in full axis-angle against flat hands: use_pca=False, flat_hand_mean=True."""
    extras = footage.extras
    np.savez(
        path,
        betas=footage.betas[None],
        global_orient=footage.rotvecs[:, 0].astype(np.float32),
        transl=footage.transl.astype(np.float32),
        body_pose=footage.smplx_body_pose.astype(np.float32),
        jaw_pose=extras.jaw.astype(np.float32),
        expression=extras.expression.astype(np.float32),
        left_hand_pose=extras.left_hand.astype(np.float32),
        right_hand_pose=extras.right_hand.astype(np.float32),
    )
