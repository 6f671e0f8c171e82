"""Where the camera of a film stands: the whole person in the picture, all the time, from any side or going round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from hgg_pyg.avatar.animator import Animator
from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.types import Cameras, UserError

_FIELD_OF_VIEW = math.radians(30)  # of the picture's height: a person seems to be seen from some 4 metres
_MARGIN = 1.08  # of the picture over what is in it
_STRAY = 0.3  # metres around the joints beyond which a Gaussian has strayed and need not be in the picture
_LOOKED_AT = 64  # frames, and directions, that are looked at to find the distance
_POINTS = 2000  # Gaussians of each
_NEAREST = 0.1  # metres
_CALM = 0.5  # seconds over which a camera that goes along is smoothed


@dataclass(frozen=True, kw_only=True)
class Shot:
    """From where an avatar is filmed."""

    azimuth: Annotated[float, Bounds(-360, 360)] = 0.0
    """degrees around the person where the camera is, or begins: 0 in front, 90 on the person's left"""
    elevation: Annotated[float, Bounds(-89, 89)] = 5.0
    """degrees from which the camera looks down"""
    turns: Annotated[float, Bounds(-1000, 1000)] = 1.0
    """of an orbit, during the film; below 0 the other way round"""
    zoom: Annotated[float, Bounds(0.01, 1000)] = 1.0
    """how many times as large the person is as where all of it just fits"""
    look_at: str | None = None
    """joint in the middle of the picture, such as head; by default the person's middle"""
    follow: bool = False
    """go along with a person who walks, instead of having the whole way in the picture"""

    def __post_init__(self) -> None:
        check_choices(self)


def film_cameras(avatar: Avatar, motion: Motion, shot: Shot, size: tuple[int, int], orbit: bool = False) -> Cameras:
    """A camera for each frame of a motion, always as far from what it looks at.

    Args:
        avatar: who is filmed, on a CPU.
        motion: of T frames.
        shot: from where.
        size: width and height of the pictures, pixels.
        orbit: go round the person instead of staying.

    Returns:
        T cameras.

    Raises:
        UserError: there is no such joint.
    """
    frames = len(motion)
    some = np.unique(np.linspace(0, frames - 1, _LOOKED_AT).round().astype(int))
    targets = _targets(avatar, motion, shot)
    points = _points(avatar, motion, some) - targets[some, None]
    middle = (points.amin((0, 1)) + points.amax((0, 1))) / 2
    if shot.look_at is None:
        targets, points = targets + middle, points - middle
        middle = torch.zeros(3)
    angles = math.radians(shot.azimuth) + (
        2 * math.pi * shot.turns * torch.arange(frames) / frames if orbit else torch.zeros(frames)
    )
    rotations = _looking(angles, math.radians(shot.elevation))
    width, height = size
    focal = height / 2 / math.tan(_FIELD_OF_VIEW / 2)
    # Seen by a rotation, the point (x, y, z) is in the picture if |x| focal / (distance + z) <= width / 2.
    x, y, z = torch.einsum("fij,pj->fpi", rotations[some], (points - middle).flatten(0, 1)).unbind(-1)
    wanted = torch.maximum(x.abs() * (focal / (width / 2)), y.abs() * (focal / (height / 2)))
    distance = max(_NEAREST, float((wanted * _MARGIN - z).max()))

    viewmats = torch.eye(4).repeat(frames, 1, 1)
    viewmats[:, :3, :3] = rotations
    viewmats[:, :3, 3] = -(rotations @ targets[..., None])[..., 0]
    viewmats[:, 2, 3] += distance
    K = torch.tensor([[focal * shot.zoom, 0, width / 2], [0, focal * shot.zoom, height / 2], [0, 0, 1]])
    return Cameras(viewmats, K.expand(frames, 3, 3), width, height)


def _looking(azimuths: Tensor, elevation: float) -> Tensor:
    """Rotations from the world, y up, to cameras that look at its origin; azimuth 0 from +z, 90 degrees from +x.

    Args:
        azimuths: [T] radians.
        elevation: radians above the ground.

    Returns:
        [T, 3, 3] whose rows are right, down and forward.
    """
    sine, cosine = torch.sin(azimuths), torch.cos(azimuths)
    level, up = math.cos(elevation), torch.full_like(sine, math.sin(elevation))
    forward = torch.stack([-sine * level, -up, -cosine * level], -1)
    right = torch.stack([cosine, torch.zeros_like(sine), -sine], -1)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], -2)


def _targets(avatar: Avatar, motion: Motion, shot: Shot) -> Tensor:
    """What the camera goes along with: the origin, the person's way over the ground, or a joint's. [T, 3]"""
    names = avatar.skeleton.names
    if shot.look_at is not None and shot.look_at not in names:
        raise UserError(f"--look-at: expected one of {', '.join(names)}; found {shot.look_at!r}")
    if shot.look_at is None and not shot.follow:
        return torch.zeros(len(motion), 3)
    way = _joints(avatar, motion, range(len(motion)))[:, names.index(shot.look_at or names[0])]
    if shot.look_at is None:
        way = way * torch.tensor([1.0, 0.0, 1.0])
    if not shot.follow:
        return way.mean(0).expand_as(way)
    return torch.from_numpy(_calm(way.numpy(), _CALM * motion.fps))


def _calm(way: np.ndarray, frames: float) -> np.ndarray:
    """A way [T, 3] without what is faster than so many frames; beyond its ends it goes on as it came."""
    margin = min(round(4 * frames), len(way) - 1)
    longer = np.pad(way, ((margin, margin), (0, 0)), "reflect", reflect_type="odd")
    return gaussian_filter1d(longer, frames, axis=0, mode="nearest")[margin : margin + len(way)]


def _points(avatar: Avatar, motion: Motion, frames: np.ndarray) -> Tensor:
    """Some of the Gaussians' places in some frames, those of strays brought back to the person. [F, P, 3]"""
    some = torch.linspace(0, len(avatar) - 1, min(len(avatar), _POINTS)).long()
    fewer = replace(avatar, gaussians=avatar.gaussians[some], binding=avatar.binding[some])
    means = Animator(fewer)(motion.pose(avatar.betas)[frames.tolist()]).means
    joints = _joints(avatar, motion, frames)
    return means.clamp(joints.amin(1, True) - _STRAY, joints.amax(1, True) + _STRAY)


@torch.no_grad()
def _joints(avatar: Avatar, motion: Motion, frames: Sequence[int] | np.ndarray) -> Tensor:
    """Places of the joints in some frames. [F, J, 3]"""
    pose, skeleton = motion.pose(avatar.betas)[list(frames)], avatar.skeleton
    maps = skeleton.transforms(pose)
    return (maps[..., :3, :3] @ skeleton.joints[..., None])[..., 0] + maps[..., :3, 3] + pose.transl[:, None]
