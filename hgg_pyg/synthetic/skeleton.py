"""Joint angles to rigid transforms, and linear blend skinning of any surface that carries weights. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Skeleton:
    """The rest joints of one subject. Angles are SMPL's: each joint's rotation in its parent's frame."""

    joints: np.ndarray  # [J, 3] rest positions, metres
    parents: np.ndarray  # [J] int, -1 for the root
    names: tuple[str, ...]  # [J]

    def __getitem__(self, name: str) -> np.ndarray:
        """The rest position of a joint. [3]"""
        return self.joints[self.names.index(name)]

    def joint_transforms(self, rotvecs: np.ndarray, transl: np.ndarray | None = None) -> np.ndarray:
        """Rest to world map of every joint, as smplx composes them.

        Args:
            rotvecs: [J, 3] axis-angle, radians; row 0 is the global orientation, about the root joint.
            transl: [3] metres, added last.

        Returns:
            [J, 4, 4]
        """
        local = np.tile(np.eye(4), (len(self.joints), 1, 1))
        local[:, :3, :3] = Rotation.from_rotvec(rotvecs).as_matrix()
        # x -> R (x - j) + j: a rotation about the joint's own rest position, applied before those of its ancestors.
        local[:, :3, 3] = self.joints - (local[:, :3, :3] @ self.joints[..., None])[..., 0]
        world = local.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                world[joint] = world[parent] @ local[joint]
        if transl is not None:
            world[:, :3, 3] += transl
        return world


def skin(vertices: np.ndarray, weights: np.ndarray, joint_transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning. vertices [n, 3], weights [n, J], joint_transforms [J, 4, 4] -> [n, 3]"""
    blended = (weights @ joint_transforms.reshape(-1, 16).astype(weights.dtype)).reshape(-1, 4, 4)
    return (blended[:, :3, :3] * vertices[:, None, :]).sum(-1) + blended[:, :3, 3]


def rotvecs_from_euler(degrees: np.ndarray) -> np.ndarray:
    """Rotations about the fixed x, then y, then z axis, as axis-angle. [..., 3] degrees -> [..., 3] radians"""
    flat = Rotation.from_euler("xyz", degrees.reshape(-1, 3), degrees=True).as_rotvec()
    return flat.reshape(degrees.shape)
