"""Captured poses in worlds of any up come out as one and the same upright motion."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar import Avatar
from hgg_pyg.avatar.upright import up_of, upright_motion
from hgg_pyg.types import BodyPose
from tests.avatar.avatars import small_avatar

TURNS = {"y up": (0, 0, 0), "z up": (90, 0, 0), "y down": (180, 30, 0), "x up": (0, 90, 90), "any": (20, 50, 40)}


def standing(frames: int = 4) -> BodyPose:
    """Somebody who turns round, leaning forward a little."""
    angles = np.linspace(0.4, 2, frames)
    orient = (Rotation.from_rotvec(angles[:, None] * [0, 1, 0]) * Rotation.from_rotvec([0.2, 0, 0])).as_rotvec()
    generator = torch.Generator().manual_seed(0)
    pose = 0.2 * torch.randn(frames, 69, generator=generator)
    return BodyPose(
        torch.zeros(10), torch.from_numpy(orient).float(), pose, torch.randn(frames, 3, generator=generator)
    )


def in_world(avatar: Avatar, pose: BodyPose, turn: np.ndarray, shift: np.ndarray) -> BodyPose:
    root = avatar.skeleton.joints[0].double().numpy()
    orient = (Rotation.from_matrix(turn) * Rotation.from_rotvec(pose.global_orient.numpy())).as_rotvec()
    transl = (root + pose.transl.numpy()) @ turn.T + shift - root
    return replace(pose, global_orient=torch.from_numpy(orient).float(), transl=torch.from_numpy(transl).float())


@pytest.mark.parametrize("world", TURNS)
def test_any_world_gives_the_same_motion_and_how_to_get_there(world: str, body) -> None:
    avatar, pose = small_avatar(body), standing()
    turn = Rotation.from_euler("xyz", TURNS[world], degrees=True).as_matrix()
    expected = upright_motion("captured", 30, pose, avatar.skeleton)
    captured = in_world(avatar, pose, turn, np.array([3.0, -2.0, 1.0]))
    found = upright_motion("captured", 30, captured, avatar.skeleton)
    shown, wanted = (avatar.repose(m.pose(avatar.betas)).means for m in (found, expected))
    if world != "any":  # where the people's lean cannot be told from the world's
        torch.testing.assert_close(shown, wanted, rtol=0, atol=2e-5)
    there = avatar.repose(captured).means
    assert found.from_world is not None
    moved = there @ found.from_world[:3, :3].T + found.from_world[:3, 3]
    torch.testing.assert_close(shown, moved, rtol=0, atol=2e-5)


def test_it_stands_on_the_ground_in_the_middle_and_faces_ahead(body) -> None:
    avatar = small_avatar(body)
    motion = upright_motion("captured", 30, standing(), avatar.skeleton)
    maps = avatar.skeleton.transforms(motion.pose(avatar.betas))
    places = torch.einsum("tjab,jb->tja", maps[..., :3, :3], avatar.skeleton.joints) + maps[..., :3, 3]
    places = places + motion.transl[:, None]
    assert places[0, 0, [0, 2]].abs().max() < 1e-6
    assert abs(float(places[..., 1].min())) < 1e-6
    front = Rotation.from_rotvec(motion.global_orient[0].numpy()).apply([0, 0, 1])
    assert abs(front[0]) < 1e-6
    assert front[2] > 0.9


def test_up_is_an_axis_unless_people_are_far_from_all() -> None:
    assert up_of(standing().global_orient).tolist() == [0, 1, 0]
    tilted = torch.tensor([[0.8, 0, 0]])
    torch.testing.assert_close(up_of(tilted), torch.tensor([0, np.cos(0.8), np.sin(0.8)]).float())
