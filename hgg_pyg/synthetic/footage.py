"""What is known of a filmed subject before a layout turns it into files."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.synthetic.conventions import matrices_to_rotvecs, rotvecs_to_matrices
from hgg_pyg.synthetic.raycast import View
from hgg_pyg.types import BodyPose

_SMPLX_BODY = 22  # joints that SMPL and SMPL-X share, the pelvis included


@dataclass(frozen=True)
class FaceAndHands:
    """SMPL-X's other parameters, radians: so small that images without them still fit, but never zero."""

    jaw: np.ndarray  # [F, 3]
    left_eye: np.ndarray  # [F, 3]
    right_eye: np.ndarray  # [F, 3]
    expression: np.ndarray  # [F, 10]
    left_hand: np.ndarray  # [F, 45] axis-angle of 15 joints, against flat hands
    right_hand: np.ndarray  # [F, 45]


@dataclass(frozen=True)
class Footage:
    """F frames of one subject from V cameras; y up, metres, poses in smplx's convention."""

    subject: str  # the name of its folder
    cameras: tuple[str, ...]  # V names
    views: tuple[View, ...]  # V
    body: BodyModel  # the open body of 24 joints
    betas: np.ndarray  # [10] float32
    rotvecs: np.ndarray  # [F, 24, 3] axis-angle, the global orientation first
    transl: np.ndarray  # [F, 3]
    extras: FaceAndHands

    @property
    def frames(self) -> int:
        """F."""
        return len(self.transl)

    @property
    def root(self) -> np.ndarray:
        """J0, the pelvis of the unposed body, about which smplx rotates the body. [3] float64"""
        return self.body.rest_joints(torch.from_numpy(self.betas))[0].double().numpy()

    @property
    def smplx_body_pose(self) -> np.ndarray:
        """The 21 joints below the pelvis that SMPL-X shares with SMPL. [F, 63]"""
        return self.rotvecs[:, 1:_SMPLX_BODY].reshape(self.frames, -1)

    def poses(self) -> BodyPose:
        """For the open body of 24 joints, in the world that this footage is in."""
        angles = torch.from_numpy(self.rotvecs.astype(np.float32))
        return BodyPose(
            betas=torch.from_numpy(self.betas),
            global_orient=angles[:, 0],
            body_pose=angles[:, 1:].reshape(self.frames, -1),
            transl=torch.from_numpy(self.transl.astype(np.float32)),
        )

    def rotated(self, rotation: np.ndarray) -> Footage:
        """The same footage in a world whose points are A x, with A the rotation `rotation` [3, 3].

        Cameras: R' = R A^T. Poses: V = R0 (L - J0) + J0 + t becomes A V, so R0' = A R0 and t' = A (J0 + t) - J0.
        """
        orient = matrices_to_rotvecs(rotation @ rotvecs_to_matrices(self.rotvecs[:, 0]))
        return replace(
            self,
            views=tuple(replace(view, rotation=view.rotation @ rotation.T) for view in self.views),
            rotvecs=np.concatenate([orient[:, None], self.rotvecs[:, 1:]], 1),
            transl=(self.root + self.transl) @ rotation.T - self.root,
        )

    def easymocap(self) -> tuple[np.ndarray, np.ndarray]:
        """Rh [F, 3] and Th [F, 3] of EasyMocap, which rotates the body about the origin: V = R(Rh) L + Th.

        smplx has V = R0 (L - J0) + J0 + t, so Rh = R0 and Th = J0 + t - R0 J0.
        """
        orient = self.rotvecs[:, 0]
        return orient, self.root + self.transl - rotvecs_to_matrices(orient) @ self.root


def draw_face_and_hands(rng: np.random.Generator, frames: int) -> FaceAndHands:
    """Random slow movements of a few hundredths of a radian, of a few tenths for expressions."""

    def wander(width: int, most: float) -> np.ndarray:
        start, speed = rng.uniform(0, 6.28, width), rng.uniform(0.2, 0.5, width)
        return most * np.sin(start + speed * np.arange(frames)[:, None])

    return FaceAndHands(
        wander(3, 0.02), wander(3, 0.05), wander(3, 0.05), wander(10, 0.2), wander(45, 0.05), wander(45, 0.05)
    )
