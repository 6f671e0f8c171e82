"""A capture in the layout of AvatarReX, from what was prepared."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.layouts.avatarrex import PARAMS
from hgg_pyg.data.layouts.base import STATED_BODY
from hgg_pyg.io.files import writing
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.types import BodyPose

_SMPLX_PARTS = {
    "body_pose": 63,
    "jaw_pose": 3,
    "leye_pose": 3,
    "reye_pose": 3,
    "left_hand_pose": 45,
    "right_hand_pose": 45,
}


def write_capture(
    prepared: Prepared,
    image: Callable[[int, int], Path],
    mask: Callable[[int, int], Path | None],
    written: Callable[[int], object] = lambda images: None,
) -> None:
    """Write a capture to its folder, which is made.

    Images and masks become second names of the files that are there, which takes no disk; copies where the file
    system has no such names.

    Args:
        prepared: cameras, poses and the folder.
        image: the file of an image, by frame and camera.
        mask: the file of a mask, 8 bit; None: the person is not in the image.
        written: called with the number of images that are done, once and again.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    folder = prepared.folder
    with writing(folder):
        width, height = prepared.size
        for camera in range(len(prepared.calibration.names)):
            prepared.mask(0, camera).parent.mkdir(parents=True, exist_ok=True)
            for frame in range(len(prepared.times)):
                _place(image(frame, camera), prepared.image(frame, camera))
                found = mask(frame, camera)
                if found is None:
                    Image.fromarray(np.zeros((height, width), np.uint8)).save(prepared.mask(frame, camera))
                else:
                    _place(found, prepared.mask(frame, camera))
                written(1)
        (folder / "calibration_full.json").write_text(calibration_json(prepared.calibration), "utf-8")
        np.savez(folder / PARAMS, **body_parameters(prepared.pose, prepared.calibration.origin))  # pyright: ignore[reportArgumentType]
        (folder / STATED_BODY).write_text(f"{body_word(prepared.body)}\n", "utf-8")


def calibration_json(calibration: Calibration) -> str:
    """{camera: {K, R, T, distCoeff, imgSize}}, in the world that the cameras were given in."""
    origin = np.array(calibration.origin)
    cameras = {
        name: {
            "K": calibration.K[camera].tolist(),
            "R": calibration.R[camera].tolist(),
            "T": (calibration.T[camera] - calibration.R[camera] @ origin).tolist(),
            "distCoeff": calibration.distortion[camera].tolist(),
            "imgSize": list(calibration.sizes[camera] or ()),
        }
        for camera, name in enumerate(calibration.names)
    }
    return json.dumps(cameras, indent=1)


def body_parameters(pose: BodyPose, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> dict[str, np.ndarray]:
    """The arrays of smpl_params.npz, see docs/your_capture.md.

    Args:
        pose: F frames, of SMPL's joints or of SMPL-X's.
        origin: what was subtracted from the world, see `make_calibration`.
    """
    arrays = {
        "betas": pose.betas.numpy()[None],
        "global_orient": pose.global_orient.numpy(),
        "transl": pose.transl.numpy() + np.asarray(origin),
    }
    joints = pose.body_pose.numpy()
    if joints.shape[1] != sum(_SMPLX_PARTS.values()):
        return arrays | {"body_pose": joints}
    ends = np.cumsum([*_SMPLX_PARTS.values()])[:-1]
    return arrays | dict(zip(_SMPLX_PARTS, np.split(joints, ends, 1), strict=True))


def body_word(body: BodyModel) -> str:
    """What body.txt calls a body."""
    return {"smpl": "open", "smplx": "open-smplx"}[body.kind] if body.is_open else body.kind


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
