"""The layout of MVHumanNet++: square images, cameras in metres at the images' own size, SMPL-X poses in one .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration, Entry, make_calibration, numbers
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.layouts.base import FrameNames, Layout, PoseTable, Recording, list_files, list_folders, stated_kinds
from hgg_pyg.data.smpl_params import read_smpl_params
from hgg_pyg.data.smpl_params_rewritten import rewrite_smpl_params
from hgg_pyg.io.npz import load_npz, with_entries
from hgg_pyg.types import UserError

PARAMS = "smplx_params.npz"
CAMERA = "camera.npz"
TICKS = 25  # of the file names, from one frame to the next; the first frame's is 25
_FRAMES = FrameNames("0025.jpg")  # not A-2045.jpg beside them: an image in A-pose, which no row of poses is for


def read_mvhumannet_pp(folder: Path, body: BodyModel) -> Recording:
    """Read one outfit.

    ::

        images/cam_00/0025.jpg       ticks 25, 50, 75, ...
        masks/cam_00/0025.jpg        8 bit, 0..255
        cameras/cam_00/camera.npz    intrinsic (3, 3) at the images' size; extrinsic (3, 4) or (4, 4), world to camera
        smplx_params.npz             SMPL-X in smplx's convention; row i is frame 25 (i + 1)

    Hands are six components added to flat hands, as the data set's own script for rendering them has it.

    Args:
        folder: the outfit's folder.
        body: that its poses are for.

    Raises:
        UserError: no camera, the poses are for another body, or as `make_calibration` and `read_smpl_params`.
    """
    calibration = _calibration(folder)
    unknown = sorted(set(list_folders(folder / "images")) - set(calibration.names))
    images, masks = (
        tuple(list_files(folder / place / name, _FRAMES) for name in calibration.names) for place in ("images", "masks")
    )
    # Asked first, so that a body without hands is told that it is another one, not that it lacks their components.
    body.check_fits(stated_kinds(folder, ("smplx",))[0], str(folder))
    kind, poses = read_smpl_params(folder / PARAMS, body, calibration.origin)
    return Recording(
        calibration=calibration,
        images=images,
        masks=masks,
        poses=PoseTable(kind, tuple(TICKS * (row + 1) for row in range(len(poses))), poses),
        left_out=(LeftOut("camera", tuple(unknown), f"no cameras/<camera>/{CAMERA}"),) if unknown else (),
    )


def rewrite_mvhumannet_pp(folder: Path, body: BodyModel, poses: PoseTable) -> dict[str, bytes]:
    """The files of an outfit's folder with other poses of the frames that were read: `smplx_params.npz`.

    Raises:
        UserError: as `read_mvhumannet_pp`.
    """
    origin = _calibration(folder).origin
    return {PARAMS: rewrite_smpl_params(folder / PARAMS, body, poses, origin)}


def rewrite_mvhumannet_pp_cameras(folder: Path, calibration: Calibration) -> dict[str, bytes]:
    """The files of the cameras, each with its camera in another place.

    Raises:
        UserError: as `read_mvhumannet_pp`.
    """
    files: dict[str, bytes] = {}
    for camera, name in enumerate(calibration.names):
        path = folder / "cameras" / name / CAMERA
        extrinsic = load_npz(path, ("extrinsic",), frozenset(), "a camera")["extrinsic"].astype(np.float64)
        R, T = calibration.of_files(camera)
        extrinsic[:3, :3], extrinsic[:3, 3] = R, T
        files[str(path.relative_to(folder))] = with_entries(path, {"extrinsic": extrinsic})
    return files


def _calibration(folder: Path) -> Calibration:
    paths = {name: folder / "cameras" / name / CAMERA for name in list_folders(folder / "cameras")}
    entries = [_read_camera(name, path) for name, path in paths.items() if path.is_file()]
    if not entries:
        raise UserError(f"{folder}: expected cameras/cam_00/{CAMERA}, a file for each camera, found none")
    return make_calibration(entries)


def _read_camera(name: str, path: Path) -> Entry:
    where = str(path)
    keys = ("intrinsic", "extrinsic")
    arrays = load_npz(path, keys, frozenset(), "an .npz file with intrinsic and extrinsic", required=keys)
    K, extrinsic = arrays["intrinsic"], arrays["extrinsic"]
    if extrinsic.shape not in ((3, 4), (4, 4)):
        raise UserError(f"{path}: key 'extrinsic': expected shape (3, 4) or (4, 4), found {extrinsic.shape}")
    extrinsic = numbers(where, "extrinsic", extrinsic, None).reshape(extrinsic.shape)
    if len(extrinsic) == 4 and not np.allclose(extrinsic[3], (0, 0, 0, 1), atol=1e-6):
        raise UserError(f"{path}: key 'extrinsic': expected the last row 0 0 0 1, found {extrinsic[3].tolist()}")
    return Entry(name, where, K, extrinsic[:3, :3], extrinsic[:3, 3], keys=("intrinsic", "extrinsic", "extrinsic"))


def _is_mvhumannet_pp(folder: Path) -> bool:
    # One of its files is enough to be taken for a capture, so that a missing other one is reported, not passed by.
    return (folder / PARAMS).is_file() or any(folder.glob(f"cameras/*/{CAMERA}"))


MVHUMANNET_PP = Layout(
    name="MVHumanNet++",
    sign=PARAMS,
    recognises=_is_mvhumannet_pp,
    kinds=lambda folder: ("smplx",),
    read=read_mvhumannet_pp,
    rewrite=rewrite_mvhumannet_pp,
    rewrite_cameras=rewrite_mvhumannet_pp_cameras,
)
