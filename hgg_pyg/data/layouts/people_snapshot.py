"""The layout of PeopleSnapshot: one camera's video, masks and SMPL's poses in HDF5, the camera in a pickle."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration, Entry, make_calibration, numbers, require
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.images import header_size
from hgg_pyg.data.layouts.base import (
    Layout,
    Listing,
    PoseTable,
    Recording,
    changed_rows,
    one_shape,
    scan,
    shaped_like,
    subject_name,
)
from hgg_pyg.data.layouts.decoded import decoded_images
from hgg_pyg.io.hdf5 import dataset, opened_hdf5, read_array
from hgg_pyg.io.limits import ARRAYS, read_within
from hgg_pyg.io.pickles import NUMPY, load_pickle
from hgg_pyg.io.shown import shown
from hgg_pyg.io.video import frames_at, require_av
from hgg_pyg.types import BodyPose, UserError

CAMERA, MASKS, POSES = "camera.pkl", "masks.hdf5", "reconstructed_poses.hdf5"
_EXTRA = "snapshot"
_POSE = 72
_BLOCK = 256 * 2**20  # bytes of masks that are read at once


def read_people_snapshot(folder: Path, body: BodyModel) -> Recording:
    """Read one subject.

    ::

        camera.pkl                pickled {camera_f (2,), camera_c (2,), camera_k (5,) of OpenCV, camera_rt (3,)
                                  axis-angle and camera_t (3,) from the world to the camera, width, height}
        <subject>.mp4             or the only .mp4 there; its i-th frame is frame i
        masks.hdf5                masks (F, H, W), 0 or 1
        reconstructed_poses.hdf5  betas (10,), pose (N, 72), trans (N, 3): smplx's global_orient and body_pose, transl

    Video and masks are decoded once, see `decoded_images`; nothing is written in the subject's folder. The data's own
    programme leaves rows of zeros for frames that it did not fit, such as one more than there are masks: no poses.

    Args:
        folder: the subject's.
        body: that its poses are for.

    Raises:
        UserError: PyAV or h5py is not installed, a file is missing or damaged, or what is in it is of another kind or
            shape, or fits no other.
    """
    require_av(_EXTRA)
    calibration = _calibration(folder / CAMERA)
    kept, poses = _poses(folder, body, calibration.origin)
    video = _video(folder)
    wanted = range(max(kept) + 1)
    images = decoded_images(video, "images", len(wanted), lambda: frames_at(video, wanted))
    size = header_size(images.folder / images.names[min(images.names)])
    return Recording(
        calibration=calibration,
        images=(images,),
        masks=(_masks(folder / MASKS, size, len(wanted), video),),
        poses=PoseTable("smpl", kept, poses),
        left_out=_without_image(kept, images, video),
    )


def rewrite_people_snapshot(folder: Path, body: BodyModel, poses: PoseTable) -> dict[str, bytes]:
    """The files of a subject's folder with other poses of the frames that were read: `reconstructed_poses.hdf5`.

    Raises:
        UserError: as `read_people_snapshot`.
    """
    path = folder / POSES
    origin = _calibration(folder / CAMERA).origin
    kept, read = _poses(folder, body, origin)
    rows = changed_rows(PoseTable("smpl", kept, read), poses)
    if not rows:
        return {}
    own, new = [kept[row] for row in rows], poses.poses
    angles = torch.cat([new.global_orient, new.body_pose], 1).double().numpy()[rows]
    places = new.transl.double().numpy()[rows] + np.asarray(origin)
    content = io.BytesIO(read_within(path, ARRAYS, "an HDF5 file of poses"))
    import h5py

    with h5py.File(content, "r+") as file:
        for key, values in (("pose", angles), ("trans", places)):
            array = np.asarray(dataset(file, path, key, 2)[...])
            array = array.astype(np.result_type(array, np.float32))
            array[own] = values
            _replace(file, key, array)
        if not torch.equal(new.betas, read.betas):
            betas = np.asarray(dataset(file, path, "betas", 1)[...])
            whole = np.concatenate([new.betas.numpy(), betas[len(new.betas) :]])
            _replace(file, "betas", shaped_like(whole, betas))
    return {POSES: content.getvalue()}


def _replace(file: Any, key: str, values: np.ndarray) -> None:
    if file[key].dtype == values.dtype:
        file[key][...] = values
        return
    del file[key]
    file.create_dataset(key, data=values)


def _calibration(path: Path) -> Calibration:
    camera = load_pickle(path, NUMPY, "a camera as PeopleSnapshot has it")
    if not isinstance(camera, dict) or not all(isinstance(key, str) for key in camera):
        raise UserError(f"{path}: expected a dictionary with camera_f, camera_c and others, found {shown(camera)}")
    where = str(path)
    f, c, rt, t = (
        numbers(where, key, require(where, camera, key), count)
        for key, count in (("camera_f", 2), ("camera_c", 2), ("camera_rt", 3), ("camera_t", 3))
    )
    distortion = numbers(where, "camera_k", require(where, camera, "camera_k"), None)
    size = (
        numbers(where, "width", require(where, camera, "width"), 1),
        numbers(where, "height", require(where, camera, "height"), 1),
    )
    return make_calibration(
        [
            Entry(
                name="camera",
                where=where,
                K=[[f[0], 0, c[0]], [0, f[1], c[1]], [0, 0, 1]],
                R=Rotation.from_rotvec(rt).as_matrix(),
                T=t,
                distortion=distortion,
                size=np.concatenate(size),
                keys=("camera_f, camera_c", "camera_rt", "camera_t"),
            )
        ]
    )


def _poses(folder: Path, body: BodyModel, origin: Sequence[float]) -> tuple[tuple[int, ...], BodyPose]:
    """Frames that were fitted, by number, and their poses."""
    path = folder / POSES
    with opened_hdf5(path, "an HDF5 file of poses", _EXTRA) as file:
        pose = read_array(file, path, "pose", (None, _POSE))
        trans = read_array(file, path, "trans", (len(pose), 3))
        betas = read_array(file, path, "betas", (None,))
    shape = one_shape(torch.from_numpy(betas[None].astype(np.float32)), path, folder, body)
    fitted = (pose != 0).any(1) | (trans != 0).any(1)
    if not fitted.any():
        raise UserError(f"{path}: key 'pose': expected a pose of some frame, found {len(pose)} rows of zeros")
    angles = torch.from_numpy(pose[fitted].astype(np.float32))
    transl = torch.from_numpy((trans[fitted] - np.asarray(origin)).astype(np.float32))
    kept = tuple(np.flatnonzero(fitted).tolist())
    return kept, BodyPose(shape, angles[:, :3].contiguous(), angles[:, 3:].contiguous(), transl)


def _video(folder: Path) -> Path:
    videos = sorted(name for name in scan(folder) if name.lower().endswith(".mp4") and not name.startswith("."))
    own = f"{subject_name(folder)}.mp4"
    if own in videos:
        return folder / own
    if len(videos) != 1:
        raise UserError(f"{folder}: expected {own}, or one .mp4, found {shown(', '.join(videos)) or 'none'}")
    return folder / videos[0]


def _masks(path: Path, size: tuple[int, int], most: int, video: Path) -> Listing:
    """The masks as files of 0 and 255.

    Args:
        path: of the HDF5 file.
        size: (width, height) of the video.
        most: how many are wanted.
        video: for the message.
    """
    with opened_hdf5(path, "an HDF5 file of masks", _EXTRA) as file:
        masks = dataset(file, path, "masks", 3)
        count, height, width = masks.shape
        if (width, height) != size:
            raise UserError(
                f"{path}: key 'masks': expected shape (N, {size[1]}, {size[0]}) like {video}, found {masks.shape}"
            )
        if not count:
            raise UserError(f"{path}: key 'masks': expected a mask for each frame, found none")
        count = min(count, most)

        def images() -> Iterator[tuple[int, np.ndarray]]:
            # Chunks span several frames, and each is unpacked as often as one of them is asked for
            block = min((masks.chunks or (16,))[0], max(1, _BLOCK // (height * width * masks.dtype.itemsize)))
            for first in range(0, count, block):
                for number, mask in enumerate(masks[first : min(first + block, count)], first):
                    yield number, np.where(mask != 0, 255, 0).astype(np.uint8)

        return decoded_images(path, "masks", count, images)


def _without_image(kept: Sequence[int], images: Listing, video: Path) -> tuple[LeftOut, ...]:
    """Frames with a pose that the video has not, or has broken."""
    last = max(images.names)
    lost = [(f"{video.name} has an image that is broken", [n for n in kept if n < last and n not in images.names])]
    lost.append((f"{video.name} ends after {last + 1} images", [n for n in kept if n > last]))
    return tuple(LeftOut("frame", tuple(map(str, missing)), reason) for reason, missing in lost if missing)


def _is_people_snapshot(folder: Path) -> bool:
    # One of its files is enough to be taken for a capture, so that a missing other one is reported, not passed by.
    return any((folder / name).is_file() for name in (POSES, MASKS, CAMERA))


def _kinds(folder: Path) -> tuple[str, ...]:
    return ("smpl",)


PEOPLE_SNAPSHOT = Layout(
    name="PeopleSnapshot",
    sign=POSES,
    recognises=_is_people_snapshot,
    kinds=_kinds,
    read=read_people_snapshot,
    rewrite=rewrite_people_snapshot,
)
