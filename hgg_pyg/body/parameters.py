"""Body parameters as data sets write them, to the convention of `BodyPose`: full axis-angle, about the pelvis."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.body.model import BodyModel, rotation_matrices
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.types import UserError


def smplx_body_pose(
    body: Tensor,
    jaw: Tensor | None = None,
    left_eye: Tensor | None = None,
    right_eye: Tensor | None = None,
    left_hand: Tensor | None = None,
    right_hand: Tensor | None = None,
) -> Tensor:
    """SMPL-X's 54 joints after the root in the model's order; parts that are None are at rest.

    Args:
        body: [T, 63] 21 joints, axis-angle, radians, like all of them.
        jaw, left_eye, right_eye: [T, 3]
        left_hand, right_hand: [T, 45] 15 joints, means included.

    Returns:
        [T, 162]

    Raises:
        UserError: a part is of another shape.
    """
    parts = (
        ("body_pose", body, 63),
        ("jaw_pose", jaw, 3),
        ("leye_pose", left_eye, 3),
        ("reye_pose", right_eye, 3),
        ("left_hand_pose", left_hand, 45),
        ("right_hand_pose", right_hand, 45),
    )
    for name, part, width in parts:
        if part is not None and part.shape != (len(body), width):
            raise UserError(f"{name}: expected shape ({len(body)}, {width}), found {tuple(part.shape)}")
    return torch.cat([body.new_zeros(len(body), width) if part is None else part for _, part, width in parts], 1)


def hands_from_pca(body: BodyModel, left: Tensor, right: Tensor, flat: bool) -> tuple[Tensor, Tensor]:
    """Hands from coefficients of the body's first k principal poses: pose = c @ components[:k] (+ mean).

    Args:
        body: SMPL-H or SMPL-X; its components are the model's own, so other bodies' coefficients mean nothing to it.
        left, right: [T, k]
        flat: coefficients of zero are the flat hand, and not the body's mean one; smplx calls it `flat_hand_mean`.

    Returns:
        left, right: [T, 45] axis-angle, radians.

    Raises:
        UserError: the body has no components, or fewer than k.
    """
    if body.hands is None:
        raise UserError(f"hands: coefficients need a body with principal poses of hands, the body {body.name} has none")
    hands = []
    for coefficients, components, mean in (
        (left, body.hands.left_components, body.hands.left_mean),
        (right, body.hands.right_components, body.hands.right_mean),
    ):
        count = coefficients.shape[1]
        if count > len(components):
            raise UserError(f"hands: this body has {len(components)} principal poses, found {count} coefficients")
        components, mean = components.to(coefficients), mean.to(coefficients)
        hands.append(coefficients @ components[:count] + (0 if flat else mean))
    return hands[0], hands[1]


def easymocap_to_smplx(
    rotation: Tensor, shift: Tensor, pelvis: Tensor, root: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """EasyMocap's Rh and Th, which rotate the body about the origin, to smplx's, which rotate it about the pelvis.

    V = R(Rh) LBS(root) + Th, and LBS(root) = R(root) (v - J0) + J0, so that with R = R(Rh) R(root) the translation is
    Th + (R(Rh) - I) J0.

    Args:
        rotation: [T, 3] Rh, axis-angle, radians.
        shift: [T, 3] Th, metres.
        pelvis: [3] or [T, 3] J0, the root joint of the shaped body in its rest pose, metres.
        root: [T, 3] the rotation of the root inside LBS, poses[:, :3]; None for zeros, as EasyMocap writes them.

    Returns:
        global_orient [T, 3], transl [T, 3].
    """
    matrix = rotation_matrices(rotation)
    transl = shift + (matrix @ pelvis.expand_as(shift)[..., None])[..., 0] - pelvis
    if root is None or not root.any():
        return rotation, transl
    return matrix_to_axis_angle(matrix @ rotation_matrices(root)), transl


def matrix_to_axis_angle(rotation: Tensor) -> Tensor:
    """Rotation matrices to axis-angle of at most pi radians, by way of quaternions, which are exact near pi.

    [..., 3, 3] -> [..., 3]
    """
    quaternion = matrix_to_quaternion(rotation)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    length = imaginary.norm(dim=-1, keepdim=True)
    small = length < 1e-6
    factor = torch.where(small, 2 / real.clamp_min(0.5), 2 * torch.atan2(length, real) / length.clamp_min(1e-12))
    return imaginary * factor


def smplx_to_easymocap(
    orient: Tensor, transl: Tensor, pelvis: Tensor, root: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The way back of `easymocap_to_smplx`: Rh and Th of smplx's orientation and translation.

    Args:
        orient: [T, 3] global_orient, axis-angle, radians.
        transl: [T, 3] metres.
        pelvis: [3] or [T, 3] J0, as there.
        root: [T, 3] the rotation of the root that stays inside LBS; None for zeros.

    Returns:
        Rh [T, 3], Th [T, 3].
    """
    if root is not None and root.any():
        orient = matrix_to_axis_angle(rotation_matrices(orient) @ rotation_matrices(root).mT)
    turned = (rotation_matrices(orient) @ pelvis.expand_as(transl)[..., None])[..., 0]
    return orient, transl - turned + pelvis


def hands_to_pca(body: BodyModel, left: Tensor, right: Tensor, count: int, flat: bool) -> tuple[Tensor, Tensor]:
    """The way back of `hands_from_pca`: coefficients of the poses nearest to these that k components can show.

    Args:
        body: as there.
        left, right: [T, 45] axis-angle, radians.
        count: k.
        flat: as there.

    Returns:
        left, right: [T, k].

    Raises:
        UserError: the body has no components.
    """
    if body.hands is None:
        raise UserError(f"hands: coefficients need a body with principal poses of hands, the body {body.name} has none")
    found = []
    for pose, components, mean in (
        (left, body.hands.left_components, body.hands.left_mean),
        (right, body.hands.right_components, body.hands.right_mean),
    ):
        basis = components[:count].to(pose)
        found.append((pose if flat else pose - mean.to(pose)) @ torch.linalg.pinv(basis))
    return found[0], found[1]
