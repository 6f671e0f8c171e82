"""AMASS, SMPL, SMPL-X and EasyMocap: the same poses from any of their files, in worlds of any up."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar import Motion
from hgg_pyg.avatar.motions import load_motion
from hgg_pyg.avatar.motions.clip import checked
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.body import SMPLX_JOINTS, load_body
from hgg_pyg.body.model import BodyModel
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.types import UserError
from tests.avatar.motions.people import Z_UP, joints_of, lowest, skeleton_of

FRAMES = 6
DOWN = Rotation.from_euler("x", 180, degrees=True)


def poses(world: Rotation, joints: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Somebody who walks, sways and jumps once, for SMPL: axis-angle [T, 3 * joints] and translations [T, 3]."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-0.3, 0.3, (1, joints, 3)) * np.linspace(0, 1, FRAMES)[:, None, None]
    heading = Rotation.from_rotvec(np.linspace(0.2, 0.9, FRAMES)[:, None] * [0, 1, 0])
    angles[:, 0] = (world * heading * Rotation.from_rotvec(angles[:, 0])).as_rotvec()
    transl = np.stack([np.linspace(0, 1, FRAMES), np.full(FRAMES, 0.2), np.linspace(2, 2.5, FRAMES)], 1)
    transl[3, 1] += 0.4
    root = np.asarray(load_body().rest_joints(torch.zeros(10))[0])
    return angles.reshape(FRAMES, -1), world.apply(root + transl) - root


def write(folder: Path, kind: str, world: Rotation) -> Path:
    """The same motion as files of several kinds."""
    values, transl = poses(world)
    path = folder / "walk.npz"
    fingers = np.zeros((FRAMES, 90))
    match kind:
        case "SMPL":
            np.savez(path, poses=values, trans=transl, mocap_framerate=120.0, gender="male", betas=np.ones(16))
        case "SMPL without hands":
            np.savez(path, poses=values[:, :66], transl=transl, fps=np.array([120]))
        case "SMPL-H, AMASS":
            np.savez(path, poses=np.hstack([values[:, :66], fingers]), trans=transl, mocap_framerate=120, dmpls=1)
        case "SMPL-X, AMASS":
            rows = np.hstack([values[:, :66], np.zeros((FRAMES, 9)), fingers])
            np.savez(path, poses=rows, trans=transl, mocap_frame_rate=np.array(120))
        case "SMPL-X, AMASS in parts":
            np.savez(path, root_orient=values[:, :3], pose_body=values[:, 3:66], trans=transl, mocap_frame_rate=120)
        case "smplx":
            hands = {f"{side}_hand_pose": np.zeros((FRAMES, 12)) for side in ("left", "right")}
            parts = {"global_orient": values[:, :3], "body_pose": values[:, 3:66], "transl": transl}
            np.savez(path, fps=120, **parts, **hands)  # pyright: ignore
        case "EasyMocap, a file a frame":
            path = folder / "walk"
            path.mkdir()
            for number, entry in enumerate(_easymocap(values, transl, 72)):
                (path / f"{number:06d}.json").write_text(json.dumps([{**entry, "id": 4}, {**entry, "id": 5}]))
        case "EasyMocap, one file":
            path = folder / "walk.json"
            path.write_text(json.dumps({"annots": _easymocap(values, transl, 87)}))
        case "EasyMocap, SMPL-H without the root":
            path = folder / "walk.json"
            entries = _easymocap(values, transl, 78)
            path.write_text(json.dumps([{**entry, "poses": [entry["poses"][0][3:]]} for entry in entries]))
    return path


def _easymocap(values: np.ndarray, transl: np.ndarray, width: int) -> list[dict]:
    """EasyMocap turns about the origin: Th = J0 + t - R J0."""
    root = np.asarray(load_body().rest_joints(torch.zeros(10))[0])
    shifts = root + transl - Rotation.from_rotvec(values[:, :3]).apply(root)
    rows = np.zeros((FRAMES, width))
    rows[:, 3:66] = values[:, 3:66]
    return [{"Rh": [R.tolist()], "Th": [T.tolist()], "poses": [row.tolist()], "shapes": [[0.0] * 10]}
            for R, T, row in zip(values[:, :3], shifts, rows, strict=True)]  # fmt: skip


NPZ = ["SMPL", "SMPL without hands", "SMPL-H, AMASS", "SMPL-X, AMASS", "SMPL-X, AMASS in parts", "smplx"]
KINDS = [*NPZ, "EasyMocap, a file a frame", "EasyMocap, one file", "EasyMocap, SMPL-H without the root"]
WORLDS = {"y up": Rotation.identity(), "z up": Z_UP, "y down": DOWN}


@pytest.mark.parametrize("up", WORLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_file_gives_the_same_motion(tmp_path: Path, kind: str, up: str, body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    motion = load_motion(write(tmp_path, kind, WORLDS[up]), skeleton)
    values, transl = poses(Rotation.identity())
    assert motion.fps == (120 if kind in NPZ else 30)
    np.testing.assert_allclose(motion.body_pose[:, :63], values[:, 3:66], atol=1e-5)
    turn = Rotation.from_rotvec([0, -0.2, 0])  # it faces +z at first
    found = Rotation.from_rotvec(motion.global_orient.numpy())
    expected = turn * Rotation.from_rotvec(values[:, :3])
    assert (found.inv() * expected).magnitude().max() < 2e-3
    places = joints_of(motion, skeleton)["pelvis"]
    np.testing.assert_allclose(places - places[0], turn.apply(transl - transl[0]), atol=2e-3)
    np.testing.assert_allclose(places[0, [0, 2]], 0, atol=1e-5)
    heights = lowest(motion, body)
    assert abs(heights.min()) < 0.03
    assert heights[3] > 0.3  # the jump


def test_ways_grow_with_the_legs_and_poses_do_not(tmp_path: Path, body: BodyModel) -> None:
    path = write(tmp_path, "SMPL", Z_UP)
    small, tall = skeleton_of(body), skeleton_of(body, 1.2)
    one, two = load_motion(path, small), load_motion(path, tall)
    np.testing.assert_array_equal(one.body_pose, two.body_pose)
    for name, places in joints_of(two, tall).items():
        np.testing.assert_allclose(places, 1.2 * joints_of(one, small)[name], atol=1e-4, err_msg=name)


def test_hands_reach_smplx_and_are_left_out_of_smpl(tmp_path: Path, body: BodyModel) -> None:
    values, transl = poses(Rotation.identity(), 55)
    np.savez(tmp_path / "a.npz", poses=values, trans=transl)
    larger = BodyModel(open_smplx())
    skeleton = Skeleton(larger.joint_names, tuple(larger.parents.tolist()), larger.rest_joints(torch.zeros(10)))
    assert skeleton.names == SMPLX_JOINTS
    np.testing.assert_allclose(load_motion(tmp_path / "a.npz", skeleton).body_pose, values[:, 3:], atol=1e-5)
    motion = load_motion(tmp_path / "a.npz", skeleton_of(body))
    np.testing.assert_allclose(motion.body_pose[:, :63], values[:, 3:66], atol=1e-5)
    assert not motion.body_pose[:, 63:].any()


def test_somebody_who_lies_is_not_stood_up(tmp_path: Path, body: BodyModel) -> None:
    """In AMASS's world z is up: on the back, the front points there, and the head along x."""
    values = np.zeros((3, 156))
    values[:, :3] = Rotation.from_euler("z", -90, degrees=True).as_rotvec()
    np.savez(tmp_path / "a.npz", poses=values, trans=np.zeros((3, 3)))
    skeleton = skeleton_of(body)
    motion = load_motion(tmp_path / "a.npz", skeleton)
    places = joints_of(motion, skeleton)
    assert np.abs(places["head"] - places["pelvis"])[:, 1].max() < 0.1
    front = Rotation.from_rotvec(motion.global_orient.numpy()).apply([0, 0, 1])
    np.testing.assert_allclose(front, [[0, 1, 0]] * 3, atol=1e-5)


def damage(**changes) -> Callable[[dict], dict]:
    return lambda arrays: {key: value for key, value in (arrays | changes).items() if value is not None}


BROKEN = {
    "no poses": (damage(poses=None), "expected the keys"),
    "no place": (damage(trans=None), "expected the keys"),
    "width": (damage(poses=np.zeros((6, 71))), r"'poses': expected shape \(6, 66\) or"),
    "flat": (damage(poses=np.zeros(72)), r"'poses': expected shape \(T, T\)"),
    "no frames": (damage(poses=np.zeros((0, 72)), trans=np.zeros((0, 3))), "1 to 1,000,000 frames"),
    "other frames": (damage(trans=np.zeros((5, 3))), r"'trans': expected shape \(6, 3\)"),
    "NaN": (damage(trans=np.full((6, 3), np.nan)), "'trans': expected finite numbers"),
    "far": (damage(trans=np.full((6, 3), 1e9)), "'trans': expected finite numbers within"),
    "text": (damage(poses=np.full((6, 72), "a")), "'poses': expected numbers"),
    "objects": (damage(poses=np.array([None])), "'poses'"),
    "no rate": (damage(mocap_framerate=0.0), "'mocap_framerate': expected 0.1 to 10,000"),
    "NaN rate": (damage(mocap_framerate=np.nan), "'mocap_framerate'"),
    "two rates": (damage(mocap_framerate="fast"), "'mocap_framerate': expected numbers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives_give_one_line(tmp_path: Path, name: str, body: BodyModel) -> None:
    change, said = BROKEN[name]
    arrays = {"poses": np.zeros((6, 72)), "trans": np.zeros((6, 3)), "mocap_framerate": np.array(30.0)}
    np.savez(tmp_path / "a.npz", **change(arrays))
    refuses(tmp_path / "a.npz", said, body)


BROKEN_JSON = {
    "no JSON": ("{", "what is not JSON"),
    "nothing": ("[]", "found"),
    "a number": ("3", "EasyMocap's"),
    "nobody": ('[{"id": NaN, "Rh": [[0,0,0]], "Th": [[0,0,0]], "poses": [[0]]}]', "'id': expected a whole number"),
    "no Rh": ('[{"Th": [[0,0,0]], "poses": [[0]]}]', "'Rh' is missing"),
    "short": ('[{"Rh": [[0,0]], "Th": [[0,0,0]], "poses": [[0]]}]', "'Rh': expected shape"),
    "width": ('[{"Rh": [[0,0,0]], "Th": [[0,0,0]], "poses": [[0]]}]', "expected 72, 78 or 87 numbers"),
    "rows": ('[{"Rh": [[0,0,0]], "Th": [[0,0,0],[0,0,0]], "poses": [[0]]}]', "'Th': expected shape"),
    "NaN": ('[{"Rh": [[0,0,NaN]], "Th": [[0,0,0]], "poses": [[0]]}]', "'Rh': expected finite numbers"),
    "words": ('[{"Rh": [["a",0,0]], "Th": [[0,0,0]], "poses": [[0]]}]', "'Rh': expected numbers"),
}


@pytest.mark.parametrize("name", BROKEN_JSON)
def test_broken_json_gives_one_line(tmp_path: Path, name: str, body: BodyModel) -> None:
    text, said = BROKEN_JSON[name]
    (tmp_path / "a.json").write_text(text)
    refuses(tmp_path / "a.json", said, body)


def test_people_who_come_and_go(tmp_path: Path, body: BodyModel, said) -> None:
    entry = {"Rh": [[0.0] * 3], "Th": [[0.0] * 3], "poses": [[0.0] * 72]}
    for number, who in enumerate(([1, 2], [2], [2, 1])):
        (tmp_path / f"{number}.json").write_text(json.dumps([{**entry, "id": i} for i in who]))
    motion: Motion = load_motion(tmp_path, skeleton_of(body))
    assert len(motion) == 2
    assert "1 of 3 frames left out: they have no person 1" in said.text


def test_frames_without_anybody_and_other_people(tmp_path: Path, body: BodyModel, said) -> None:
    entry = {"Rh": [[0.0] * 3], "Th": [[0.0] * 3], "poses": [[0.0] * 72]}
    for number, who in enumerate(([], [1, 2, 3], [], [1])):
        (tmp_path / f"{number}.json").write_text(json.dumps([{**entry, "id": i} for i in who]))
    assert len(load_motion(tmp_path, skeleton_of(body))) == 2
    assert "2 of 4 frames left out: they have no person 1" in said.text
    assert "person 1 is taken, the first; 2 more are in it" in said.text
    for number in (1, 3):
        (tmp_path / f"{number}.json").write_text("[]")
    refuses(tmp_path, "found nobody in any of 4 files", body)


def test_an_archive_that_unpacks_to_too_many_numbers() -> None:
    many = np.broadcast_to(np.uint8(0), (10**7, 156))  # which takes a byte, and as float64 12 GB
    with pytest.raises(
        UserError, match=r"a\.npz: key 'poses': expected at most 165,000,000 numbers, found 1,560,000,000"
    ):
        checked("a.npz", "poses", many, (None, None))


def refuses(path: Path, said: str, body: BodyModel) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load_motion(path, skeleton_of(body))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
