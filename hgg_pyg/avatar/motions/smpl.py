"""Poses of SMPL's family, whose joints are ours: what the formats that store them share."""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions.clip import SMPLH_JOINTS, Clip, stack_rotations, world_rotations
from hgg_pyg.body import JOINTS, SMPLX_JOINTS, load_body

_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]  # of the 22 joints that all share
_CLEAR = 0.7  # cosine: people who stand up lean less on average
JOINTS_BY_WIDTH = {
    66: JOINTS[:22],
    72: JOINTS,
    156: SMPLH_JOINTS,
    165: SMPLX_JOINTS,
}
"""The joints of a row of so many numbers, the root's first."""


def smpl_clip(name: str, fps: float, poses: np.ndarray, pelvis: np.ndarray, lying: str, own: bool = False) -> Clip:
    """A clip of SMPL's, SMPL-H's or SMPL-X's joint rotations.

    Which axis of the world is up, no file says: it is y or z, or their opposites, whichever the person's own up is
    nearest to on average.

    Args:
        name: of the clip.
        fps: frames per second.
        poses: [T, 3 * K] axis-angle, radians, of the K joints of `JOINTS_BY_WIDTH`.
        pelvis: [T, 3] metres; a place that is the same in all frames may be missing from it.
        lying: the axis that is up where a person does not stand along y or z: "y" or "z".
        own: it is made so that a foot is on the ground in every frame, and faces +z.
    """
    joints = JOINTS_BY_WIDTH[poses.shape[1]]
    world = world_rotations(poses.reshape(len(poses), -1, 3), [_parent(joint, joints) for joint in range(len(joints))])
    body = world[0].apply([0, 1, 0]).mean(0)
    axis = 1 + int(np.argmax(abs(body[1:])))
    clear = abs(body[axis]) > _CLEAR
    to_up = _upright(np.eye(3)[axis] * np.sign(body[axis]) if clear else np.eye(3)["xyz".index(lying)])
    return Clip(
        name,
        fps,
        joints,
        stack_rotations([to_up * rotation for rotation in world]),
        to_up.apply(pelvis),
        float(_open_body()[1]),
        stands=own,
        ahead=own,
    )


def usual_pelvis() -> np.ndarray:
    """J0 of the default body, for files that turn a person about the origin and do not bring a body. [3] metres"""
    return _open_body()[0]


def _parent(joint: int, joints: tuple[str, ...]) -> int:
    if joint < len(_PARENTS):
        return _PARENTS[joint]
    name = joints[joint]
    if name in ("jaw", "left_eye", "right_eye"):
        return joints.index("head")
    if name in JOINTS or name.endswith("1"):
        return joints.index(f"{name.split('_')[0]}_wrist")
    return joint - 1


@functools.cache
def _open_body() -> tuple[np.ndarray, float]:
    """The pelvis of the default body, and the length of its legs: those of people that a file says nothing of."""
    rest = load_body().rest_joints(torch.zeros(0)).double().numpy()
    hip, knee, ankle = (rest[JOINTS.index(f"left_{joint}")] for joint in ("hip", "knee", "ankle"))
    return rest[0], float(np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))


def _upright(up: np.ndarray) -> Rotation:
    """The rotation of a world to y up, by quarter turns."""
    axis = np.cross(up, [0, 1, 0])
    if not axis.any():
        return Rotation.from_rotvec([0.0, 0, 0] if up[1] > 0 else [np.pi, 0, 0])
    return Rotation.from_rotvec(np.pi / 2 * axis)
