"""Captured poses in a world that has y up and the person in its middle, whatever world they were captured in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hgg_pyg.avatar.motion import Motion
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.body.parameters import matrix_to_axis_angle
from hgg_pyg.types import BodyPose

_NEAR_AN_AXIS = math.cos(math.radians(30))  # people lean; a world's up is nearly always one of its axes


def up_of(orientations: Tensor) -> Tensor:
    """Which way is up in the world of some poses: the axis that people's own up is near, else its mean.

    Args:
        orientations: [T, 3] of the root, axis-angle, radians.

    Returns:
        [3] unit
    """
    up = torch.nn.functional.normalize(rotation_matrices(orientations)[:, :, 1].mean(0), dim=0)
    axis = int(up.abs().argmax())
    if up[axis].abs() < _NEAR_AN_AXIS:
        return up
    snapped = torch.zeros_like(up)
    snapped[axis] = up[axis].sign()
    return snapped


def upright_motion(name: str, fps: float, poses: BodyPose, skeleton: Skeleton) -> Motion:
    r"""Captured poses as a motion: y up, the first frame facing z, its root at x = z = 0, the lowest joint on y = 0.

    A world turned by A and moved by b has :math:`R_0' = A R_0` and :math:`t' = A (J_0 + t) + b - J_0`.

    Args:
        name: of the motion.
        fps: frames per second.
        poses: T frames in their own world.
        skeleton: of the person.
    """
    rotations = rotation_matrices(poses.global_orient)
    turn = _turn(up_of(poses.global_orient), rotations[0, :, 2])
    root = skeleton.joints[0]
    places = (root + poses.transl) @ turn.T
    shift = torch.cat([-places[0, :1], places.new_zeros(1), -places[0, 2:]])
    orient = matrix_to_axis_angle(turn @ rotations)
    moved = BodyPose(poses.betas, orient, poses.body_pose, places + shift - root)
    maps = skeleton.transforms(moved)
    heights = (maps[..., 1, :3] * skeleton.joints).sum(-1) + maps[..., 1, 3] + moved.transl[:, 1:2]
    shift[1] = -heights.min()
    from_world = torch.eye(4)
    from_world[:3, :3], from_world[:3, 3] = turn, shift
    return Motion(name, fps, orient, poses.body_pose, places + shift - root, from_world)


def _turn(up: Tensor, front: Tensor) -> Tensor:
    """The rotation that brings `up` to y and what of `front` is level to z. [3, 3]"""
    level = front - up * (front @ up)
    if float(level.norm()) < 1e-3:  # lying: any direction will do
        level = torch.eye(3)[int(up.abs().argmin())]
        level = level - up * (level @ up)
    ahead = torch.nn.functional.normalize(level, dim=0)
    return torch.stack([torch.linalg.cross(up, ahead), up, ahead])
