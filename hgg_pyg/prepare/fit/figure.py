"""A body with a shape and a motion as parameters to be found, and the points of it that are compared with images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from hgg_pyg.body import BodyModel
from hgg_pyg.body.blending import blend, joint_transforms
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.prepare.fit.anchors import Anchors
from hgg_pyg.prepare.fit.joints import JointPrior
from hgg_pyg.types import BodyPose


@dataclass(frozen=True)
class Posed:
    """A figure in F frames."""

    anchors: Tensor  # [F, A, 3] places of the landmarks, metres
    maps: Tensor  # [F, J, 4, 4] of the joints, without the translation
    transl: Tensor  # [F, 3]
    rotations: Tensor  # [F, J, 3, 3] of every joint in its parent's frame


class Figure(nn.Module):
    """Shape, motion and the offsets of landmarks.

    Args:
        body: whose shape and motion.
        anchors: places of its landmarks.
        prior: which of its joints are free.
        orient: [F, 3, 3] how the root is turned at first.
        transl: [F, 3] where it is at first, metres.
    """

    def __init__(self, body: BodyModel, anchors: Anchors, prior: JointPrior, orient: Tensor, transl: Tensor) -> None:
        super().__init__()
        self._models = (body,)  # in a tuple, so that its tensors are no part of our parameters
        self.anchors, self._prior, self._orient = anchors, prior, orient
        self._anchors_rest = anchors.regressor @ body.v_template  # [A, 3]
        directions = body.shapedirs
        self._anchors_dirs = torch.einsum("an,nkb->akb", anchors.regressor, directions)
        self._joints_rest = body.J_regressor @ body.v_template
        self._joints_dirs = torch.einsum("jn,nkb->jkb", body.J_regressor, directions)
        self.betas = nn.Parameter(torch.zeros(directions.shape[-1]))
        self.turn = nn.Parameter(torch.zeros(len(orient), 3))
        self.bends = nn.Parameter(torch.zeros(len(orient), int(prior.free.sum()), 3))
        self.transl = nn.Parameter(transl.clone())
        self.offsets = nn.Parameter(torch.zeros(anchors.num_offsets, 3))

    @property
    def body(self) -> BodyModel:
        """Whose shape and motion."""
        return self._models[0]

    def rotations(self) -> Tensor:
        """Of every joint in its parent's frame. [F, J, 3, 3]"""
        root = self._orient @ rotation_matrices(self.turn)
        free = rotation_matrices(self.bends)
        rest = torch.eye(3).expand(len(root), 1, 3, 3)
        rows, place = [], 0
        for is_free in self._prior.free.tolist():
            rows.append(free[:, place : place + 1] if is_free else rest)
            place += is_free
        return torch.cat([root[:, None], *rows], 1)

    def anchor_offsets(self) -> Tensor:
        """Of each landmark from the body's place for it, at rest. [A, 3] metres"""
        return self.offsets[self.anchors.shared] * self.anchors.side

    def forward(self) -> Posed:
        """All frames."""
        joints = self._joints_rest + self._joints_dirs @ self.betas
        rotations = self.rotations()
        maps = joint_transforms(rotations, joints[None].expand(len(self.turn), -1, -1), self.body.chain)
        rest = self._anchors_rest + self._anchors_dirs @ self.betas + self.anchor_offsets()
        moved = blend(self.anchors.weights, maps, self.transl)
        places = (moved[..., :3, :3] @ rest[:, :, None])[..., 0] + moved[..., :3, 3]
        return Posed(places, maps, self.transl, rotations)

    @torch.no_grad()
    def pose(self) -> BodyPose:
        """What was found, in the convention of the smplx package."""
        root = Rotation.from_matrix(self.rotations()[:, 0].double().numpy()).as_rotvec()
        body_pose = torch.zeros(len(self.turn), self.body.num_joints - 1, 3)
        body_pose[:, self._prior.free] = self.bends
        return BodyPose(
            betas=self.betas.clone(),
            global_orient=torch.from_numpy(root).float(),
            body_pose=body_pose.flatten(1),
            transl=self.transl.clone(),
        )
