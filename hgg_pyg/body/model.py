"""The body: linear blend skinning of SMPL, SMPL-H and SMPL-X, one path for all of them.

The only module that imports smplx, whose licence is non-commercial; of it the functions of skinning are used.
"""

# pyright: reportArgumentType=false
# (smplx annotates its functions with a NewType that no tensor is)

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from smplx.lbs import batch_rodrigues, blend_shapes, vertices2joints
from smplx.vertex_ids import vertex_ids
from torch import Tensor, nn

from hgg_pyg.body import fast_blend
from hgg_pyg.body.arrays import BodyArrays, read_body
from hgg_pyg.body.blending import blend, joint_transforms
from hgg_pyg.body.files import DEFAULT_BODY, find_body_file
from hgg_pyg.body.joints import joint_names
from hgg_pyg.types import BodyPose, UserError

_PEOPLE = {  # what poses can be for: whose, joints, only our own body, what to give
    "open": ("the open default body's", 24, True, "leave --body out"),
    "open-smplx": ("the open SMPL-X stand-in's", 55, True, "leave --body out"),
    "smpl": ("SMPL's", 24, False, "give --body SMPL_NEUTRAL.npz"),
    "smplx": ("SMPL-X's", 55, False, "give --body SMPLX_NEUTRAL.npz"),
}

_LANDMARKS = {  # our names of landmarks on the skin, and smplx's
    "nose": "nose",
    **{
        f"{side}_{ours}": f"{side[0].upper() if theirs[0].isupper() else side[0]}{theirs}"
        for side in ("left", "right")
        for ours, theirs in (
            ("eye", "eye"),
            ("ear", "ear"),
            ("heel", "Heel"),
            ("big_toe", "BigToe"),
            ("small_toe", "SmallToe"),
        )
    },
}


@dataclass(frozen=True)
class PosedBody:
    """The body in T poses."""

    vertices: Tensor  # [T, N, 3] world, metres
    vertex_transforms: Tensor  # [T, N, 4, 4] the map of each vertex from the rest pose to the world (Eq. 1)
    v_shaped: Tensor  # [N, 3] what the maps start from: the shaped body before it takes a pose, metres


@dataclass(frozen=True)
class Hands:
    """A body's principal poses of its hands: pose = mean + coefficients @ components, for 15 joints per hand."""

    left_components: Tensor  # [45, 45]
    right_components: Tensor  # [45, 45]
    left_mean: Tensor  # [45] axis-angle, radians
    right_mean: Tensor  # [45]


class BodyModel(nn.Module):
    """A body of N vertices and J joints; the rest pose of a shape is that subject's canonical space.

    Args:
        arrays: what it is made of.
        name: what messages call it.
    """

    v_template: Tensor
    """Vertices of the mean shape. [N, 3] metres"""
    faces: Tensor
    """Triangles, int64. [F, 3]"""
    weights: Tensor
    """Skinning weights, rows sum to 1. [N, J]"""
    parents: Tensor
    """Each joint's parent, -1 for the root. [J]"""
    J_regressor: Tensor
    """Joints of a body in its rest pose, from its vertices. [J, N]"""
    shapedirs: Tensor
    """Shape directions. [N, 3, B] metres"""
    exprdirs: Tensor
    """Expression directions, none but for SMPL-X. [N, 3, E] metres"""
    posedirs: Tensor
    """Pose blend shapes, [(J - 1) * 9, N * 3] metres; empty where the body has none."""

    def __init__(self, arrays: BodyArrays, name: str = "given as arrays") -> None:
        super().__init__()
        self.name, self.kind, self.is_open, self.digest = name, arrays.kind, arrays.is_open, arrays.digest()
        self.hands = _hands(arrays)
        parents = torch.from_numpy(arrays.kintree_table[0].astype(np.int64))
        parents[0] = -1
        self.register_buffer("parents", parents)
        self._parents = tuple(parents.tolist())
        self.register_buffer("faces", torch.from_numpy(arrays.f.astype(np.int64)))
        posedirs = arrays.posedirs.reshape(arrays.v_template.size, arrays.posedirs.shape[-1]).T
        for key, value in (
            ("v_template", arrays.v_template),
            ("weights", arrays.weights),
            ("J_regressor", arrays.J_regressor),
            ("shapedirs", arrays.shapedirs),
            ("exprdirs", arrays.exprdirs),
            ("posedirs", posedirs),
        ):
            self.register_buffer(key, torch.from_numpy(np.ascontiguousarray(value, np.float32)))

    @property
    def num_vertices(self) -> int:
        """N."""
        return self.weights.shape[0]

    @property
    def num_joints(self) -> int:
        """J."""
        return self.weights.shape[1]

    @property
    def joint_names(self) -> tuple[str, ...]:
        """What the joints are called. J"""
        return joint_names(self.num_joints)

    @property
    def chain(self) -> tuple[int, ...]:
        """Each joint's parent, which stands before it; -1 for the root. J"""
        return self._parents

    @property
    def landmark_vertices(self) -> dict[str, int]:
        """Vertices of the face and the feet by what landmark networks call them: left_ear, right_big_toe, ...

        Those of SMPL and SMPL-X, to which the open body's correspond; none for a body of another mesh.
        """
        known = {(24, 6890): "smplh", (55, 10475): "smplx"}.get((self.num_joints, self.num_vertices))
        if known is None or (self.is_open and self.num_joints != 24):
            return {}
        return {ours: vertex_ids[known][theirs] for ours, theirs in _LANDMARKS.items()}

    @property
    def num_expressions(self) -> int:
        """E."""
        return self.exprdirs.shape[-1]

    def check_fits(self, kind: str, where: str) -> None:
        """Refuse to drive this body with poses that are for another one; SMPL's and SMPL-X's never convert exactly.

        Args:
            kind: what the poses are for: "open", "open-smplx", "smpl" or "smplx". Poses of a licensed body fit any body
                of as many joints, the open one only roughly.
            where: the file the poses are in, for the message.

        Raises:
            UserError: they do not fit.
        """
        whose, joints, own, advice = _PEOPLE[kind]
        if self.num_joints != joints:
            raise UserError(
                f"{where}: these poses are {whose} ({joints} joints), "
                f"the body {self.name} has {self.num_joints}; {advice}"
            )
        if own and not self.is_open:
            raise UserError(f"{where}: these poses are {whose}, the body {self.name} is another one; {advice}")

    def shaped_vertices(self, betas: Tensor) -> Tensor:
        """The shaped T-pose: template plus shape directions. betas [B] -> [N, 3] metres

        Raises:
            UserError: more shape values than the body has directions.
        """
        directions = self.shapedirs
        if len(betas) > directions.shape[-1]:
            raise UserError(f"betas: this body has {directions.shape[-1]} shape directions, found {len(betas)} values")
        return self.v_template + blend_shapes(betas[None], directions[..., : len(betas)])[0]

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints of the shaped T-pose, the face at rest. betas [B] -> [J, 3] metres"""
        return self.joints_of(self.shaped_vertices(betas))

    def joints_of(self, vertices: Tensor) -> Tensor:
        """Joints of bodies in their rest pose. [..., N, 3] -> [..., J, 3] metres"""
        return vertices2joints(self.J_regressor, vertices.reshape(-1, *vertices.shape[-2:])).view(
            *vertices.shape[:-2], -1, 3
        )

    def pose(self, pose: BodyPose) -> PosedBody:
        """Posed vertices and the affine map of each vertex, T_n = sum_k w_nk [G_k | b_k] (Eq. 1).

        Pose blend shapes, the expression and the translation are part of the map, so T_n applied to rest vertex n, the
        face at rest, is the posed vertex.

        Raises:
            UserError: the pose is for another number of joints, or has more values of expression than the body.
        """
        v_shaped = self.shaped_vertices(pose.betas)
        vertex_transforms = self.maps(pose, v_shaped)
        if fast_blend.can_move(vertex_transforms, v_shaped):
            return PosedBody(fast_blend.move(vertex_transforms, v_shaped), vertex_transforms, v_shaped)
        linear, shift = vertex_transforms[..., :3, :3], vertex_transforms[..., :3, 3]
        return PosedBody(torch.einsum("tnab,nb->tna", linear, v_shaped) + shift, vertex_transforms, v_shaped)

    def posed_joints(self, pose: BodyPose) -> Tensor:
        """The skeleton's joints in the world, the face at rest. [T, J, 3] metres

        Raises:
            UserError: as `pose`.
        """
        rest = self.rest_joints(pose.betas)
        maps, _ = self.bend(pose, rest)
        return torch.einsum("tjab,jb->tja", maps[..., :3, :3], rest) + maps[..., :3, 3] + pose.transl[:, None]

    def on(self, device: torch.device) -> BodyModel:
        """The body on a device: itself where it is there, else a copy."""
        return self if self.weights.device == device else deepcopy(self).to(device)

    def maps(self, pose: BodyPose, v_shaped: Tensor | None = None) -> Tensor:
        """The vertices' maps from rest pose to world alone. [T, N, 4, 4]

        Args:
            pose: T frames.
            v_shaped: [N, 3] what `shaped_vertices` gives for its betas, if that is at hand.

        Raises:
            UserError: as `pose`.
        """
        joints = self.joints_of(self.shaped_vertices(pose.betas) if v_shaped is None else v_shaped)
        return self.vertex_transforms(*self.bend(pose, joints), pose.transl)

    def bend(self, pose: BodyPose, joints: Tensor) -> tuple[Tensor, Tensor]:
        """What a pose does to the skeleton.

        Args:
            pose: T frames.
            joints: [J, 3] in the rest pose, the face at rest. An expression moves them, frame by frame.

        Returns:
            [T, J, 4, 4] the joints' maps from rest pose to world but for the translation; [T, (J - 1) * 9 + E'] what
            blend shapes follow: the rotations of all joints but the root less the identity, then the pose's E' values
            of expression if it has any.

        Raises:
            UserError: the pose is for another number of joints, or has more values of expression than the body.
        """
        frames = len(pose)
        if pose.body_pose.shape[1] != (self.num_joints - 1) * 3:
            raise UserError(
                f"body_pose: this body has {self.num_joints} joints and expects {(self.num_joints - 1) * 3} values "
                f"per frame, found {pose.body_pose.shape[1]}"
            )
        axis_angle = torch.cat([pose.global_orient, pose.body_pose], 1)
        rotations = rotation_matrices(axis_angle.reshape(frames, -1, 3))
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device)
        bends = (rotations[:, 1:] - eye).reshape(frames, -1)
        joints = joints.expand(frames, -1, -1)
        if pose.expression is not None:
            joints = joints + self.joints_of(self._expression_offsets(pose.expression))
            bends = torch.cat([bends, pose.expression], 1)
        return joint_transforms(rotations, joints, self._parents), bends

    def vertex_transforms(self, joint_maps: Tensor, bends: Tensor, transl: Tensor) -> Tensor:
        """The vertices' maps from rest pose to world, of what `bend` returns and translations [T, 3]. [T, N, 4, 4]"""
        pose_size, offsets = (self.num_joints - 1) * 9, None
        if self.posedirs.shape[0]:
            offsets = (bends[:, :pose_size] @ self.posedirs).view(len(bends), -1, 3)
        if bends.shape[1] > pose_size:
            face = self._expression_offsets(bends[:, pose_size:])
            offsets = face if offsets is None else offsets + face
        return blend(self.weights, joint_maps, transl, offsets)

    def _expression_offsets(self, expression: Tensor) -> Tensor:
        """How far the face moves each vertex in the rest pose. [T, E'] -> [T, N, 3] metres"""
        if expression.shape[1] > self.num_expressions:
            raise UserError(
                f"expression: this body has {self.num_expressions} expression directions, "
                f"found {expression.shape[1]} values per frame"
            )
        return blend_shapes(expression, self.exprdirs[..., : expression.shape[1]])


def rotation_matrices(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, R = I + sin(a) K + (1 - cos(a)) K^2 for a rotation by a radians. [..., 3] -> [..., 3, 3]"""
    return batch_rodrigues(axis_angle.reshape(-1, 3)).view(*axis_angle.shape[:-1], 3, 3)


def load_body(path: Path | None = None, kinds: Sequence[str] = ("open",)) -> BodyModel:
    """Load the body for poses of `kinds`: an open one, or a licensed SMPL or SMPL-X file.

    Args:
        path: a body file (.npz, .pkl), the folder that holds it, or None; see `find_body_file`.
        kinds: what the poses can be for, the best first: "open", "open-smplx", "smpl", "smplx".

    Raises:
        UserError: no such file, unreadable, a key or a shape is wrong, or no body for poses of SMPL-X.
    """
    found = find_body_file(path, kinds)
    if found == "open-smplx":
        from hgg_pyg.body.open_smplx import open_smplx

        return BodyModel(open_smplx(), "open SMPL-X stand-in")
    return BodyModel(read_body(found), "open default body" if found == DEFAULT_BODY else str(found))


def _hands(arrays: BodyArrays) -> Hands | None:
    parts = (arrays.hands_componentsl, arrays.hands_componentsr, arrays.hands_meanl, arrays.hands_meanr)
    tensors = [torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in parts if part is not None]
    return Hands(*tensors) if len(tensors) == 4 else None
