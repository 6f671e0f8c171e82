"""MVHumanNet, from both of its rigs: world up -z, translations in scaled millimetres, SMPL and SMPL-X poses."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.synthetic.conventions import (
    MINUS_Z_UP,
    hand_coefficients,
    quaternion,
    rotvecs_to_matrices,
    to_millimetres,
)
from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.layouts.base import (
    LayoutWriter,
    draw_shift,
    hand_components,
    off_centre,
    padded,
    save_png,
    to_bytes,
    write_json,
)
from hgg_pyg.synthetic.raycast import RenderedImage, View

_TICK = 5  # of the file names from one frame to the next, the first frame's being 5
_LANDMARKS = 21  # of smplx's 45 joints of SMPL, those that are points of the surface


@dataclass(frozen=True)
class Rig:
    """One of the two rigs."""

    first_id: int  # of our subjects
    width: int  # calibrated
    height: int
    camera_scale: float


RIG_48 = Rig(100001, 4096, 3000, 120 / 65)
RIG_16 = Rig(200102, 2448, 2048, 100 / 65)
_INPUTS = ("22327091", "22327116", "22236236", "22327073")  # the cameras that the paper's release reads as inputs


class MVHumanNet(LayoutWriter):
    """One outfit of MVHumanNet, as the data set lies on disk.

    ::

        images_lr/<cam>/0005_img.jpg          ticks 5, 10, 15, ...: pose number = tick / 5 - 1
        fmask_lr/<cam>/0005_img_fmask.png     8 bit, 0..255
        annots/<cam>/0005_img.json            the calibrated size and the person's box in its pixels
        smpl_param/000000.pkl                 SMPL; every third frame's is missing
        smplx/smpl/000000.json                SMPL-X; every fifth frame's is missing
        camera_intrinsics.json, camera_extrinsics.json, camera_scale.pkl

    What --size scales: the images, which are --size high and of the rig's shape. The calibrated size, which K is for,
    stays the rig's 4096x3000 or 2448x2048: no file but those of annots/ states it, readers know it. With --size 1500 or
    1024 the images are the data set's own 2048x1500 or 1224x1024, half as large.
    The pickles of one and the same frame differ in bytes between runs: PyTorch writes a storage's address into them.
    """

    body = "open"  # of smpl_param; smplx/smpl is for the stand-in for SMPL-X
    smplx = True

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def subject(self, index: int, test: bool) -> str:
        return str(self.rig.first_id + index)

    def cameras(self, count: int) -> tuple[str, ...]:
        if self.rig == RIG_48:
            return tuple(f"CC32871A{camera + 4:03d}" for camera in range(count))
        serials = [f"{22236200 + 11 * (camera + 2)}" for camera in range(count)]
        if count >= len(_INPUTS):  # the inputs stand around the person, as far apart as can be
            for number, name in enumerate(_INPUTS):
                serials[number * count // len(_INPUTS)] = name
        return tuple(serials)

    def image_size(self, size: int) -> tuple[int, int]:
        return round(size * self.rig.width / self.rig.height), size

    def equip(self, views: list[View], rng: np.random.Generator) -> list[View]:
        width, height = self.image_size(views[0].height)
        shift = draw_shift(rng)  # one for all: the data set has one K
        return [off_centre(padded(view, width, height), shift) for view in views]

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"images_lr/{camera}/{_tick(frame)}_img.jpg"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"fmask_lr/{camera}/{_tick(frame)}_img_fmask.png"

    def save_mask(self, path: Path, rendered: RenderedImage) -> None:
        save_png(path, to_bytes(rendered.cover))

    def write(self, folder: Path, footage: Footage) -> None:
        footage = footage.rotated(MINUS_Z_UP)
        views = [_calibrated(view, self.rig) for view in footage.views]
        self._write_cameras(folder, footage.cameras, views)
        vertices = _write_smpl(folder / "smpl_param", footage)
        _write_smplx(folder / "smplx" / "smpl", footage)
        for camera, view in zip(footage.cameras, views, strict=True):
            for frame in range(footage.frames):
                name = f"{_tick(frame)}_img"
                write_json(
                    folder / "annots" / camera / f"{name}.json",
                    {
                        "filename": f"images/{camera}/{name}.jpg",
                        "height": view.height,
                        "width": view.width,
                        "annots": [{"personID": 0, "bbox": _box(view.project(vertices[frame]))}],
                        "isKeyframe": False,
                    },
                )

    def _write_cameras(self, folder: Path, names: tuple[str, ...], views: list[View]) -> None:
        scale = self.rig.camera_scale
        write_json(folder / "camera_intrinsics.json", {"intrinsics": views[0].intrinsics.tolist(), "dist": []})
        extrinsics = {}
        for number, (name, view) in enumerate(zip(names, views, strict=True)):
            focal, centre = np.diag(view.intrinsics)[:2].tolist(), view.intrinsics[:2, 2].tolist()
            key = f"1_{name}.png" if self.rig == RIG_48 else f"0_{number % 2}_{name}.png"
            extrinsics[key] = {
                "camera_pos": to_millimetres(view.center, scale).tolist(),
                "focal_length": focal,
                "image_center": centre if self.rig == RIG_48 else [*centre, 0.0, 0.0],
                "quaternion": quaternion(view.rotation).tolist(),
                "rotation": view.rotation.tolist(),
                "translation": to_millimetres(view.translation, scale).tolist(),
            }
        write_json(folder / "camera_extrinsics.json", extrinsics)
        (folder / "camera_scale.pkl").write_bytes(pickle.dumps(scale))


def _calibrated(view: View, rig: Rig) -> View:
    """The same camera for images of the calibrated size: edges are at 0 and the size, so K scales like the size."""
    scale = np.diag([rig.width / view.width, rig.height / view.height, 1.0])
    return replace(view, intrinsics=scale @ view.intrinsics, width=rig.width, height=rig.height)


def _tick(frame: int) -> str:
    return f"{_TICK * (frame + 1):04d}"


def _box(pixels: np.ndarray) -> list[float]:
    """Left, top, right, bottom and a confidence."""
    return [*pixels.min(0).tolist(), *pixels.max(0).tolist(), 1.0]


def _write_smpl(folder: Path, footage: Footage) -> np.ndarray:
    """What smplx.SMPL returned for each frame, pickled as it is; returns all frames' vertices. [F, N, 3]

    `transl` is None, as in the data set: where the person stands shows in `vertices` and `joints` only. The last 21
    joints, landmarks of face, feet and hands in the data set, are vertices at even steps through the list.
    """
    folder.mkdir()
    poses, matrices = footage.poses(), rotvecs_to_matrices(footage.rotvecs).astype(np.float32)
    vertices = footage.body.pose(poses).vertices
    joints = footage.body.posed_joints(poses)
    landmarks = np.linspace(0, footage.body.num_vertices - 1, _LANDMARKS).astype(int)
    for frame in range(footage.frames):
        if frame % 3 == 2:
            continue
        rotations = torch.from_numpy(matrices[frame, None])
        content = {
            "vertices": vertices[frame, None].clone(),
            "joints": torch.cat([joints[frame], vertices[frame, landmarks]])[None],
            "full_pose": rotations.clone(),
            "global_orient": rotations[:, :1].clone(),
            "body_pose": rotations[:, 1:].clone(),
            "betas": poses.betas[None].clone(),
            "transl": None,
            "faces": footage.body.faces.numpy().astype(np.uint32),
        }
        with (folder / f"{frame:06d}.pkl").open("wb") as file:
            pickle.dump(content, file)
    return vertices.double().numpy()


def _write_smplx(folder: Path, footage: Footage) -> None:
    """EasyMocap's files: 87 angles are 3 zeros, 63 of the body, 6 + 6 hand components, jaw, left eye, right eye."""
    orient, shift = footage.easymocap()
    extras, (left, right) = footage.extras, hand_components()
    poses = np.concatenate(
        [
            np.zeros((footage.frames, 3)),
            footage.smplx_body_pose,
            hand_coefficients(extras.left_hand, left),
            hand_coefficients(extras.right_hand, right),
            extras.jaw,
            extras.left_eye,
            extras.right_eye,
        ],
        1,
    )
    for frame in range(footage.frames):
        if frame % 5 == 4:
            continue
        person = {
            "id": 0,
            "Rh": orient[frame, None].tolist(),
            "Th": shift[frame, None].tolist(),
            "poses": poses[frame, None].tolist(),
            "expression": extras.expression[frame, None].tolist(),
            "shapes": footage.betas[None].tolist(),
        }
        write_json(folder / f"{frame:06d}.json", [person])
