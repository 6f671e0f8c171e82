"""The body: smplx.SMPL behind one door. The only module that imports smplx, whose licence is non-commercial."""

# pyright: reportArgumentType=false
# (smplx annotates its functions with a NewType that no tensor is)

from __future__ import annotations

import contextlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import smplx
import torch
from smplx.lbs import batch_rigid_transform, batch_rodrigues, blend_shapes, vertices2joints
from smplx.utils import Struct
from torch import Tensor, nn

from hgg_pyg.body.files import find_body_file, read_body
from hgg_pyg.types import BodyPose, UserError

JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip


@dataclass(frozen=True)
class PosedBody:
    """The body in T poses."""

    vertices: Tensor  # [T, N, 3] world, metres
    transforms: Tensor  # [T, N, 4, 4] a vertex's own map from the rest pose to the world (Eq. 1)


class BodyModel(nn.Module):
    """An SMPL body of N vertices and J joints; the rest pose of a shape is that subject's canonical space.

    Args:
        smpl: the model of the smplx package.
        digest: hash of the arrays it was made of.
    """

    def __init__(self, smpl: smplx.SMPL, digest: str) -> None:
        super().__init__()
        self.smpl: Any = smpl.requires_grad_(False)
        self.digest = digest

    @property
    def faces(self) -> Tensor:
        """Triangles, int64. [F, 3]"""
        return self.smpl.faces_tensor

    @property
    def weights(self) -> Tensor:
        """Skinning weights, rows sum to 1. [N, J]"""
        return self.smpl.lbs_weights

    @property
    def parents(self) -> Tensor:
        """Each joint's parent, -1 for the root. [J]"""
        return self.smpl.parents

    @property
    def num_vertices(self) -> int:
        """N."""
        return self.weights.shape[0]

    @property
    def num_joints(self) -> int:
        """J."""
        return self.weights.shape[1]

    def rest_vertices(self, betas: Tensor) -> Tensor:
        """The shaped T-pose: template plus shape directions. betas [B] -> [N, 3] metres

        Raises:
            UserError: more shape values than the body has directions.
        """
        directions = self.smpl.shapedirs
        if len(betas) > directions.shape[-1]:
            raise UserError(f"betas: this body has {directions.shape[-1]} shape directions, found {len(betas)} values")
        return self.smpl.v_template + blend_shapes(betas[None], directions[..., : len(betas)])[0]

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints of the shaped T-pose. betas [B] -> [J, 3] metres"""
        return self.joints_of(self.rest_vertices(betas))

    def joints_of(self, vertices: Tensor) -> Tensor:
        """Joints of a body in its rest pose. [N, 3] -> [J, 3] metres"""
        return vertices2joints(self.smpl.J_regressor, vertices[None])[0]

    def pose(self, pose: BodyPose) -> PosedBody:
        """Posed vertices and the affine map of each vertex, T_n = sum_k w_nk [G_k | b_k] (Eq. 1).

        Pose blend shapes and the translation are part of the map, so T_n applied to rest vertex n is the posed vertex.

        Raises:
            UserError: the pose is for another number of joints.
        """
        rest = self.rest_vertices(pose.betas)
        rigid, bends = self.bend(pose, self.joints_of(rest))
        transforms = self.vertex_maps(rigid, bends, pose.transl)
        return PosedBody(
            torch.einsum("tnab,nb->tna", transforms[..., :3, :3], rest) + transforms[..., :3, 3], transforms
        )

    def bend(self, pose: BodyPose, joints: Tensor) -> tuple[Tensor, Tensor]:
        """What a pose does to the skeleton.

        Args:
            pose: T frames.
            joints: [J, 3] in the rest pose.

        Returns:
            [T, J, 4, 4] the joints' maps from rest pose to world but for the translation; [T, (J - 1) * 9] what pose
            blend shapes follow, the rotations of all joints but the root less the identity.

        Raises:
            UserError: the pose is for another number of joints.
        """
        frames = len(pose)
        if pose.body_pose.shape[1] != (self.num_joints - 1) * 3:
            raise UserError(
                f"body_pose: this body has {self.num_joints} joints and expects {(self.num_joints - 1) * 3} values "
                f"a frame, found {pose.body_pose.shape[1]}"
            )
        axis_angle = torch.cat([pose.global_orient, pose.body_pose], 1)
        rotations = batch_rodrigues(axis_angle.reshape(-1, 3)).view(frames, -1, 3, 3)
        _, rigid = batch_rigid_transform(rotations, joints.expand(frames, -1, -1), self.parents, dtype=joints.dtype)
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device)
        return rigid, (rotations[:, 1:] - eye).reshape(frames, -1)

    def vertex_maps(self, rigid: Tensor, bends: Tensor, transl: Tensor) -> Tensor:
        """The vertices' maps from rest pose to world, of what `bend` returns and translations [T, 3]. [T, N, 4, 4]"""
        transforms = torch.einsum("nj,tjab->tnab", self.weights, rigid)
        offsets = (bends @ self.smpl.posedirs).view(len(bends), -1, 3)
        shift = (transforms[..., :3, :3] @ offsets[..., None])[..., 0] + transl[:, None]
        top = torch.cat([transforms[..., :3, :3], (transforms[..., :3, 3] + shift)[..., None]], -1)
        bottom = torch.tensor([0, 0, 0, 1], dtype=top.dtype, device=top.device).expand(*top.shape[:-2], 1, 4)
        return torch.cat([top, bottom], -2)


def load_body(path: Path | None = None) -> BodyModel:
    """Load a body: the open default one, or a licensed SMPL file (.npz, .pkl, or the folder that holds it).

    Raises:
        UserError: no such file, unreadable, a key or a shape is wrong.
    """
    arrays = read_body(find_body_file(path))
    with contextlib.redirect_stdout(io.StringIO()):  # smplx prints a warning about the number of shape directions
        smpl = smplx.SMPL("", data_struct=Struct(**asdict(arrays)), num_betas=arrays.shapedirs.shape[-1])
    return BodyModel(smpl, arrays.digest())
