"""A motion as a file has it, before it is fitted to anybody: what every reader of motions gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motion import FASTEST, MOST_FRAMES, SLOWEST
from hgg_pyg.body import SMPLX_JOINTS
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

SMPLH_JOINTS = (*SMPLX_JOINTS[:22], *SMPLX_JOINTS[25:])
"""SMPL-H's 52 joints: SMPL-X's without jaw and eyes."""

MOST = 1e6  # of any number in a motion: radians, degrees, or a place in whatever unit
USUAL_FPS = 30.0
"""Frames per second of files that do not say how many they have."""
_MOST_NUMBERS = MOST_FRAMES * 3 * len(SMPLX_JOINTS)  # in an array
_UNIT = 1e-3  # by which the length of a quaternion may miss 1
_ROUNDED = 1e-4  # relative; ten times less than what 30 and 29.97 differ by


@dataclass(frozen=True)
class Clip:
    """T poses of somebody's skeleton, y up.

    A rotation is what turns a joint's part of the body from the **standing pose** to where it is in the world: the
    standing pose is upright and faces +z, its arms stretched sideways as SMPL's T-pose unless `limbs` says where they
    point. So the numbers mean the same whatever rest pose a file has.

    Raises:
        ValueError: shapes do not fit, there is no frame, or numbers are not finite or not positive that must be.
    """

    name: str
    fps: float
    joints: tuple[str, ...]  # K of SMPLX_JOINTS or SMPL's JOINTS, the pelvis first; others follow their parents
    rotations: np.ndarray  # [T, K, 4] unit quaternions xyzw, as SciPy has them
    pelvis: np.ndarray  # [T, 3] its place in the world, in any unit
    leg: float  # from hip by knee to ankle, in the same unit
    limbs: Mapping[str, np.ndarray] = field(default_factory=dict)
    """[3] where the limb below a joint points in the standing pose, if not as in SMPL's T-pose"""
    stands: bool = False
    """a foot is on the ground in every frame, which is where the pelvis' height comes from"""
    ahead: bool = False
    """it is meant to face +z, though the pelvis may be turned aside in the first frame: it is not turned"""

    def __post_init__(self) -> None:
        frames = len(self.pelvis)
        for name, expected in (("rotations", (frames, len(self.joints), 4)), ("pelvis", (frames, 3))):
            if getattr(self, name).shape != expected:
                raise ValueError(f"Clip.{name}: expected {expected}, found {getattr(self, name).shape}")
        if "pelvis" not in self.joints:
            raise ValueError(f"Clip.joints: expected pelvis among them, found {', '.join(self.joints)}")
        if not frames:
            raise ValueError("Clip.pelvis: expected frames, found none")
        for name in ("fps", "leg"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"Clip.{name}: expected a positive number, found {getattr(self, name)}")
        if not np.isfinite(self.pelvis).all():
            raise ValueError("Clip.pelvis: expected finite numbers, found NaN or infinity")
        if not (abs(np.linalg.norm(self.rotations, axis=-1) - 1) < _UNIT).all():
            raise ValueError("Clip.rotations: expected unit quaternions, found others")

    def __len__(self) -> int:
        """T."""
        return len(self.pelvis)

    def first(self, count: int) -> Clip:
        """At most so many frames from the beginning."""
        return replace(self, rotations=self.rotations[:count], pelvis=self.pelvis[:count])

    def rotation(self, joint: str) -> Rotation:
        """A joint's rotations over time. T"""
        return Rotation.from_quat(self.rotations[:, self.joints.index(joint)])


def stack_rotations(rotations: list[Rotation]) -> np.ndarray:
    """Rotations of K joints over T frames as a clip has them. [T, K, 4]"""
    return np.stack([rotation.as_quat() for rotation in rotations], 1)


def world_rotations(local: np.ndarray, parents: list[int]) -> list[Rotation]:
    """Rotations in the parents' frames, axis-angle [T, J, 3] radians, to those in the world, T for each joint."""
    world: list[Rotation] = []
    for joint, parent in enumerate(parents):
        own = Rotation.from_rotvec(local[:, joint])
        world.append(own if parent < 0 else world[parent] * own)
    return world


def checked(where: str, key: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """Numbers of a file as float64 of a shape.

    Args:
        where: the file.
        key: of the value, for the message.
        value: an array, or lists within lists.
        shape: None is any length.

    Raises:
        UserError: no numbers, another shape, too many, or a number that is not finite or beyond a million.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError, OverflowError):  # of lists that are not of one length, or do not hold numbers
        raise UserError(f"{where}: key '{key}': expected numbers, found {shown(value)}") from None
    if array.ndim != len(shape) or any(w not in (None, found) for w, found in zip(shape, array.shape, strict=True)):
        text = ", ".join("T" if length is None else str(length) for length in shape)
        raise UserError(f"{where}: key '{key}': expected shape ({text}), found {array.shape}")
    if array.size > _MOST_NUMBERS:  # bytes of an archive would take eight times their room as float64
        raise UserError(f"{where}: key '{key}': expected at most {_MOST_NUMBERS:,} numbers, found {array.size:,}")
    array = np.asarray(array, np.float64)
    if not np.isfinite(array).all() or abs(array).max(initial=0) > MOST:
        raise UserError(f"{where}: key '{key}': expected finite numbers within {MOST:,.0f}, found NaN or larger ones")
    return array


def checked_fps(where: str, key: str, fps: float) -> float:
    """A number of frames per second; a whole one where what was written is that, rounded: 1 / 0.0333333 is 30.

    Raises:
        UserError: it is beyond 0.1 to 10,000.
    """
    if not SLOWEST <= fps <= FASTEST:
        raise UserError(
            f"{where}: {key}: expected {SLOWEST:g} to {FASTEST:,.0f} frames per second, found {shown(f'{fps:g}')}"
        )
    return float(round(fps)) if abs(fps - round(fps)) < _ROUNDED * fps else float(fps)


def checked_count(where: str, count: int) -> int:
    """A number of frames.

    Raises:
        UserError: none, or more than a million.
    """
    if not 1 <= count <= MOST_FRAMES:
        raise UserError(f"{where}: expected 1 to {MOST_FRAMES:,} frames, found {count:,}")
    return count
