"""The readers that are fuzzed: a small valid file of each kind, and what reads it."""

from __future__ import annotations

import functools
import io
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from safetensors.torch import load_file, save

from hgg_pyg.avatar.motions import retarget
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.formats import avatar_file, bvh, deepmimic, easymocap, smpl_npz
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.backbones.lgm.checkpoint import load_lgm, save_lgm
from hgg_pyg.backbones.lgm.network import LGM, PRESETS
from hgg_pyg.backbones.ply import read_similarity
from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.arrays import read_body
from hgg_pyg.config import config_json
from hgg_pyg.data.calibration import Calibration, Entry, make_calibration, read_calibration, require
from hgg_pyg.data.capture_set import read_splits
from hgg_pyg.data.layouts.mvhumannet import _read_cameras
from hgg_pyg.data.layouts.mvhumannet_poses import _read_smpl, _read_smplx
from hgg_pyg.data.layouts.mvhumannet_pp import _read_camera
from hgg_pyg.data.layouts.zju_mocap import _calibration, _dictionary, _poses, _shots
from hgg_pyg.data.shards import DamagedShard, halve, read_frame, write_shard
from hgg_pyg.data.smpl_params import params_kind, read_smpl_params
from hgg_pyg.evaluation.lpips import LPIPS
from hgg_pyg.io.splats import read_ply, write_ply
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.prepare.calibrations import read_calibrations
from hgg_pyg.prepare.given import read_landmarks, read_points3d
from hgg_pyg.training.run import TrainConfig, read_config
from hgg_pyg.types import Gaussians, UserError
from tests.avatar.avatars import small_avatar
from tests.avatar.motions.people import SOURCES, bandai_namco, movement, write_bvh
from tests.fuzz.mutations import bytes_changed, json_changed, npz_changed, pickle_changed, safetensors_changed
from tests.fuzz.running import Reader
from tests.prepare.calibrations.files import (
    Write,
    colmap_writer,
    rig,
    write_caliscope,
    write_easymocap,
    write_opencv,
    write_opencv_in_one,
    write_opencv_json,
    write_pose2sim,
    write_qualisys,
)

_JSON, _NPZ, _PICKLE = (json_changed, bytes_changed), (npz_changed, bytes_changed), (pickle_changed, bytes_changed)
_K = [[100.0, 0, 32], [0, 100.0, 32], [0, 0, 1]]
_SMALL = ModelConfig(num_layers=1, hidden_channels=8, heads=2, in_channels=6)


def _always(*contents: bytes) -> Callable[[Path], Sequence[bytes]]:
    return lambda folder: contents


def _text(values: Any) -> bytes:
    return json.dumps(values).encode()


def _npy(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _rotations() -> list[list[list[float]]]:
    return [[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]]


def _cameras() -> list[bytes]:
    plain = {f"cam{i}": {"K": _K, "R": R, "T": [0.1 * i, 0, 2]} for i, R in enumerate(_rotations())}
    full: dict[str, Any] = {"K": np.ravel(_K).tolist(), "R": _rotations()[0], "T": [[0], [0], [2]]}
    full |= {"distCoeff": [0.1] * 5, "imgSize": [64, 64]}
    return [_text(plain), _text({"a": full})]


def _mvhumannet_cameras(file: str) -> Reader:
    K = [[4000.0, 0, 2048], [0, 4000, 1500], [0, 0, 1]]
    cameras = {f"1_CC32871A00{i}.png": {"rotation": R, "translation": [i, 0, 2]} for i, R in enumerate(_rotations())}
    contents = {
        "camera_extrinsics.json": _text(cameras),
        "camera_intrinsics.json": _text({"intrinsics": K, "dist": [0.1, 0, 0, 0, 0]}),
        "camera_scale.pkl": pickle.dumps(1.8),
    }

    def valid(folder: Path) -> Sequence[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return [contents[file]]

    mutations = _PICKLE if file.endswith(".pkl") else _JSON
    return Reader(valid, file, lambda folder: make_calibration(_read_cameras(folder)), mutations)


def _params(frames: int = 3) -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    widths = {"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 69}
    smpl = {name: rng.normal(size=(1 if name == "betas" else frames, width)) for name, width in widths.items()}
    whole = {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "left_hand_pose": 45, "right_hand_pose": 45}
    smplx = {**smpl, **{name: rng.normal(size=(frames, width)).astype("f4") for name, width in whole.items()}}
    smplx |= {"body_pose": smpl["body_pose"][:, :63], "expression": np.zeros((frames, 10), "f4")}
    return [_npz(**smpl), _npz(**smplx)]


@functools.cache
def _default_body() -> BodyModel:
    return load_body()


def _read_params(folder: Path) -> object:
    path = folder / "smpl_params.npz"
    return params_kind(path), read_smpl_params(path, _default_body())


@functools.cache
def _body(vertices: int = 40, joints: int = 24) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = rng.random((vertices, joints))
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "f": rng.integers(0, vertices, (50, 3)).astype("u4"),
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": np.eye(joints, vertices),
        "kintree_table": np.stack([np.maximum(np.arange(joints) - 1, 0), np.arange(joints)]),
        "shapedirs": rng.normal(size=(vertices, 3, 10)),
        "posedirs": rng.normal(size=(vertices, 3, (joints - 1) * 9)).astype("f4"),
    }


def _body_archives() -> Sequence[bytes]:
    compact = dict(_body())
    del compact["weights"], compact["J_regressor"]
    rng = np.random.default_rng(1)
    compact |= {"jr_row": np.arange(24), "jr_col": np.arange(24), "jr_val": np.ones(24, "f2")}
    compact |= {"w_idx": rng.integers(0, 24, (40, 4)).astype("u1"), "w_val": rng.random((40, 4)).astype("f2")}
    matrix = np.array(scipy.sparse.csc_matrix(_body()["J_regressor"]), object)
    return [_npz(**_body()), _npz(**compact), _npz(**{**_body(), "J_regressor": matrix})]


def _body_pickles() -> Sequence[bytes]:
    forms = (scipy.sparse.csc_matrix, scipy.sparse.coo_matrix)
    sparse = [{**_body(), "J_regressor": form(_body()["J_regressor"]), "bs_type": "lrotmin"} for form in forms]
    return [pickle.dumps(content, 2) for content in (_body(), *sparse)]


def _smpl_poses() -> Sequence[bytes]:
    turn = torch.eye(3).expand(1, 24, 3, 3).contiguous()
    content = {"full_pose": turn, "joints": torch.zeros(1, 45, 3), "betas": torch.zeros(1, 10)}
    halves = {"global_orient": turn[:, :1].numpy(), "body_pose": turn[:, 1:].numpy()}
    arrays = {**halves, "joints": np.zeros((1, 45, 3)), "betas": np.zeros((1, 10), "f4")}
    return [pickle.dumps(content, 2), pickle.dumps(arrays, 4)]


def _annotations() -> Sequence[bytes]:
    cams = {"K": [np.array(_K)] * 2, "D": [np.zeros((5, 1))] * 2, "R": [np.array(R) for R in _rotations()]}
    cams["T"] = [np.full((3, 1), 1000.0 * i) for i in range(2)]
    ims = [{"ims": [f"Camera_B{i}/{frame:06d}.jpg" for i in (1, 2)]} for frame in range(3)]
    return [_npy(np.array({"cams": cams, "ims": ims}, object))]


def _read_annotations(folder: Path) -> object:
    path = folder / "annots.npy"
    content = _dictionary(path, "a dictionary with cams and ims, pickled by numpy")
    cameras, shots = _shots(path, require(str(path), content, "ims"))
    return _calibration(path, cameras, require(str(path), content, "cams")), shots


def _people() -> Sequence[bytes]:
    person = {"poses": np.zeros((1, 72)), "Rh": np.zeros((1, 3)), "Th": np.zeros((1, 3)), "shapes": np.zeros((1, 10))}
    return [_npy(np.array(person, object))]


def _gaussians(count: int = 5, harmonics: int = 0, features: int = 4) -> Gaussians:
    rng = torch.Generator().manual_seed(0)
    colors = torch.rand((count, harmonics, 3) if harmonics else (count, 3), generator=rng)
    places, turns = torch.randn(count, 3, generator=rng), torch.randn(count, 4, generator=rng)
    sizes, opacities = torch.rand(count, 3, generator=rng) + 0.01, torch.rand(count, generator=rng)
    return Gaussians(places, turns, sizes, opacities, colors, torch.zeros(count, features))


def _plys(folder: Path) -> Sequence[bytes]:
    contents = []
    for harmonics in (0, 4):
        write_ply(folder / "valid.ply", _gaussians(harmonics=harmonics))
        contents.append((folder / "valid.ply").read_bytes())
    head, _, rows = contents[0].partition(b"end_header\n")
    ahead = b"element face 2\nproperty list uchar int vertex_indices\nelement vertex"
    faces = b"\3" + bytes(12) + b"\1" + bytes(4)
    contents.append(head.replace(b"element vertex", ahead) + b"end_header\n" + faces + rows)
    lines = "\n".join(" ".join(map(str, row)) for row in np.frombuffer(rows, "<f4").reshape(5, -1))
    contents.append(head.replace(b"binary_little_endian", b"ascii") + b"end_header\n" + lines.encode())
    names = ("x", "y", "z", "scale_x", "scale_y", "scale_z")
    ends = "".join(f"property float {end}_{name}\n" for end in ("min", "max") for name in names)
    packed = "".join(f"property uint packed_{name}\n" for name in ("position", "rotation", "scale", "color"))
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement chunk 1\n{ends}element vertex 2\n{packed}end_header\n".encode()
    )
    words = np.array([[7, 512 << 20 | 512 << 10 | 512, 9, 1 << 31]] * 2, "<u4")
    contents.append(head + np.linspace(-1, 1, 12).astype("<f4").tobytes() + words.tobytes())
    return contents


def _read_ply(folder: Path) -> object:
    return read_ply(folder / "a.ply"), _or_refused(lambda: read_ply(folder / "a.ply", sh=True))


def _or_refused(read: Callable[[], object]) -> object:
    try:
        return read()
    except UserError as error:
        return error


def _shard(folder: Path) -> Sequence[bytes]:
    write_shard(folder / "valid.safetensors", {number: halve(_gaussians(3 + number), "a test") for number in range(2)})
    return [(folder / "valid.safetensors").read_bytes()]


def _model(file: str) -> Callable[[Path], Sequence[bytes]]:
    def valid(folder: Path) -> Sequence[bytes]:
        torch.manual_seed(0)
        HGGNet(_SMALL).save(folder)
        if file == "model.json":
            return [(folder / file).read_bytes()]
        # As an earlier version wrote it, too: without a digest, so that damage gets further.
        return [(folder / file).read_bytes(), save(load_file(folder / file))]

    return valid


def _lgm(folder: Path) -> Sequence[bytes]:
    torch.manual_seed(0)
    save_lgm(LGM(PRESETS["micro"]), "micro", 64, folder / "valid.safetensors")
    return [
        (folder / "valid.safetensors").read_bytes(),
        save(LGM(PRESETS["micro"]).state_dict(), {"preset": "micro", "size": "64"}),
    ]


@functools.cache
def _alexnet(weights: Path) -> LPIPS:
    return LPIPS(weights, "alex")


def _lpips(folder: Path) -> Sequence[bytes]:
    """AlexNet's shapes with zeros, as torchvision and as a trainer stores them."""
    widths = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
    state = {}
    for place, (wide, deep, window) in zip((0, 3, 6, 8, 10), widths, strict=True):
        state[f"features.{place}.weight"] = torch.zeros(1).expand(wide, deep, window, window)  # small on disk
        state[f"features.{place}.bias"] = torch.zeros(1).expand(wide)
    path = folder / "valid.pth"
    contents = []
    for content in (state, {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}):
        for zipped in (True, False):
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            contents.append(path.read_bytes())
    return contents


def _similarity() -> Sequence[bytes]:
    return [b"# moved\n1 0 0 0.5\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", b"0 -2 0 1e-3\n2 0 0 0\n0 0 2 0\n0 0 0 1"]


def _motion(valid: Callable[[Path], Sequence[bytes]], motion_format: MotionFormat, file: str, mutations: Any) -> Reader:
    """A file of a motion is read, and fitted to the default person."""

    def read(folder: Path) -> object:
        return retarget(motion_format.read(folder / file), _default_skeleton())

    return Reader(valid, file, read, mutations)


@functools.cache
def _default_skeleton() -> Skeleton:
    body = _default_body()
    return Skeleton(body.joint_names, tuple(body.parents.tolist()), body.rest_joints(torch.zeros(10)))


def _bvhs(folder: Path) -> Sequence[bytes]:
    lying, standing = bandai_namco()
    local, root = movement(lying, frames=4)
    files = [write_bvh(folder / "valid.bvh", lying, local + standing, root).read_bytes()]
    for source in SOURCES.values():
        files.append(write_bvh(folder / "valid.bvh", source, *movement(source, frames=4)).read_bytes())
    return files


def _motion_rows() -> Sequence[bytes]:
    """SMPL's and SMPL-X's parameters of two frames, as several people name them."""
    rng = np.random.default_rng(0)
    poses, trans = rng.normal(0, 0.2, (2, 165)), rng.normal(0, 1, (2, 3))
    parts = {"pose_body": poses[:, 3:66], "pose_hand": poses[:, 75:], "mocap_frame_rate": 30.0}
    hands = {"left_hand_pose": np.zeros((2, 6)), "right_hand_pose": np.zeros((2, 45))}
    return [
        _npz(poses=poses, trans=trans, mocap_frame_rate=np.array([120.0])),
        _npz(poses=poses[:, :72].astype(np.float32), transl=trans, fps=25),
        _npz(root_orient=poses[:, :3], trans=trans, **parts),
        _npz(global_orient=poses[:, :3], body_pose=poses[:, 3:66], transl=trans, **hands),
    ]


def _humanoids() -> Sequence[bytes]:
    """Three frames of DeepMimic's humanoid, nearly at rest."""
    still = [1.0, 0.1, 0, 0]
    row = [0.03, 0, 0.9, 0, *still * 4, 0.1, *still * 2, 0.1, *still, 0.1, *still * 2, 0.1]
    return [_text({"Loop": "wrap", "Frames": [row, row, row]})]


def _captured(count: int) -> Sequence[bytes]:
    """EasyMocap's files of so many frames, SMPL's and SMPL-X's."""
    files = []
    for width in (72, 87):
        entry = {"id": 0, "Rh": [[0.1] * 3] * count, "Th": [[0.5] * 3] * count, "poses": [[0.1] * width] * count}
        files += [_text([entry]), _text({"annots": [entry, entry]})]
    return files


def _avatars(folder: Path) -> Sequence[bytes]:
    small_avatar(_default_body(), 5).save(folder / "valid.avatar")
    return [(folder / "valid.avatar").read_bytes()]


def _landmarks() -> Sequence[bytes]:
    """Two cameras' landmarks in three images of 64 x 64, by a set's name and by names of points."""
    points = np.random.default_rng(0).uniform(1, 60, (3, 2, 17, 3)) * (1, 1, 1 / 64)
    given = {"points2d": points, "cameras": np.array(["a", "b"])}
    frames = {"axes": "VFJ", "frames": np.array([0, 2, 5])}
    names = np.array(["left_hip", "right_hip", "left_knee", "right_knee", *"abcdefghijklm"])
    return [
        _npz(**given, landmarks="coco17"),
        _npz(**given | {"points2d": points.swapaxes(0, 1)}, landmarks=names, **frames),
    ]


def _points3d() -> Sequence[bytes]:
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (3, 17, 3)) * (0.3, 1, 0.3) + (0, 0, 1)
    return [_npz(points3d=points, landmarks="coco17"), _npz(points3d=points, landmarks="coco17", frames=np.arange(3))]


@functools.cache
def _two_cameras() -> Calibration:
    K = np.array(_K) * ((0.1,), (0.1,), (1,)) + np.array([[0, 0, 28.8], [0, 0, 28.8], [0, 0, 0]])
    return make_calibration([Entry(name, name, K, np.eye(3), [x, 0, 2]) for x, name in ((0.0, "a"), (0.5, "b"))])


def _keypoints(form: str) -> Callable[[Path], Sequence[bytes]]:
    """OpenPose's file of one frame, or MMPose's of one camera; the other camera's is whole."""
    rows = (np.random.default_rng(0).uniform(1, 60, (17, 3)) * (1, 1, 1 / 64)).tolist()
    person = {"keypoints": [row[:2] for row in rows], "keypoint_scores": [row[2] for row in rows]}
    frames = [{"frame_id": 1, "instances": [person, person]}, {"frame_id": 2, "instances": []}]
    content = {
        "openpose": _text({"version": 1.3, "people": [{"pose_keypoints_2d": np.ravel(rows).tolist()}]}),
        "mmpose": _text({"meta_info": {}, "instance_info": frames}),
    }[form]

    def valid(folder: Path) -> Sequence[bytes]:
        whole = folder / "given" / ("b/0_keypoints.json" if form == "openpose" else "b.json")
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(content)
        return [content]

    return valid


def _read_keypoints(folder: Path) -> object:
    return read_landmarks(folder / "given", ("a", "b"), [(64, 64)] * 2, [6] * 2)


def _written(write: Write, file: str) -> Reader:
    """A calibration of three cameras, of which one file is damaged."""
    bends = 0 if file in ("cameras.txt", "images.txt") else 5

    def valid(folder: Path) -> Sequence[bytes]:
        (folder / "given").mkdir(parents=True, exist_ok=True)
        write(folder / "given", rig(bends))
        return [(folder / "given" / file).read_bytes()]

    mutations = _JSON if file.endswith(".json") else (bytes_changed,)
    return Reader(valid, f"given/{file}", lambda folder: read_calibrations(folder / "given", unit="cm"), mutations)


_EASYMOCAP = {
    key: [[0.1] * count] for key, count in {"Rh": 3, "Th": 3, "poses": 87, "expression": 10, "shapes": 10}.items()
}
_HEADER = (safetensors_changed, safetensors_changed, bytes_changed)

READERS: dict[str, Reader] = {
    "splits": Reader(
        _always(_text({"train": ["a", "b"], "val": ["c"], "test": []})),
        "splits.json",
        lambda folder: read_splits(folder, dict.fromkeys("abc")),  # pyright: ignore
        _JSON,
    ),
    "config": Reader(_always(config_json(TrainConfig()).encode()), "config.json", read_config, _JSON),
    "model": Reader(_model("model.json"), "model.json", HGGNet.load, _JSON),
    "weights": Reader(_model("model.safetensors"), "model.safetensors", HGGNet.load, _HEADER),
    "lgm": Reader(_lgm, "lgm.safetensors", lambda folder: load_lgm(folder / "lgm.safetensors"), _HEADER),
    "lpips": Reader(
        _lpips, "alex.pth", lambda folder: _alexnet(folder / "valid.pth")._load(folder / "alex.pth"), (bytes_changed,)
    ),
    "shard": Reader(
        _shard,
        "shard.safetensors",
        lambda folder: [read_frame(folder / "shard.safetensors", number) for number in range(2)],
        _HEADER,
        (DamagedShard,),
    ),
    "calibration": Reader(
        _always(*_cameras()), "calibration.json", lambda folder: read_calibration(folder / "calibration.json"), _JSON
    ),
    "opencv": _written(write_opencv, "cam02.yml"),
    "opencv in one": _written(write_opencv_in_one, "cameras.yml"),
    "opencv json": _written(write_opencv_json, "rig.json"),
    "qualisys": _written(write_qualisys, "Calib.qca.txt"),
    "pose2sim": _written(write_pose2sim, "Calib_scene.toml"),
    "caliscope": _written(write_caliscope, "camera_array.toml"),
    "easymocap lenses": _written(write_easymocap, "intri.yml"),
    "easymocap places": _written(write_easymocap, "extri.yml"),
    "colmap lenses": _written(colmap_writer("PINHOLE"), "cameras.txt"),
    "colmap places": _written(colmap_writer("PINHOLE"), "images.txt"),
    "extrinsics": _mvhumannet_cameras("camera_extrinsics.json"),
    "intrinsics": _mvhumannet_cameras("camera_intrinsics.json"),
    "scale": _mvhumannet_cameras("camera_scale.pkl"),
    "camera": Reader(
        _always(
            _npz(intrinsic=np.array(_K), extrinsic=np.eye(4)), _npz(intrinsic=np.array(_K), extrinsic=np.eye(3, 4))
        ),
        "camera.npz",
        lambda folder: make_calibration([_read_camera("cam_00", folder / "camera.npz")]),
        _NPZ,
    ),
    "annotations": Reader(_always(*_annotations()), "annots.npy", _read_annotations, _PICKLE),
    "params": Reader(_always(*_params()), "smpl_params.npz", _read_params, _NPZ),
    "smpl": Reader(_always(*_smpl_poses()), "0.pkl", lambda folder: _read_smpl(folder / "0.pkl"), _PICKLE),
    "smplx": Reader(_always(_text([_EASYMOCAP])), "0.json", lambda folder: _read_smplx(folder / "0.json"), _JSON),
    "easymocap": Reader(
        _always(*_people()),
        "0.npy",
        lambda folder: _poses(folder, folder, {0: 0}, _default_body(), (0.0, 0.0, 0.0)),
        _PICKLE,
    ),
    "body_npz": Reader(_always(*_body_archives()), "b.npz", lambda folder: read_body(folder / "b.npz"), _NPZ),
    "body_pickle": Reader(_always(*_body_pickles()), "b.pkl", lambda folder: read_body(folder / "b.pkl"), _PICKLE),
    "ply": Reader(_plys, "a.ply", _read_ply, (bytes_changed,)),
    "similarity": Reader(
        _always(*_similarity()), "move.txt", lambda folder: read_similarity(folder / "move.txt"), (bytes_changed,)
    ),
    "landmarks": Reader(
        _always(*_landmarks()),
        "a.npz",
        lambda folder: read_landmarks(folder / "a.npz", ("a", "b"), [(64, 64)] * 2),
        _NPZ,
    ),
    "points3d": Reader(
        _always(*_points3d()),
        "a.npz",
        lambda folder: read_points3d(folder / "a.npz", _two_cameras(), [(64, 64)] * 2),
        _NPZ,
    ),
    "openpose": Reader(_keypoints("openpose"), "given/a/0_keypoints.json", _read_keypoints, _JSON),
    "mmpose": Reader(_keypoints("mmpose"), "given/a.json", _read_keypoints, _JSON),
    "motion_bvh": _motion(_bvhs, bvh.FORMAT, "a.bvh", (bytes_changed,)),
    "motion_smpl": _motion(_always(*_motion_rows()), smpl_npz.FORMAT, "a.npz", _NPZ),
    "motion_easymocap": _motion(_always(*_captured(2)), easymocap.FORMAT, "a.json", _JSON),
    "motion_deepmimic": _motion(_always(*_humanoids()), deepmimic.FORMAT, "a.json", _JSON),
    "motion_avatar": _motion(_avatars, avatar_file.FORMAT, "a.avatar", _HEADER),
}
"""By name. Each is one kind of file."""
