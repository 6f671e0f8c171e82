"""Our own motions: upright, on the ground, without an end; and the walk is one."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions import OWN_MOTIONS, load_motion
from hgg_pyg.body import BodyModel
from tests.avatar.motions.people import joints_of, lowest, skeleton_of


@pytest.mark.parametrize("fps", [24.0, 30.0, 59.94])
@pytest.mark.parametrize("name", OWN_MOTIONS)
def test_the_last_frame_leads_to_the_first(name: str, fps: float, body: BodyModel) -> None:
    motion = load_motion(name, skeleton_of(body), fps)
    assert motion.fps == fps
    angles = torch.cat([motion.global_orient, motion.body_pose], 1).reshape(len(motion), -1, 3).numpy()
    turns = [Rotation.from_rotvec(joint) for joint in angles.swapaxes(0, 1)]
    steps = np.max(
        [(joint.inv() * Rotation.from_quat(np.roll(joint.as_quat(), -1, 0))).magnitude() for joint in turns], 0
    )
    assert steps[-1] < 1.5 * np.sort(steps[:-1])[-3:].max()
    assert np.abs(motion.transl.numpy() - np.roll(motion.transl.numpy(), -1, 0)).max() < 0.05


@pytest.mark.parametrize("name", OWN_MOTIONS)
def test_people_stand_upright_on_the_ground_all_the_time(name: str, body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    motion = load_motion(name, skeleton)
    assert np.abs(lowest(motion, body)).max() < 0.02  # metres
    places = joints_of(motion, skeleton)
    body_up = places["head"] - places["pelvis"]
    assert (body_up[:, 1] / np.linalg.norm(body_up, axis=1)).min() > np.cos(np.radians(25))
    assert np.abs(places["pelvis"][:, [0, 2]]).max() < 1e-5  # on the spot


def test_taller_people_stand_on_the_ground_too(body: BodyModel) -> None:
    small, tall = skeleton_of(body), skeleton_of(body, 1.2)
    one, two = (joints_of(load_motion("walk", skeleton), skeleton) for skeleton in (small, tall))
    for name in ("pelvis", "left_foot", "head"):
        np.testing.assert_allclose(two[name], 1.2 * one[name], atol=1e-4)


def test_the_walk_walks(body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    motion = load_motion("walk", skeleton, fps=60)
    places = joints_of(motion, skeleton)
    left, right = places["left_foot"], places["right_foot"]
    # The other side does the same half a cycle later.
    np.testing.assert_allclose(np.roll(left[:, 1:], 30, 0), right[:, 1:], atol=0.005)
    # The foot that carries, the lower one, goes backwards under the person; the other one forwards, and well above it.
    rest = dict(zip(skeleton.names, skeleton.joints.numpy(), strict=True))
    soles = [np.minimum(*(places[f"{side}_{j}"][:, 1] - rest[f"{side}_{j}"][1] for j in ("ankle", "foot")))
             for side in ("left", "right")]  # fmt: skip
    ways = [np.roll(foot[:, 2], -1) - foot[:, 2] for foot in (left, right)]
    carries = np.where(soles[0] < soles[1], ways[0], ways[1])
    swings = np.where(soles[0] < soles[1], ways[1], ways[0])
    assert (carries < 0.003).mean() > 0.9
    assert (swings > 0).mean() > 0.5
    assert np.abs(soles[0] - soles[1]).max() > 0.05
    # Arms swing against the legs, knees never bend forwards.
    assert np.corrcoef(left[:, 2], places["left_wrist"][:, 2])[0, 1] < -0.7
    for side in ("left", "right"):
        hip, knee, ankle = (places[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        thigh, shin = knee - hip, ankle - knee
        assert (np.arctan2(shin[:, 2], -shin[:, 1]) - np.arctan2(thigh[:, 2], -thigh[:, 1])).max() < 0.06


def test_the_turntable_turns_once(body: BodyModel) -> None:
    motion = load_motion("turntable", skeleton_of(body), fps=10)
    fronts = Rotation.from_rotvec(motion.global_orient.numpy()).apply([0, 0, 1])
    angles = np.unwrap(np.arctan2(fronts[:, 0], fronts[:, 2]))
    np.testing.assert_allclose(angles, np.arange(60) * 2 * np.pi / 60, atol=1e-4)
    np.testing.assert_allclose(motion.body_pose, motion.body_pose[:1].expand(60, -1), atol=1e-5)
