"""Where each layout has what a fault may be in, for sentences that say what to change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hgg_pyg.data.capture import Capture


@dataclass(frozen=True)
class Places:
    """File and keys of a capture's numbers, as they are written in messages."""

    extrinsics: str  # R and T of the cameras
    rotation: str
    translation: str
    intrinsics: str
    orient: str  # global_orient, or what stands for it
    transl: str
    images: str = "images and masks"
    size_hint: str = ""  # another way to say what size K is for


_GENERAL = Places(
    extrinsics="the calibration: R and T",
    rotation="the calibration: R",
    translation="the calibration: T",
    intrinsics="the calibration: K",
    orient="the body's parameters: global_orient",
    transl="the body's parameters: transl",
)
_AVATARREX = Places(
    extrinsics="calibration_full.json: keys 'R' and 'T'",
    rotation="calibration_full.json: key 'R'",
    translation="calibration_full.json: key 'T'",
    intrinsics="calibration_full.json: key 'K'",
    orient="smpl_params.npz: key 'global_orient'",
    transl="smpl_params.npz: key 'transl'",
    size_hint=", or give each camera 'imgSize': [width, height] of the images that K is for",
)
_PLACES = {
    "AvatarReX": _AVATARREX,
    "THuman4": _AVATARREX,
    "MVHumanNet": Places(
        extrinsics="camera_extrinsics.json: keys 'rotation' and 'translation'",
        rotation="camera_extrinsics.json: key 'rotation'",
        translation="camera_extrinsics.json: key 'translation' (millimetres), and camera_scale.pkl",
        intrinsics="camera_intrinsics.json: key 'intrinsics'",
        orient="smplx/smpl/*.json: key 'Rh', or smpl_param/*.pkl: key 'global_orient'",
        transl="smplx/smpl/*.json: key 'Th', or smpl_param/*.pkl: key 'joints'",
    ),
    "MVHumanNet++": Places(
        extrinsics="cameras/*/camera.npz: key 'extrinsic'",
        rotation="cameras/*/camera.npz: key 'extrinsic', its first three columns",
        translation="cameras/*/camera.npz: key 'extrinsic', its last column",
        intrinsics="cameras/*/camera.npz: key 'intrinsic'",
        orient="smplx_params.npz: key 'global_orient'",
        transl="smplx_params.npz: key 'transl'",
    ),
    "ZJU-MoCap": Places(
        extrinsics="annots.npy: keys 'R' and 'T' in 'cams'",
        rotation="annots.npy: key 'R' in 'cams'",
        translation="annots.npy: key 'T' in 'cams' (millimetres)",
        intrinsics="annots.npy: key 'K' in 'cams'",
        orient="params/*.npy: key 'Rh'",
        transl="params/*.npy: key 'Th'",
    ),
    "PeopleSnapshot": Places(
        extrinsics="camera.pkl: keys 'camera_rt' and 'camera_t'",
        rotation="camera.pkl: key 'camera_rt'",
        translation="camera.pkl: key 'camera_t'",
        intrinsics="camera.pkl: keys 'camera_f' and 'camera_c'",
        orient="reconstructed_poses.hdf5: key 'pose', its first three numbers",
        transl="reconstructed_poses.hdf5: key 'trans'",
        images="video and masks",
    ),
    "NeuMan": Places(
        extrinsics="sparse/images.txt: QW to TZ",
        rotation="sparse/images.txt: QW QX QY QZ",
        translation="sparse/images.txt: TX TY TZ",
        intrinsics="sparse/cameras.txt: PARAMS",
        orient="the pose files: the first three numbers of a pose, or alignments.npy",
        transl="alignments.npy, or key 'transl' of the .npz",
    ),
}


def places_of(capture: Capture) -> Places:
    """What the files of a capture are called."""
    places = _PLACES.get(capture.layout, _GENERAL)
    if places is _AVATARREX and not (capture.root / "calibration_full.json").is_file():
        names = ("extrinsics", "rotation", "translation", "intrinsics")
        return replace(
            places, **{name: getattr(places, name).replace("calibration_full", "calibration") for name in names}
        )
    return places
