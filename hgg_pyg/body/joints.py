"""What the joints are called, in the order of the body models."""

from __future__ import annotations

_BODY = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
_FINGERS = tuple(f"{finger}{bone}" for finger in ("index", "middle", "pinky", "ring", "thumb") for bone in (1, 2, 3))

JOINTS = (*_BODY, "left_hand", "right_hand")
"""SMPL's 24 joints."""

SMPLX_JOINTS = (
    *_BODY, "jaw", "left_eye", "right_eye",
    *(f"left_{finger}" for finger in _FINGERS), *(f"right_{finger}" for finger in _FINGERS),
)  # fmt: skip
"""SMPL-X's 55 joints, of which SMPL shares the first 22."""


def joint_names(count: int) -> tuple[str, ...]:
    """The names of a body's joints by how many it has; those of an unknown number are numbered."""
    known = {len(names): names for names in (JOINTS, SMPLX_JOINTS)}
    return known.get(count, tuple(f"joint{joint}" for joint in range(count)))
