"""Axes, units and parameters of other data sets, each a named change from ours (y up, metres, axis-angle)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

MINUS_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""A world with up = -z from one with up = y: a rotation about x, to be used as x' = A x."""

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""A world with up = z from one with up = y, x' = A x."""


def to_millimetres(translation: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """What a reader turns back into metres as value / 1000 * scale. Any shape."""
    return translation * 1000 / scale


def rotvecs_to_matrices(rotvecs: np.ndarray) -> np.ndarray:
    """Axis-angle to rotation matrices. [..., 3] -> [..., 3, 3]"""
    return Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(*rotvecs.shape, 3)


def matrices_to_rotvecs(matrices: np.ndarray) -> np.ndarray:
    """Rotation matrices to axis-angle. [..., 3, 3] -> [..., 3]"""
    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(matrices.shape[:-1])


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """A rotation matrix [3, 3] as a unit quaternion, w first. [4]"""
    return np.roll(Rotation.from_matrix(rotation).as_quat(), 1)


def hand_coefficients(pose: np.ndarray, components: np.ndarray, count: int = 6) -> np.ndarray:
    """The shares of the first principal components in a hand's pose: c = C theta, as the rows of C are orthonormal.

    Args:
        pose: [F, 45] axis-angle against the flat hand (flat_hand_mean=True).
        components: C, [45, 45], a component per row.
        count: k, how many are kept.

    Returns:
        [F, k]; c C[:k] is the nearest pose that k components can show.
    """
    return pose @ components[:count].T
