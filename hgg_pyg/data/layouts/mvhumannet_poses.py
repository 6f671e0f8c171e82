"""The poses of MVHumanNet: a file per frame, SMPL's pickled by PyTorch or SMPL-X's as EasyMocap writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.body.parameters import easymocap_to_smplx, hands_from_pca, matrix_to_axis_angle, smplx_body_pose
from hgg_pyg.data.calibration import numbers, require
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.layouts.base import FrameNames, Listing, PoseTable, list_files, one_shape, with_root
from hgg_pyg.io.json_files import read_json
from hgg_pyg.io.pickles import NUMPY, TORCH, as_array, load_pickle
from hgg_pyg.io.shown import shown
from hgg_pyg.types import BodyPose, UserError

TICKS = 5  # of the file names, from one frame to the next; the first frame's is 5
SMPLX_PARTS = (63, 6, 6, 3, 3, 3)  # body, components of the left and right hand, jaw, left eye, right eye
_SMPLX_NUMBERS = {"Rh": 3, "Th": 3, "poses": None, "expression": 10, "shapes": None}  # None: more than one count

Values = tuple[np.ndarray, ...]  # of one frame: betas, rotations, a place in the world, and what else there is


@dataclass(frozen=True)
class _Source:
    """One of the two places where poses can be."""

    kind: str
    folder: str
    names: FrameNames
    read: Callable[[Path], Values]
    convert: Callable[[BodyModel, Tensor, Sequence[Tensor]], BodyPose]  # body, betas of all frames, the other values


def pose_kinds(folder: Path) -> tuple[str, ...]:
    """The bodies that an outfit has poses for, SMPL, the one usual with this data set, first.

    Raises:
        UserError: a folder cannot be read.
    """
    found = [source.kind for source in _SOURCES if list_files(folder / source.folder, source.names).names]
    # An outfit without poses is refused when it is read; that says nothing of the body that others beside it need.
    return tuple(found) or tuple(source.kind for source in _SOURCES)


def read_poses(
    folder: Path, body: BodyModel, ticks: Sequence[int], origin: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[PoseTable, tuple[LeftOut, ...]]:
    """Read the poses of some frames for a body. Frame `tick` has the file number tick / 5 - 1, and no other.

    ::

        smpl_param/000000.pkl    full_pose (1, 24, 3, 3), or global_orient (1, 1, 3, 3) and body_pose (1, 23, 3, 3):
                                 rotation matrices; joints (1, 45, 3) metres; betas (1, 10); tensors or arrays
        smplx/smpl/000000.json   [{Rh: 3, Th: 3, poses: 87, or 84 without the root's, expression: 10, shapes: 10}]

    Files are read from the folder for the body's kind, or from the other if there are none. Frames without a file have
    no row. Files that are damaged have none either, and are told of with the first one's name and mistake.

    Betas stand in every file, as many in each; a capture has one body shape, their median, see `one_shape`.

    Args:
        folder: the outfit's folder.
        body: that the poses are for.
        ticks: numbers of the frames that have images.
        origin: what is subtracted from the world; see `make_calibration`.

    Returns:
        The poses by tick, and the frames left out because of damaged files.

    Raises:
        UserError: no file for any of the frames, or all of them are damaged: the first one's mistake.
    """
    source, listing = _source_for(folder, body)
    paths = _paths(listing, ticks)
    if not paths:
        raise UserError(
            f"{listing.folder}: expected a file for at least one of the {len(ticks)} frames with images, "
            f"such as {source.names.example} for frame {TICKS:04d}, found none"
        )
    rows: dict[int, Values] = {}
    damaged: dict[str, list[tuple[int, str]]] = {}  # by what was expected: what was found differs from file to file
    shape_size: int | None = None
    for tick, path in paths.items():
        try:
            values = source.read(path)
            if shape_size not in (None, len(values[0])):
                raise UserError(f"{path}: expected as many betas as in the files before, found {len(values[0])}")
            rows[tick], shape_size = values, len(values[0])
        except UserError as error:
            expected = re.split(r", found| \(", str(error).removeprefix(f"{path}: "))[0]
            damaged.setdefault(expected, []).append((tick, str(error).removeprefix(f"{folder}/")))
    left_out = tuple(LeftOut("frame", tuple(str(tick) for tick, _ in found), found[0][1]) for found in damaged.values())
    if not rows:
        raise UserError(f"{folder / left_out[0].reason}; none of the {len(paths)} files can be used")
    betas, *values = (torch.from_numpy(np.stack(column)) for column in zip(*rows.values(), strict=True))
    values[1] = values[1] - torch.tensor(origin, dtype=torch.float64)
    poses = source.convert(body, one_shape(betas, listing.folder, folder, body), values)
    return PoseTable(source.kind, tuple(rows), poses.to(torch.float32)), left_out


def pose_files(folder: Path, body: BodyModel, ticks: Sequence[int]) -> dict[int, Path]:
    """The files that `read_poses` reads, by tick.

    Raises:
        UserError: no folder of poses.
    """
    return _paths(_source_for(folder, body)[1], ticks)


def _source_for(folder: Path, body: BodyModel) -> tuple[_Source, Listing]:
    listings = {source: list_files(folder / source.folder, source.names) for source in _SOURCES}
    filled = [source for source in _SOURCES if listings[source].names]
    if not filled:
        names = " or ".join(f"{source.folder}/{source.names.example}" for source in _SOURCES)
        unlike = "; ".join(f"{source.folder}: {found.unlike}" for source, found in listings.items() if found.unlike)
        raise UserError(f"{folder}: expected poses in {names}, found neither{unlike and f'; {unlike}'}")
    source = next((source for source in filled if source.kind == body.kind), filled[0])
    return source, listings[source]


def _paths(listing: Listing, ticks: Sequence[int]) -> dict[int, Path]:
    return {
        t: listing.folder / listing.names[t // TICKS - 1]
        for t in ticks
        if t % TICKS == 0 and t // TICKS - 1 in listing.names
    }


def _read_smpl(path: Path) -> Values:
    """betas [B], rotations [24, 3, 3], the pelvis's place [3]."""
    content = load_pickle(path, NUMPY | TORCH, "a dictionary of SMPL parameters")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dictionary of SMPL parameters, found {type(content).__name__}")
    if content.get("full_pose") is not None:
        rotations = _array(path, content, "full_pose", (1, 24, 3, 3))[0]
    else:
        shapes = {"global_orient": (1, 1, 3, 3), "body_pose": (1, 23, 3, 3)}
        rotations = np.concatenate([_array(path, content, key, shape)[0] for key, shape in shapes.items()])
    error = np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max((1, 2))
    if error.max() > 1e-3 or np.linalg.det(rotations).min() < 0:
        raise UserError(
            f"{path}: key 'full_pose': expected rotation matrices (R R^T = 1, determinant 1), "
            f"found R R^T off by {error.max():.2g} and determinants from {np.linalg.det(rotations).min():.3g} on"
        )
    return _array(path, content, "betas", (1, None))[0], rotations, _array(path, content, "joints", (1, 45, 3))[0, 0]


def _array(path: Path, content: dict[str, Any], key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    value = require(str(path), content, key)
    array = as_array(value)
    if array is not None and array.ndim == len(shape) and array.size:
        shape = tuple(found if wanted is None else wanted for wanted, found in zip(shape, array.shape, strict=True))
    if array is None or array.shape != shape:
        usual = tuple(10 if wanted is None else wanted for wanted in shape)
        raise UserError(
            f"{path}: key '{key}': expected shape {usual}, found {shown(value, 40) if array is None else array.shape}"
        )
    return numbers(str(path), key, array, None).reshape(array.shape)


def _from_smpl(body: BodyModel, betas: Tensor, values: Sequence[Tensor]) -> BodyPose:
    """The files have no translation: it is where the pelvis stands less where the shape has it, joints[0] - J0."""
    rotations, pelvis = values
    angles = matrix_to_axis_angle(rotations)
    return BodyPose(betas, angles[:, 0], angles[:, 1:].flatten(1), pelvis - body.rest_joints(betas.float())[0])


def _read_smplx(path: Path) -> Values:
    """shapes [B], Rh [3], Th [3], poses [87], expression [10]."""
    content = read_json(path, "a list of one person")
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        found = f"a list of {len(content)}" if isinstance(content, list) else shown(content)
        raise UserError(f"{path}: expected a list of one person, found {found}")
    where, person = str(path), content[0]
    values = {key: numbers(where, key, require(where, person, key), count) for key, count in _SMPLX_NUMBERS.items()}
    values["poses"] = with_root(where, values["poses"], sum(SMPLX_PARTS))
    return values.pop("shapes"), *values.values()


def _from_smplx(body: BodyModel, betas: Tensor, values: Sequence[Tensor]) -> BodyPose:
    """EasyMocap's rotation about the origin to smplx's about the pelvis; hands add six components to flat hands."""
    rotation, shift, poses, expression = values
    root, joints, left, right, jaw, left_eye, right_eye = poses.split((3, *SMPLX_PARTS), 1)
    # Another body than SMPL-X has no hands to take components from; whether it fits is judged when all is read.
    hands = hands_from_pca(body, left, right, flat=True) if body.kind == "smplx" else ()
    orient, transl = easymocap_to_smplx(rotation, shift, body.rest_joints(betas.float())[0].double(), root)
    pose = smplx_body_pose(joints, jaw, left_eye, right_eye, *hands)
    return BodyPose(betas, orient, pose, transl, expression)


_SOURCES = (
    _Source("smpl", "smpl_param", FrameNames("000000.pkl", suffixes=("pkl",)), _read_smpl, _from_smpl),
    _Source("smplx", "smplx/smpl", FrameNames("000000.json", suffixes=("json",)), _read_smplx, _from_smplx),
)
