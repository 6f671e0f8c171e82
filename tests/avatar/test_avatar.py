"""An avatar of its own against the body that it came from, and its file."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hgg_pyg import Animator, Avatar
from hgg_pyg.avatar.file import read_avatar
from hgg_pyg.body import JOINTS, BodyModel
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.io.tensors import load_tensors, save_tensors
from hgg_pyg.types import UserError
from tests.avatar.avatars import bound_avatar, small_avatar, some_motion
from tests.bit_flips import flip_bits


def assert_equal(found: Avatar, expected: Avatar) -> None:
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(found.gaussians, name), getattr(expected.gaussians, name))
    assert torch.equal(found.binding, expected.binding)
    assert torch.equal(found.weights, expected.weights)
    assert torch.equal(found.betas, expected.betas)
    assert torch.equal(found.skeleton.joints, expected.skeleton.joints)
    assert found.skeleton.names == expected.skeleton.names
    assert found.skeleton.parents == expected.skeleton.parents
    assert found.seen == expected.seen
    assert dict(found.about) == dict(expected.about)
    assert len(found.motions) == len(expected.motions)
    for mine, other in zip(found.motions, expected.motions, strict=True):
        assert (mine.name, mine.fps) == (other.name, other.fps)
        assert torch.equal(mine.body_pose, other.body_pose)
        assert torch.equal(mine.from_world, other.from_world)


@pytest.mark.parametrize("kind", ["smpl", "smplx"])
def test_it_moves_as_the_bound_avatar_does_without_the_body(kind: str, body: BodyModel, tmp_path: Path) -> None:
    body = body if kind == "smpl" else BodyModel(open_smplx())
    bound = bound_avatar(body)
    bound.rig(body, small_avatar(body).seen).save(tmp_path / "a.avatar")
    avatar = Avatar.load(tmp_path / "a.avatar")
    pose = some_motion(body.num_joints).pose(torch.zeros(10))
    expected = bound.repose(body, pose)
    for found in (avatar.repose(pose), Animator(avatar)(pose)):
        torch.testing.assert_close(found.means, expected.means, rtol=0, atol=1e-6)
        torch.testing.assert_close(found.quats, expected.quats, rtol=0, atol=2e-6)
        assert torch.equal(found.scales, expected.scales)


def test_what_is_saved_is_loaded(body: BodyModel, tmp_path: Path) -> None:
    avatar = small_avatar(body)
    avatar.save(tmp_path / "a.avatar")
    assert_equal(Avatar.load(tmp_path / "a.avatar"), avatar)
    assert avatar.skeleton.names == JOINTS


def test_the_file_is_a_plain_safetensors_file_with_a_json_header(body: BodyModel, tmp_path: Path) -> None:
    small_avatar(body).save(tmp_path / "a.avatar")
    tensors = load_file(tmp_path / "a.avatar")
    assert tensors["means"].shape == (300, 3)
    header = json.loads(load_tensors(tmp_path / "a.avatar").metadata["hgg_pyg avatar"])
    assert header["version"] == 1
    assert header["units"] == "metres, radians"
    assert header["seen"] == {"focal": 300.0, "distance": 3.0}


def test_pose_blend_shapes_are_dropped_and_how_far_they_move_is_known(body: BodyModel) -> None:
    bound, pose = bound_avatar(body), some_motion(24).pose(torch.zeros(10))
    assert bound.dropped(body, pose).max() == 0
    generator = torch.Generator().manual_seed(2)
    bent = BodyModel.__new__(BodyModel)
    bent.__dict__ = {**body.__dict__, "_buffers": dict(body._buffers)}
    bent._buffers["posedirs"] = 1e-3 * torch.randn(207, body.num_vertices * 3, generator=generator)
    moved = bound.repose(bent, pose).means - bound.repose(body, pose).means
    # Skinning turns offsets and hardly changes their length.
    torch.testing.assert_close(bound.dropped(bent, pose), moved.norm(dim=-1), rtol=0.2, atol=2e-3)


def write(path: Path, change) -> None:
    """The file at `path` with its tensors and header changed, and a right digest."""
    file = load_tensors(path)
    tensors, header = dict(file.tensors), json.loads(file.metadata["hgg_pyg avatar"])
    change(tensors, header)
    save_tensors(path, tensors, {"hgg_pyg avatar": json.dumps(header)})


EIGHT_BITS = torch.float8_e4m3fn
CHANGES = {
    "version: expected 1, found 2: a later version wrote it": lambda t, h: h.update(version=2),
    "version: expected 1, found 0": lambda t, h: h.update(version=0),
    "expected the key 'skeleton' of an avatar, found none": lambda t, h: h.pop("skeleton"),
    "expected the key 'means' of an avatar, found none": lambda t, h: t.pop("means"),
    "means: expected float32, found float16": lambda t, h: t.update(means=t["means"].half()),
    "Gaussians.quats: expected (300, 4), found (299, 4)": lambda t, h: t.update(quats=t["quats"][1:]),
    "quats: lengths: expected numbers from 1e-09 to 2e+09, found 0 to": lambda t, h: t["quats"][5].zero_(),
    "means: expected numbers from -1e+09 to 1e+09, found": lambda t, h: t["means"].fill_(1e38),
    "motion.0.transl: expected numbers from -1e+09": lambda t, h: t["motion.0.transl"].fill_(1e38),
    "colors: expected (M, 3), M > 0, found (300, 27)": lambda t, h: t.update(colors=torch.zeros(300, 27)),
    "x: expected numbers of 16 bits or more, found float8": lambda t, h: t.update(x=torch.ones(1).to(EIGHT_BITS)),
    "weights: expected (R, 24), R > 0, found (0, 24)": lambda t, h: t.update(weights=t["weights"][:0]),
    "binding: expected int32, found int64": lambda t, h: t.update(binding=t["binding"].long()),
    "betas: expected (B,), B up to 1,000, found (2000,)": lambda t, h: t.update(betas=torch.zeros(2000)),
    "opacities: expected numbers from 0 to 1, found": lambda t, h: t["opacities"].add_(1),
    "scales: expected numbers from 1.17549e-38 to 1e+09, found": lambda t, h: t["scales"].neg_(),
    "weights: expected rows that sum to 1": lambda t, h: t["weights"].mul_(0.5),
    "Avatar.binding: expected 0 to": lambda t, h: t["binding"].add_(5),
    "weights: expected (R, 24), R > 0, found": lambda t, h: t.update(weights=one_joint_less(t["weights"])),
    "skeleton: names: expected 1 to 1024 different names": lambda t, h: h["skeleton"].update(names=["a"] * 24),
    "skeleton: parents: expected -1, then joints that stand before": lambda t, h: h["skeleton"]["parents"].reverse(),
    "joints: expected (24, 3)": lambda t, h: t.update(joints=t["joints"][:-1]),
    "seen: focal: expected a number from 1e-06 to 1e+09, found 1e-300": lambda t, h: h["seen"].update(focal=1e-300),
    "seen: expected an object, found [1, 2]": lambda t, h: h.update(seen=[1, 2]),
    "motions: fps: expected a number from 0.1 to 10000, found None": lambda t, h: h["motions"][0].update(fps=None),
    "motions: fps: expected a number from 0.1 to 10000, found 5e-324": lambda t, h: h["motions"][0].update(fps=5e-324),
    "motions: expected a list, found 3": lambda t, h: h.update(motions=3),
    "motions: expected an object, found 3": lambda t, h: h.update(motions=[3]),
    "skeleton: names: expected a list, found 5": lambda t, h: h["skeleton"].update(names=5),
    "motion.0.body_pose: expected (T, 69), found (5, 66)": lambda t, h: t.update(
        {"motion.0.body_pose": t["motion.0.body_pose"][:, 3:]}
    ),
    "expected the key 'motion.1.global_orient'": lambda t, h: h["motions"].append(h["motions"][0]),
    "about: expected texts, found": lambda t, h: h.update(about={"a": 1}),
}


def one_joint_less(weights: torch.Tensor) -> torch.Tensor:
    return torch.eye(23)[:1].repeat(len(weights), 1)


@pytest.mark.parametrize("message", CHANGES)
def test_a_file_that_makes_no_sense_is_one_line(message: str, body: BodyModel, tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    small_avatar(body).save(path)
    write(path, CHANGES[message])
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_avatar(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_what_is_no_avatar_is_refused(body: BodyModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected an avatar file, found nothing to read"):
        Avatar.load(tmp_path / "none.avatar")
    (tmp_path / "text.avatar").write_text("hello")
    with pytest.raises(UserError, match="expected a safetensors file"):
        Avatar.load(tmp_path / "text.avatar")
    save_file({"a": torch.zeros(3)}, tmp_path / "other.avatar")
    with pytest.raises(UserError, match="expected an avatar, found a safetensors file of something else"):
        Avatar.load(tmp_path / "other.avatar")


def test_a_flipped_bit_is_seen(body: BodyModel, tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    small_avatar(body, 30).save(path)
    assert flip_bits(path, lambda: Avatar.load(path), lambda avatar: False, 60) == {"refused": 60}


def test_numbers_that_are_not_finite_are_not_written(body: BodyModel, tmp_path: Path) -> None:
    avatar = small_avatar(body)
    for number in (torch.nan, torch.inf, 1e10):
        avatar.gaussians.means[3] = number
        with pytest.raises(UserError, match=r"a\.avatar: means: expected finite numbers within 1e\+09"):
            avatar.save(tmp_path / "a.avatar")
    assert not (tmp_path / "a.avatar").exists()


def test_a_pose_of_another_skeleton_is_refused(body: BodyModel) -> None:
    avatar = small_avatar(body)
    with pytest.raises(UserError, match="this avatar has 24 joints and expects 69 values per frame, found 162"):
        Animator(avatar)(some_motion(55).pose(torch.zeros(10)))
    with pytest.raises(ValueError, match=r"fps: expected 0\.1 to 10,000, found 0"):
        replace(avatar.motions[0], fps=0.0)
