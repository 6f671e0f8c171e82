"""The layout of NeuMan: one moving camera, its images placed by COLMAP, SMPL's poses aligned with COLMAP's world."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.body.parameters import easymocap_to_smplx
from hgg_pyg.data.calibration import Calibration, make_calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.colmap import entry_of, read_colmap
from hgg_pyg.data.images import header_size, read_pixels
from hgg_pyg.data.layouts.base import (
    FrameNames,
    Layout,
    Listing,
    PoseTable,
    Recording,
    changed_rows,
    list_files,
    one_shape,
)
from hgg_pyg.data.layouts.neuman_fits import (
    ALIGNMENTS,
    HUGS,
    WorldFits,
    fit_files,
    some,
    still_camera,
    world_shift,
)
from hgg_pyg.types import BodyPose, UserError

_SPARSE, _MASKS = "sparse", "segmentations"
_HUGS_MASKS = "4d_humans/sam_segmentations"
_NAMES = FrameNames("00000.png")
_LOOKS = 4  # masks that are looked at for which of their values is the person
_CAMERA = "camera"

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class _Shots:
    """The images that COLMAP placed."""

    names: dict[int, str]  # by frame number, without folders
    turns: dict[int, np.ndarray]  # from the world to the camera [3, 3]
    shifts: dict[int, np.ndarray]  # [3] in COLMAP's unit
    calibration: Calibration  # one camera, at the origin


def read_neuman(folder: Path, body: BodyModel) -> Recording:
    """Read one subject.

    ::

        images/00000.png           the number is the frame's
        segmentations/00000.png    masks: white is all that is not the person
        sparse/cameras.txt, images.txt   COLMAP's text, one camera for all images
        alignments.npy             pickled {image's name: M (4, 3)}: a body's vertex x is at [x 1] M in COLMAP's world
        smpl_output_optimized.pkl  by joblib: {1: {pose (F, 72), betas (F, 10)}}, a row for each frame number; else
                                   smpl_output_romp.pkl, or the only other one

    or, as HUGS distributes the same data, in addition

    ::

        4d_humans/smpl_optimized_aligned_scale.npz   global_orient, body_pose, betas, transl, scale: scale LBS + transl
                                                     is in COLMAP's world; a row for each image in images.txt, by name
        4d_humans/sam_segmentations/*.png            masks: white is the person

    which is preferred, as it is there. Which of the two values of a mask is the person is told by the borders of some.

    The camera moves and a capture's cameras stand still, so the camera is taken for the world: poses are those that it
    sees before it. COLMAP's unit, and each frame's own scale in the alignments, fall out: the body is in metres.

    Args:
        folder: the subject's.
        body: that its poses are for; its pelvis is what they are rotated about.

    Raises:
        UserError: a file is missing, damaged, of another kind or shape, or the images are of several cameras.
    """
    shots = _shots(folder)
    fits = fit_files(folder, shots.names).read()
    images = list_files(folder / "images", _NAMES)
    masks = _masks(folder, images)
    unplaced = [number for number in images.names if number not in shots.names]
    return Recording(
        calibration=shots.calibration,
        images=(images.without(unplaced),),
        masks=(masks,),
        poses=_poses(folder, body, shots, fits),
        inverted=_white_is_background(masks),
        left_out=(LeftOut("frame", tuple(map(str, unplaced)), f"not in {_SPARSE}/images.txt"),) if unplaced else (),
    )


def rewrite_neuman(folder: Path, body: BodyModel, poses: PoseTable) -> dict[str, bytes]:
    """The files of a subject's folder with other poses of the frames that were read; alignments keep their rotations.

    Raises:
        UserError: as `read_neuman`.
    """
    shots = _shots(folder)
    files = fit_files(folder, shots.names)
    fits = files.read()
    rows = changed_rows(_poses(folder, body, shots, fits), poses)
    if not rows:
        return {}
    fits, new = some(fits, rows), poses.poses[rows]
    turns, shifts = _placed(shots, fits)
    Q, _ = still_camera(fits, turns, shifts)
    pelvis = body.rest_joints(new.betas)[0].double().numpy()
    root = Q.transpose(0, 2, 1) @ Rotation.from_rotvec(new.global_orient.double().numpy()).as_matrix()
    u = new.transl.double().numpy() + pelvis - Q @ pelvis
    pose = np.concatenate([Rotation.from_matrix(root).as_rotvec(), new.body_pose.double().numpy()], 1)
    betas = np.tile(new.betas.double().numpy(), (len(rows), 1))
    return files.rewritten(replace(fits, pose=pose, betas=betas, shift=world_shift(u, fits, turns, shifts)))


def _shots(folder: Path) -> _Shots:
    lenses, found = read_colmap(folder / _SPARSE)
    names: dict[int, str] = {}
    turns, shifts, calibrations = {}, {}, []
    used = sorted({shot.lens for shot in found})
    if len(used) > 1:
        raise UserError(
            f"{folder / _SPARSE}/images.txt: expected images of one camera, found the cameras {', '.join(used[:5])}"
        )
    for shot in found:
        name = PurePosixPath(shot.name).name
        parsed = _NAMES.parse(name)
        if parsed is None or parsed[1] in names:
            raise UserError(f"{shot.where}: expected a name with a number of its own, such as 00000.png, found {name}")
        entry = make_calibration([entry_of(shot, _CAMERA, lenses)])  # checks it
        origin = np.asarray(entry.origin)
        names[parsed[1]], turns[parsed[1]] = name, entry.R[0]
        shifts[parsed[1]] = entry.T[0] - entry.R[0] @ origin
        calibrations.append(entry)
    still = replace(calibrations[0], R=np.eye(3)[None], T=np.zeros((1, 3)), origin=(0.0, 0.0, 0.0))
    return _Shots(names, turns, shifts, still)


def _placed(shots: _Shots, fits: WorldFits) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [F, 3, 3] and translations [F, 3] of the images that bodies are of."""
    return np.stack([shots.turns[n] for n in fits.numbers]), np.stack([shots.shifts[n] for n in fits.numbers])


def _poses(folder: Path, body: BodyModel, shots: _Shots, fits: WorldFits) -> PoseTable:
    """The bodies as the camera has them before it."""
    Q, u = still_camera(fits, *_placed(shots, fits))
    betas = one_shape(torch.from_numpy(fits.betas.astype(np.float32)), folder, folder, body)
    pose = torch.from_numpy(fits.pose)
    turn = torch.from_numpy(Rotation.from_matrix(Q).as_rotvec())
    pelvis = body.rest_joints(betas)[0].double()
    orient, transl = easymocap_to_smplx(turn, torch.from_numpy(u), pelvis, pose[:, :3])
    return PoseTable(
        "smpl", fits.numbers, BodyPose(betas, orient.float(), pose[:, 3:].float().contiguous(), transl.float())
    )


def _masks(folder: Path, images: Listing) -> Listing:
    """HUGS's masks where there is one for each image, else NeuMan's."""
    better = list_files(folder / _HUGS_MASKS, _NAMES)
    if (folder / HUGS).is_file() and better.names and better.names.keys() >= images.names.keys():
        log.info("%s: masks are those of %s", folder, _HUGS_MASKS)
        return better
    return list_files(folder / _MASKS, _NAMES)


def _white_is_background(masks: Listing) -> bool:
    """Whether most of the borders of some masks are white."""
    chosen = sorted(masks.names)[:: max(1, len(masks.names) // _LOOKS)][:_LOOKS]
    votes = []
    for number in chosen:
        path = masks.folder / masks.names[number]
        size = header_size(path)
        mask = read_pixels(path, "L", size, size)
        mask = mask / max(mask.max(), 1e-6)  # of masks of 0 and 1, too
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        votes.append(border.mean())
    return bool(votes) and float(np.median(votes)) > 0.5


def _is_neuman(folder: Path) -> bool:
    # One of its files is enough to be taken for a capture, so that a missing other one is reported, not passed by.
    own = any((folder / name).is_file() for name in (ALIGNMENTS, HUGS, "smpl_output_optimized.pkl"))
    return own or ((folder / _SPARSE).is_dir() and (folder / _MASKS).is_dir())


def _kinds(folder: Path) -> tuple[str, ...]:
    return ("smpl",)


NEUMAN = Layout(
    name="NeuMan",
    sign=f"{ALIGNMENTS} and {_SPARSE}/",
    recognises=_is_neuman,
    kinds=_kinds,
    read=read_neuman,
    rewrite=rewrite_neuman,
)
