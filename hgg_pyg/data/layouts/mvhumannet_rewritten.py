"""The files of MVHumanNet's poses with other poses: what follows from a pose moves along, all else stays."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.body.carried import carry
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.body.parameters import hands_to_pca, smplx_to_easymocap
from hgg_pyg.data.layouts.base import PoseTable, changed_rows, shaped_like
from hgg_pyg.data.layouts.mvhumannet_poses import SMPLX_PARTS, pose_files
from hgg_pyg.io.json_files import read_json
from hgg_pyg.io.pickles import NUMPY, TORCH, as_array, load_pickle
from hgg_pyg.types import BodyPose

Rewrite = Callable[[Path, BodyModel, BodyPose, BodyPose, np.ndarray], bytes]  # file, body, one pose before and after


def rewrite_poses(
    folder: Path, body: BodyModel, before: PoseTable, after: PoseTable, origin: Sequence[float] = (0.0, 0.0, 0.0)
) -> dict[str, bytes]:
    """Files with other poses, by their path in the folder; those of frames that stay the same are left out.

    SMPL's rotations, joints and vertices, or SMPL-X's angles as EasyMocap writes them, and the shape. Of the two
    folders there may be, the one that is read for the body.

    Args:
        folder: the outfit's folder.
        body: that the poses are for.
        before: what `read_poses` gave.
        after: the poses that the files are to have, of the same frames.
        origin: what reading subtracted from the world.

    Raises:
        UserError: as `read_poses`.
    """
    rewrite: Rewrite = _smpl if before.kind == "smpl" else _smplx
    paths = pose_files(folder, body, before.numbers)
    files: dict[str, bytes] = {}
    for row in changed_rows(before, after):
        path = paths[before.numbers[row]]
        content = rewrite(path, body, before.poses[[row]], after.poses[[row]], np.asarray(origin))
        files[str(path.relative_to(folder))] = content
    return files


def _smpl(path: Path, body: BodyModel, before: BodyPose, after: BodyPose, origin: np.ndarray) -> bytes:
    content = load_pickle(path, NUMPY | TORCH, "a dictionary of SMPL parameters")
    rotations = rotation_matrices(torch.cat([after.global_orient, after.body_pose], 1).double().view(1, -1, 3)).numpy()
    joints = np.array(as_array(content["joints"]))
    skeleton = body.posed_joints(after)[0].double().numpy()
    # The pelvis first, from which the translation is read: it is exact, where sums over a skeleton need not be.
    skeleton[0] = (after.transl[0].double() + body.rest_joints(after.betas)[0].double()).numpy()
    joints[0, : len(skeleton)] = skeleton + origin
    joints[0, len(skeleton) :] = _carried(joints[0, len(skeleton) :], body, before, after, origin)
    new = {"full_pose": rotations, "global_orient": rotations[:, :1], "body_pose": rotations[:, 1:], "joints": joints}
    for key in ("betas", *new, "vertices"):
        if (old := _array(content.get(key))) is None:
            continue
        if key == "betas":
            values = np.concatenate([after.betas.numpy(), old.ravel()[len(after.betas) :]])
        elif key == "vertices":
            values = _carried(old.reshape(-1, 3), body, before, after, origin)
        else:
            values = new[key]
        array = shaped_like(values, old)
        content[key] = torch.from_numpy(array) if isinstance(content[key], Tensor) else array
    return pickle.dumps(content)


def _carried(points: np.ndarray, body: BodyModel, before: BodyPose, after: BodyPose, origin: np.ndarray) -> np.ndarray:
    return carry(torch.from_numpy(points - origin), body, before, after).numpy() + origin


def _array(value: Any) -> np.ndarray | None:
    return None if value is None else as_array(value)


def _smplx(path: Path, body: BodyModel, before: BodyPose, after: BodyPose, origin: np.ndarray) -> bytes:
    content = read_json(path, "a list of one person")
    person = content[0]
    angles = np.asarray(person["poses"], np.float64).ravel()
    inner = angles[: -sum(SMPLX_PARTS)]
    root = torch.from_numpy(inner)[None] if len(inner) else None
    pelvis = body.rest_joints(after.betas)[0].double()
    Rh, Th = smplx_to_easymocap(after.global_orient.double(), after.transl.double(), pelvis, root)
    joints, jaw, left_eye, right_eye, left, right = after.body_pose.double().split((63, 3, 3, 3, 45, 45), 1)
    left, right = hands_to_pca(body, left, right, SMPLX_PARTS[1], flat=True)
    shapes = np.asarray(person["shapes"], np.float64).ravel()
    new = {
        "Rh": Rh.numpy(),
        "Th": Th.numpy() + origin,
        "poses": np.concatenate([inner, torch.cat([joints, left, right, jaw, left_eye, right_eye], 1).numpy()[0]]),
        "shapes": np.concatenate([after.betas.double().numpy(), shapes[len(after.betas) :]]),
    }
    person |= {key: values.reshape(np.shape(person[key])).tolist() for key, values in new.items()}
    return json.dumps(content, indent=1).encode()
