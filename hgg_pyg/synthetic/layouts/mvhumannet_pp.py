"""MVHumanNet++: square images, cameras in metres, SMPL-X poses in smplx's convention."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hgg_pyg.synthetic.conventions import MINUS_Z_UP, hand_coefficients
from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.layouts.base import LayoutWriter, hand_components

_TICK = 25  # of the file names from one frame to the next, the first frame's being 25


class MVHumanNetPP(LayoutWriter):
    """One outfit of MVHumanNet++, in `main_data/train` or `main_data/test`.

    ::

        images/cam_00/0025.jpg        ticks 25, 50, 75, ...: row of the poses = tick / 25 - 1
        masks/cam_00/0025.jpg
        cameras/cam_00/camera.npz     intrinsic [3, 3], extrinsic [3, 4] world to camera, metres
        smplx_params.npz              a row for each of T frames; hands by six principal components, flat_hand_mean=True

    What --size scales: the images, 1024x1024 in the data set, and K with them.
    """

    body = "open-smplx"
    smplx = True
    own_split = True

    def subject(self, index: int, test: bool) -> str:
        return f"main_data/{'test' if test else 'train'}/{200102 + index}"

    def cameras(self, count: int) -> tuple[str, ...]:
        return tuple(f"cam_{camera:02d}" for camera in range(count))

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"images/{camera}/{_TICK * (frame + 1):04d}.jpg"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"masks/{camera}/{_TICK * (frame + 1):04d}.jpg"

    def write(self, folder: Path, footage: Footage) -> None:
        footage = footage.rotated(MINUS_Z_UP)
        for camera, view in zip(footage.cameras, footage.views, strict=True):
            path = folder / "cameras" / camera / "camera.npz"
            path.parent.mkdir(parents=True)
            extrinsic = np.concatenate([view.rotation, view.translation[:, None]], 1)
            np.savez(path, intrinsic=view.intrinsics, extrinsic=extrinsic)
        extras, (left, right) = footage.extras, hand_components()
        parameters = {
            "global_orient": footage.rotvecs[:, 0],
            "transl": footage.transl,
            "body_pose": footage.smplx_body_pose,
            "betas": footage.betas[None],
            "jaw_pose": extras.jaw,
            "left_hand_pose": hand_coefficients(extras.left_hand, left),
            "right_hand_pose": hand_coefficients(extras.right_hand, right),
            "expression": extras.expression,
        }
        arrays = {name: value.astype(np.float32) for name, value in parameters.items()}
        np.savez(folder / "smplx_params.npz", **arrays)  # pyright: ignore[reportArgumentType]
