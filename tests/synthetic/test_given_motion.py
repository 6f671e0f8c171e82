"""Synthetic people who perform motions that are given: files and names, on the spot, on the ground."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions import load_motion, read_clip
from hgg_pyg.body import BodyModel
from hgg_pyg.runtime import run_command
from hgg_pyg.synthesize import main
from hgg_pyg.synthetic import SynthesizeConfig, dataset, synthesize
from hgg_pyg.synthetic.capture_writer import subject_path, write_subject
from hgg_pyg.synthetic.given_motion import perform
from hgg_pyg.synthetic.motion import Performance
from hgg_pyg.synthetic.person import draw_person
from hgg_pyg.synthetic.skeleton import Skeleton
from hgg_pyg.types import BodyPose, UserError
from tests.avatar.motions.people import SOURCES, movement, skeleton_of, write_bvh


@pytest.fixture
def jump(tmp_path: Path) -> Path:
    """Somebody who goes along and jumps up by 0.3 metres in the middle of 9 frames."""
    source = SOURCES["CMU"]
    return write_bvh(tmp_path / "jump.bvh", source, *movement(source, frames=9, most=10))


def test_joints_turn_as_in_the_motion(jump: Path, body: BodyModel) -> None:
    own = skeleton_of(body)
    skeleton = Skeleton(own.joints.double().numpy(), np.array(own.parents), own.names)
    angles, heights = perform(read_clip(jump), skeleton, 8, np.random.default_rng(0))
    motion = load_motion(jump, own).sample((np.arange(8) + 0.5) / 30)
    np.testing.assert_allclose(angles[:, 1:].reshape(8, -1), motion.body_pose, atol=1e-5)
    np.testing.assert_allclose(heights, motion.transl[:, 1], atol=1e-6)
    before, after = (Rotation.from_rotvec(turns) for turns in (motion.global_orient.numpy(), angles[:, 0]))
    turns = (after * before.inv()).as_rotvec()  # one and the same about y
    np.testing.assert_allclose(turns, [turns[0]] * 8, atol=1e-5)
    np.testing.assert_allclose(turns[:, [0, 2]], 0, atol=1e-5)


def test_of_a_long_motion_as_much_as_of_ours_is_performed(body: BodyModel) -> None:
    own = skeleton_of(body)
    skeleton = Skeleton(own.joints.double().numpy(), np.array(own.parents), own.names)
    clip = replace(read_clip("turntable"), fps=6.0)  # a turn in 30 seconds
    starts = set()
    for seed in range(3):
        angles, _ = perform(clip, skeleton, 7, np.random.default_rng(seed))
        fronts = Rotation.from_rotvec(angles[:, 0]).apply([0, 0, 1])
        turned = np.diff(np.unwrap(np.arctan2(fronts[:, 0], fronts[:, 2])))
        np.testing.assert_allclose(turned, 2 * np.pi * Performance.seconds / 7 / 30, atol=1e-3)
        starts.add(round(float(fronts[0, 0]), 3))
    assert len(starts) == 3


def test_a_capture_shows_the_same_person_in_the_motion(jump: Path, tmp_path: Path, body: BodyModel) -> None:
    config = SynthesizeConfig(tmp_path / "out", subjects=3, frames=9, views=1, size=24, clothes="bodysuit")
    clips = [read_clip("wave"), read_clip(jump)]
    assert len(pickle.loads(pickle.dumps(clips))) == 2  # other processes get them
    write_subject(config, 1, body, lambda count: None, clips)
    params = dict(np.load(config.out / subject_path(config, 1) / "smpl_params.npz"))
    person = draw_person(np.random.default_rng(np.random.SeedSequence([0, 1])), body)
    np.testing.assert_array_equal(params["betas"][0], person.betas)
    params["betas"] = params["betas"][0]
    pose = BodyPose(**{name: torch.from_numpy(value) for name, value in params.items()})
    lowest = body.pose(pose).vertices[..., 1].amin(1)
    assert abs(float(lowest.min())) < 0.005
    assert float(lowest[4]) > 0.2  # the jump
    joints = body.rest_joints(pose.betas)
    np.testing.assert_allclose((joints[0] + pose.transl)[:, [0, 2]], 0, atol=1e-5)
    wanted = load_motion(jump, skeleton_of(body)).sample((np.arange(9) + 0.5) * 8 / 9 / 30)
    np.testing.assert_allclose(pose.body_pose, wanted.body_pose, atol=0.05)  # on legs and arms of other proportions


def test_a_folder_says_what_its_people_do(jump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(dataset, "_write_all", lambda config, missing, clips: asked.append(clips) or ())
    config = SynthesizeConfig(tmp_path / "out", subjects=3, motion=("wave", str(jump)))
    synthesize(config)
    assert [clip.name for clip in asked[0]] == ["wave", "jump"]
    wave, file = json.loads((config.out / "synthetic.json").read_text())["motion"]
    assert wave == "wave"
    assert file.startswith(f"{jump} ")
    synthesize(config)
    jump.write_text(jump.read_text().replace("Frame Time: 0.03", "Frame Time: 0.04"))
    for other in (config, replace(config, motion=()), replace(config, motion=("wave",))):
        with pytest.raises(UserError, match=r"synthetic\.json: expected .*found .*'motion'"):
            synthesize(other)


@pytest.mark.parametrize("name", ["sit", "nowhere.bvh", "broken.bvh"])
def test_a_motion_that_is_none_is_one_line_and_no_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.bvh").write_text("HIERARCHY")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["synthesize", "--out", "out", "--motion", "walk", name])
    with pytest.raises(SystemExit) as stop:
        run_command(SynthesizeConfig, main)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert name in message
    assert not (tmp_path / "out").exists()
