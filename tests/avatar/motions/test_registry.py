"""From what is asked for to a motion: names, files, formats and functions of one's own; our .avatar; wrong requests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg.avatar.motions import Clip, MotionFormat, load_motion, motion_formats, read_clip, register, registry
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.avatar.upright import upright_motion
from hgg_pyg.body import BodyModel
from hgg_pyg.types import BodyPose, UserError
from tests.avatar.avatars import small_avatar
from tests.avatar.motions.people import SOURCES, joints_of, movement, skeleton_of, write_bvh

MODULE = """
from dataclasses import replace
from pathlib import Path
from hgg_pyg.avatar.motions import MotionFormat, read_clip
def nod(): return read_clip("wave")
def read(path: Path): return read_clip("walk").first(int(path.read_text()))
FORMAT = MotionFormat("count", "a .count file", lambda path: path.suffix == ".count", read)
def nothing(): return 3
def failing(): return 1 / 0
def empty(): return replace(read_clip("walk"), leg=0.0)
NUMBER = 3
"""


@pytest.fixture
def yours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"yours_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "a.count").write_text("7")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_motions_of_ones_own(tmp_path: Path, yours: str, body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    skeleton = skeleton_of(body)
    nod = load_motion(f"{yours}:nod", skeleton)
    torch.testing.assert_close(nod.body_pose, load_motion("wave", skeleton).body_pose)
    for name in ("read", "FORMAT"):
        assert len(load_motion(f"{yours}:{name}:{tmp_path / 'a.count'}", skeleton)) == 7
    with pytest.raises(UserError, match="found something else"):
        load_motion(tmp_path / "a.count", skeleton)
    monkeypatch.setattr(registry, "_registered", {})
    module = __import__(yours)
    assert register(module.FORMAT) is module.FORMAT
    assert next(iter(motion_formats())) == "count"
    assert len(load_motion(tmp_path / "a.count", skeleton)) == 7
    with pytest.raises(ValueError, match="a name that is free"):
        register(replace(module.FORMAT, name="BVH"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run", "expected one of walk, wave, dance, turntable"),
        ("nowhere.bvh", "a file or folder that is there"),
        ("a\0b", "a file or folder that is there"),
        ("x" * 5000, "a file or folder that is there"),
        ("no_such_module:walk", "cannot be imported"),
        ("{yours}:absent", "cannot be imported"),
        ("{yours}:NUMBER", "a function that gives a Clip, found int"),
        ("{yours}:failing", "expected a Clip from it, found ZeroDivisionError in line 9 of yours_.*: division by zero"),
        ("{yours}:empty", "found ValueError in line .*: Clip.leg: expected a positive number, found 0"),
        ("{yours}:read:{folder}/nowhere", "found FileNotFoundError in line"),
        ("{yours}:nothing", "expected a Clip from it, found int"),
        ("{folder}", "expected a motion"),
        ("{folder}/a.count", "expected a motion"),
        ("{folder}/empty.npz", "an .npz archive"),
        ("{folder}/empty.bvh", "no line MOTION"),
        ("{folder}/empty.json", "what is not JSON"),
        ("{folder}/empty.avatar", "empty.avatar"),
    ],
)
def test_wrong_requests_give_one_line(tmp_path: Path, yours: str, name: str, said: str, body: BodyModel) -> None:
    for ending in ("npz", "bvh", "json", "avatar"):
        (tmp_path / f"empty.{ending}").touch()
    (folder := tmp_path / "folder").mkdir()
    name = name.format(yours=yours, folder=folder if name == "{folder}" else tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        load_motion(name, skeleton_of(body))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_wrong_options_give_one_line(body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    with pytest.raises(UserError, match=r"fps: expected 0\.1 to 10,000"):
        load_motion("walk", skeleton, fps=0)
    with pytest.raises(UserError, match="max_frames: expected at least 1"):
        load_motion("walk", skeleton, max_frames=0)
    with pytest.raises(UserError, match="found nan"):
        load_motion("walk", skeleton, fps=float("nan"))
    strangers = replace(skeleton, names=tuple(f"bone {i}" for i in range(24)))
    with pytest.raises(UserError, match="skeleton of SMPL's joints"):
        load_motion("walk", strangers)


def test_what_somebody_did_in_a_capture_is_done_by_somebody_else(tmp_path: Path, body: BodyModel) -> None:
    avatar = small_avatar(body)
    rng = np.random.default_rng(0)
    angles = torch.from_numpy(rng.normal(0, 0.2, (5, 69)).astype(np.float32))
    ways = torch.from_numpy(rng.normal(0, 0.1, (5, 3)).astype(np.float32))
    captured = BodyPose(avatar.betas, 0.1 * angles[:, :3], angles, ways)
    motion = upright_motion("captured", 25.0, captured, avatar.skeleton)
    replace(avatar, motions=(motion,)).save(tmp_path / "a.avatar")
    again = load_motion(tmp_path / "a.avatar", avatar.skeleton)
    assert (again.name, again.fps) == ("captured", 25)
    torch.testing.assert_close(again.body_pose, motion.body_pose, atol=1e-5, rtol=0)
    before, after = (joints_of(m, avatar.skeleton)["pelvis"] for m in (motion, again))
    np.testing.assert_allclose(after - after[0], before - before[0], atol=1e-5)
    tall = skeleton_of(body, 1.3)
    assert load_motion(tmp_path / "a.avatar", tall).transl[-1] is not None
    replace(avatar, motions=()).save(tmp_path / "b.avatar")
    with pytest.raises(UserError, match="an avatar with a motion"):
        load_motion(tmp_path / "b.avatar", tall)


def test_legs_that_are_far_too_short_for_a_way(tmp_path: Path, body: BodyModel) -> None:
    avatar = small_avatar(body, 20)
    short = replace(avatar.skeleton, joints=avatar.skeleton.joints * 1e-8)
    replace(avatar, skeleton=short).save(path := tmp_path / "a.avatar")
    with pytest.raises(UserError, match=r"a\.avatar: expected ways of at most 1,000,000 lengths of a leg, found"):
        load_motion(path, avatar.skeleton)


def test_skeletons_that_no_motion_fits(body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    with pytest.raises(UserError, match="left_shoulder and left_elbow in two places, found them in one"):
        load_motion("walk", replace(skeleton, joints=torch.zeros(24, 3)))
    more = 1200  # joints between the pelvis and all else, in the pelvis
    names = (skeleton.names[0], *(f"more {i}" for i in range(more)), *skeleton.names[1:])
    parents = (-1, *range(more), *(parent + more for parent in skeleton.parents[1:]))
    joints = torch.cat([skeleton.joints[:1].repeat(more + 1, 1), skeleton.joints[1:]])
    long = load_motion("walk", Skeleton(names, parents, joints), fps=5)
    np.testing.assert_allclose(long.transl, load_motion("walk", skeleton, fps=5).transl, atol=1e-6)


def test_a_long_file_is_cut_before_it_is_fitted(tmp_path: Path, body: BodyModel) -> None:
    source = SOURCES["CMU"]
    path = write_bvh(tmp_path / "a.bvh", source, *movement(source, frames=12))
    clip = read_clip(path)
    assert isinstance(clip, Clip)
    assert (len(clip), clip.fps, clip.joints[0]) == (12, 30, "pelvis")
    assert len(load_motion(path, skeleton_of(body), max_frames=5)) == 5
    assert len(load_motion(path, skeleton_of(body), fps=60, max_frames=5)) == 5
    assert len(load_motion(path, skeleton_of(body), max_frames=500)) == 12


def test_formats_have_names_of_their_own() -> None:
    names = [known.name for known in motion_formats().values()]
    assert len(set(names)) == len(names) >= 5
    assert all(isinstance(known, MotionFormat) and known.summary for known in motion_formats().values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pelvis": np.zeros((29, 3))}, r"Clip\.rotations: expected \(29, 24, 4\)"),
        ({"joints": tuple(f"joint {number}" for number in range(24))}, "expected pelvis among them"),
        ({"fps": float("nan")}, r"Clip\.fps: expected a positive number"),
        ({"pelvis": np.full((30, 3), np.nan)}, r"Clip\.pelvis: expected finite numbers"),
        ({"rotations": np.zeros((30, 24, 4))}, "expected unit quaternions"),
        ({"rotations": np.zeros((0, 24, 4)), "pelvis": np.zeros((0, 3))}, "expected frames, found none"),
    ],
)
def test_a_clip_holds_what_can_be_fitted(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(read_clip("walk"), **change)
