"""The layout of ZJU-MoCap: one pickled dictionary of cameras and file names, EasyMocap's poses, lenses that distort."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.body.carried import carry
from hgg_pyg.body.parameters import easymocap_to_smplx, smplx_to_easymocap
from hgg_pyg.data.calibration import Calibration, Entry, check_camera_name, make_calibration, numbers, require
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.layouts.base import (
    Layout,
    Listing,
    PoseTable,
    Recording,
    changed_rows,
    no_images,
    one_shape,
    scan,
    shaped_like,
    with_root,
)
from hgg_pyg.io.npz import write_npy, write_object
from hgg_pyg.io.pickles import NUMPY, load_npy
from hgg_pyg.io.shown import shown
from hgg_pyg.types import BodyPose, UserError

ANNOTATIONS = "annots.npy"
_MASKS = ("mask_cihp", "mask")
_PERSON = ("poses", "Rh", "Th", "shapes")
_BODY_POSE = 69  # numbers of SMPL's joints but the root
_NUMBER = re.compile(r"(?:.*_)?(\d+)(?:_\d{4}-\d\d-\d\d_[\d.-]+)?\.\w+")


@dataclass(frozen=True)
class _Shot:
    """What the images of one frame are called."""

    number: int | None  # that their names state, which the frame's parameters are named by; None: not one number
    names: tuple[str, ...]  # V, in the cameras' folders


def read_zju_mocap(folder: Path, body: BodyModel) -> Recording:
    """Read one subject.

    ::

        annots.npy               {cams: {K, D, R, T: a list of V each}, ims: [{ims: [V paths]}, ...]}; T in millimetres
        Camera_B1/000000.jpg     images as the lens shows them; a frame's number is its place in `ims`, from 0
        mask_cihp/<path>.png     labels of body parts, 0 is the background; or mask/<path>.png
        params/0.npy             {poses (1, 72) or (1, 69), Rh (1, 3), Th (1, 3), shapes (1, 10)}; new_params/0.npy is
                                 preferred

    A camera is called as the folder of its images. Parameters are named by the number in the names of the images. That
    is the place in `ims` for most subjects; 313 and 315 count from 1, and their names have the time behind the number:
    `Camera (1)/CoreView_313_Camera_(1)_0001_2019-08-23_16-08-50.592.jpg` goes with params/1.npy and is frame 0.

    EasyMocap poses by V = R(Rh) LBS(poses, shapes) + Th about the origin; smplx rotates about the pelvis. See
    `easymocap_to_smplx`; in poses of 69 the root's three are left away, see `with_root`. Each frame has a shape; the
    person's is their median. Frames with damaged parameters are left out; those without any have no pose.

    Args:
        folder: the subject's folder.
        body: that its poses are for; its pelvis is what they are rotated about.

    Raises:
        UserError: `annots.npy` is not what it should be, an array in it has the wrong size or is not finite, or no
            frame has parameters that can be read.
    """
    path = folder / ANNOTATIONS
    content = _dictionary(path, "a dictionary with cams and ims, pickled by numpy")
    cameras, shots = _shots(path, require(str(path), content, "ims"))
    calibration = _calibration(path, cameras, require(str(path), content, "cams"))
    order = [cameras.index(name) for name in calibration.names]
    masks_at = folder / next((name for name in _MASKS if (folder / name).is_dir()), _MASKS[0])
    images, masks = [], []
    for camera, name in zip(order, calibration.names, strict=True):
        wanted = {frame: shot.names[camera] for frame, shot in enumerate(shots)}
        images.append(_present(folder / name, wanted))
        as_png = {frame: f"{image.rpartition('.')[0]}.png" for frame, image in wanted.items()}
        masks.append(_present(masks_at / name, as_png))
    filmed = sorted(set().union(*(listing.names for listing in images)))
    unclear = [frame for frame in filmed if shots[frame].number is None]
    left_out = [_frames_out(unclear, "the names of its images state no number, or several")] if unclear else []
    wanted = {frame: number for frame in filmed if (number := shots[frame].number) is not None}
    if not filmed:
        raise no_images(f"{path}: key 'ims'", f"{cameras[0]}/{shots[0].names[0]}", images)
    if not wanted:
        found = shots[filmed[0]].names[0]
        raise UserError(
            f"{path}: key 'ims': expected names with the number of the frame, such as 000000.jpg, found {found}"
        )
    poses, damaged = _poses(folder, _fitted(folder), wanted, body, calibration.origin)
    left_out += damaged
    lost = {int(name) for item in left_out for name in item.names}
    return Recording(
        calibration=calibration,
        images=tuple(listing.without(lost) for listing in images),
        masks=tuple(masks),
        poses=poses,
        labels=True,
        left_out=tuple(left_out),
    )


def rewrite_zju_mocap(folder: Path, body: BodyModel, poses: PoseTable) -> dict[str, bytes]:
    """The files of a subject's folder with other poses of the frames that were read.

    Those of the parameters, whose root keeps its rotation inside LBS, and those of the vertices that go with them,
    which move as the body does. Files of frames that stay the same are left out.

    Raises:
        UserError: as `read_zju_mocap`.
    """
    path = folder / ANNOTATIONS
    recording = read_zju_mocap(folder, body)
    before, origin = recording.poses, np.asarray(recording.calibration.origin)
    _, shots = _shots(path, require(str(path), _dictionary(path, "a dictionary with cams and ims"), "ims"))
    fitted = _fitted(folder)
    files: dict[str, bytes] = {}
    pelvis = body.rest_joints(poses.poses.betas)[0].double()
    for row in changed_rows(before, poses):
        name = f"{shots[poses.numbers[row]].number}.npy"
        person, pose = _dictionary(fitted / name, "a dictionary of parameters"), poses.poses[[row]]
        angles = np.array(person["poses"]).ravel()
        inner = torch.from_numpy(angles[:-_BODY_POSE].astype(np.float64))[None] if len(angles) > _BODY_POSE else None
        Rh, Th = smplx_to_easymocap(pose.global_orient.double(), pose.transl.double(), pelvis, inner)
        angles = np.concatenate([angles[:-_BODY_POSE], pose.body_pose[0].numpy()])
        shapes = np.array(person["shapes"]).ravel()
        shapes = np.concatenate([pose.betas.numpy(), shapes[len(pose.betas) :]])
        new = {"poses": angles, "Rh": Rh.numpy(), "Th": Th.numpy() + origin, "shapes": shapes}
        person |= {key: shaped_like(values, person[key]) for key, values in new.items()}
        files[f"{fitted.name}/{name}"] = write_object(person)
        vertices = folder / fitted.name.replace("params", "vertices") / name
        if vertices.is_file():
            old = load_npy(vertices, frozenset(), "an array of vertices")
            points = torch.from_numpy(numbers(str(vertices), "vertices", old, None).reshape(-1, 3) - origin)
            moved = carry(points, body, before.poses[[row]], pose).numpy() + origin
            files[f"{vertices.parent.name}/{name}"] = write_npy(shaped_like(moved, old))
    return files


def rewrite_zju_mocap_cameras(folder: Path, calibration: Calibration) -> dict[str, bytes]:
    """The annotations with cameras in other places.

    Raises:
        UserError: as `read_zju_mocap`.
    """
    path = folder / ANNOTATIONS
    content = _dictionary(path, "a dictionary with cams and ims")
    cameras, _ = _shots(path, content["ims"])
    for key, part, scale in (("R", 0, 1.0), ("T", 1, 1000.0)):
        old = _items(str(path), key, content["cams"][key])
        new = [scale * calibration.of_files(calibration.names.index(name))[part] for name in cameras]
        shaped = [shaped_like(values, was) for values, was in zip(new, old, strict=True)]
        content["cams"][key] = np.stack(shaped) if isinstance(content["cams"][key], np.ndarray) else shaped
    return {ANNOTATIONS: write_object(content)}


def _fitted(folder: Path) -> Path:
    """The data's authors fitted `params` without pose blend shapes, and `new_params` later with them."""
    return folder / ("new_params" if (folder / "new_params").is_dir() else "params")


def _shots(path: Path, ims: Any) -> tuple[list[str], list[_Shot]]:
    """The folders of the V cameras, and what their images are called in each frame."""
    if not isinstance(ims, (list, tuple, np.ndarray)) or not len(ims):
        raise UserError(f"{path}: key 'ims': expected a list with an entry for each frame, found {shown(ims)}")
    cameras: list[str] = []
    shots = []
    for index, entry in enumerate(ims):
        where = f"{path}: key 'ims', entry {index}"
        if not isinstance(entry, dict):
            raise UserError(f"{where}: expected {{'ims': [a path for each camera]}}, found {shown(entry)}")
        paths = [
            str(name).replace("\\", "/").rpartition("/") for name in _items(where, "ims", require(where, entry, "ims"))
        ]
        folders = [parent for parent, _, _ in paths]
        cameras = cameras or _camera_names(where, folders)
        if folders != cameras:
            odd = next((f"{f}/" for f, name in zip(folders, cameras, strict=False) if f != name), f"{len(paths)} paths")
            raise UserError(
                f"{where}: expected the {len(cameras)} camera folders of entry 0 in their order, found {odd}"
            )
        names = tuple(name for _, _, name in paths)
        matches = [_NUMBER.fullmatch(name) for name in names]
        stated = {int(match[1]) if match else None for match in matches}
        shots.append(_Shot(stated.pop() if len(stated) == 1 else None, names))
    return cameras, shots


def _camera_names(where: str, folders: list[str]) -> list[str]:
    if not folders:
        raise UserError(f"{where}: key 'ims': expected a path for each camera, found none")
    for index, name in enumerate(folders):
        check_camera_name(where, name)
        if name in folders[:index]:
            raise UserError(f"{where}: expected a folder of its own for each camera, found '{name}' twice")
    return folders


def _calibration(path: Path, cameras: Sequence[str], cams: Any) -> Calibration:
    where = f"{path}: key 'cams'"
    if not isinstance(cams, dict):
        raise UserError(f"{where}: expected {{K, D, R, T}}, found {shown(cams)}")
    columns = {key: _items(where, key, require(where, cams, key)) for key in ("K", "D", "R", "T")}
    for key, values in columns.items():
        if len(values) != len(cameras):
            raise UserError(
                f"{where}: key '{key}': expected {len(cameras)}, one per camera of 'ims', found {len(values)}"
            )
    entries = []
    for name, K, D, R, T in zip(cameras, *columns.values(), strict=True):
        at = f"{path}: camera '{name}'"
        distortion = numbers(at, "D", D, None)
        if len(distortion) not in (0, 4, 5):
            raise UserError(f"{at}: key 'D': expected the 5 numbers k1 k2 p1 p2 k3, found {len(distortion)}")
        entries.append(Entry(name, at, K, R, numbers(at, "T", T, 3) / 1000, distortion))
    return make_calibration(entries)


def _poses(
    subject: Path, folder: Path, wanted: Mapping[int, int], body: BodyModel, origin: Sequence[float]
) -> tuple[PoseTable, list[LeftOut]]:
    """Poses of the frames that have them, and frames whose file is damaged. wanted: frame -> number of its file"""
    files = scan(folder)
    people: dict[int, dict[str, np.ndarray]] = {}
    damaged: dict[str, list[int]] = {}  # frames by what is wrong, told of the first of them
    told: dict[str, str] = {}
    shape_size: int | None = None
    for frame, number in wanted.items():
        path = folder / f"{number}.npy"
        if path.name not in files:
            continue
        try:
            people[frame] = _person(path, shape_size)
            shape_size = len(people[frame]["shapes"])
        except UserError as error:
            reason = told.setdefault(str(error).removeprefix(f"{path}: "), str(error))
            damaged.setdefault(reason, []).append(frame)
    if not people:
        names = ", ".join(f"{number}.npy" for number in list(wanted.values())[:3])
        raise UserError(next(iter(damaged), f"{folder}: expected a file for each frame, such as {names}; found none"))
    rows = {key: np.stack([person[key] for person in people.values()]) for key in _PERSON}
    rows["Th"] = rows["Th"] - origin
    pose, Rh, Th, shapes = (torch.from_numpy(rows[key].astype(np.float32)) for key in _PERSON)
    betas = one_shape(shapes, folder, subject, body)
    orient, transl = easymocap_to_smplx(Rh, Th, body.rest_joints(betas)[0], pose[:, :3])
    poses = BodyPose(betas=betas, global_orient=orient, body_pose=pose[:, 3:].contiguous(), transl=transl)
    return PoseTable("smpl", tuple(people), poses), [_frames_out(found, reason) for reason, found in damaged.items()]


def _person(path: Path, shape_size: int | None) -> dict[str, np.ndarray]:
    """poses [72], Rh [3], Th [3], shapes [B], with B as in the files before."""
    person = _dictionary(path, "a dictionary with poses, Rh, Th and shapes, pickled by numpy")
    poses, Rh, Th, shapes = (require(str(path), person, key) for key in _PERSON)
    return {
        "poses": with_root(str(path), numbers(str(path), "poses", poses, None), _BODY_POSE),
        "Rh": numbers(str(path), "Rh", Rh, 3),
        "Th": numbers(str(path), "Th", Th, 3),
        "shapes": numbers(str(path), "shapes", shapes, shape_size),
    }


def _frames_out(frames: Iterable[int], reason: str) -> LeftOut:
    return LeftOut("frame", tuple(map(str, frames)), reason)


def _present(folder: Path, wanted: Mapping[int, str]) -> Listing:
    """Those of the wanted files that are there, by frame number; capitals are as good as small letters."""
    stamps = scan(folder)
    there = {**{name.casefold(): name for name in sorted(stamps)}, **{name: name for name in stamps}}
    names = {frame: found for frame, name in wanted.items() if (found := there.get(name) or there.get(name.casefold()))}
    unlike = "" if names or not stamps else f"expected names like {next(iter(wanted.values()))}, found {min(stamps)}"
    return Listing(folder, names, {frame: stamps[name] for frame, name in names.items()}, unlike)


def _dictionary(path: Path, expected: str) -> dict[str, Any]:
    array = load_npy(path, NUMPY, expected)
    content = array.item() if array.ndim == 0 else array
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        found = f"an array of shape {array.shape}" if content is array else type(content).__name__
        raise UserError(f"{path}: expected {expected}, found {found}")
    return content


def _items(where: str, key: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, np.ndarray) and not value.ndim):
        raise UserError(f"{where}: key '{key}': expected a list with an entry for each camera, found {shown(value)}")
    return list(value)


def _is_zju_mocap(folder: Path) -> bool:
    return (folder / ANNOTATIONS).is_file()


def _kinds(folder: Path) -> tuple[str, ...]:
    return ("smpl",)


ZJU_MOCAP = Layout(
    name="ZJU-MoCap",
    sign=ANNOTATIONS,
    recognises=_is_zju_mocap,
    kinds=_kinds,
    read=read_zju_mocap,
    rewrite=rewrite_zju_mocap,
    rewrite_cameras=rewrite_zju_mocap_cameras,
)
