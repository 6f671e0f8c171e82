r"""How far each pose parameter moves the body's surface: the metric in which a step towards the images is taken.

For vertex n, joint k and a small turn :math:`d\theta_k` of its axis-angle,

.. math::
    dx_n = s_{nk} \, \big(R_{p(k)} J_l(\theta_k) \, d\theta_k\big) \times (x_n - j_k), \qquad
    s_{nk} = \sum_{i \in \mathrm{subtree}(k)} w_{ni}

with skinning weights w, the parent's rotation R in the world, the joint's place j and the left Jacobian of SO(3). A
Gauss-Newton step with the images' derivatives taken for the same everywhere is :math:`(\kappa B^T B + \Lambda)^{-1} g`
for B the derivatives of vertices and :math:`\Lambda` the prior's precision. So a hip, which moves a leg, takes smaller
steps than a wrist, and what hardly moves anything, a twist, goes where the prior says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.types import BodyPose

_SAMPLES = 512  # vertices that stand for all


def subtree_weights(body: BodyModel, rows: Tensor) -> Tensor:
    """The share of some vertices that each joint turns, its children's included. rows [S] -> [S, J]"""
    shares = body.weights[rows].clone()
    for joint in range(body.num_joints - 1, 0, -1):
        shares[:, body.chain[joint]] += shares[:, joint]
    return shares


def left_jacobian(axis_angle: Tensor) -> Tensor:
    """The world turn of a small change of an axis-angle: J_l of SO(3). [..., 3] -> [..., 3, 3]"""
    angle = axis_angle.norm(dim=-1).clamp_min(1e-4)[..., None, None]
    K = cross_matrix(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + (1 - angle.cos()) / angle**2 * K + (angle - angle.sin()) / angle**3 * (K @ K)


def cross_matrix(vector: Tensor) -> Tensor:
    """[v]x, by which v x u = [v]x u. [..., 3] -> [..., 3, 3]"""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


@torch.no_grad()
def surface_jacobian(body: BodyModel, poses: BodyPose, rows: Tensor) -> Tensor:
    """Derivatives of vertices by pose parameters: axis-angles of all joints, radians, then the translation.

    Args:
        body: of J joints, on the poses' device.
        poses: T, with the shape.
        rows: [S] vertices.

    Returns:
        [T, S, 3, J * 3 + 3] metres per radian, and per metre.
    """
    frames, joints = len(poses), body.num_joints
    rest = body.rest_joints(poses.betas)
    maps, bends = body.bend(poses, rest)
    places = (maps[..., :3, :3] @ rest[..., None])[..., 0] + maps[..., :3, 3]  # [T, J, 3] but for the translation
    vertices = body.pose(poses).vertices[:, rows] - poses.transl[:, None]
    parents = torch.tensor([0, *body.chain[1:]], device=rest.device)
    around = maps[:, parents, :3, :3].clone()
    around[:, 0] = torch.eye(3, dtype=rest.dtype, device=rest.device)
    axis_angle = torch.cat([poses.global_orient, poses.body_pose], 1).view(frames, joints, 3)
    turns = around @ left_jacobian(axis_angle)  # [T, J, 3, 3]
    arms = cross_matrix(places[:, None] - vertices[:, :, None])  # w x r = [-r]x w
    moved = subtree_weights(body, rows)[None, :, :, None, None] * (arms @ turns[:, None])
    moved = moved.permute(0, 1, 3, 2, 4).reshape(frames, len(rows), 3, joints * 3)
    eye = torch.eye(3, dtype=rest.dtype, device=rest.device).expand(frames, len(rows), 3, 3)
    return torch.cat([moved, eye], -1)


def pose_metric(body: BodyModel, poses: BodyPose, points: float, precision: Tensor) -> Tensor:
    """Cholesky factors of the metrics of T poses, in degrees and metres.

    Args:
        body: on the poses' device.
        poses: T, with the shape.
        points: as how well known, in all, the surface's place is: a number of points over their variance, 1/m^2.
        precision: [J * 3 + 3] the prior's, 1/degrees^2 and 1/m^2.

    Returns:
        [T, P, P] lower triangles, P = J * 3 + 3.
    """
    step = max(1, body.num_vertices // _SAMPLES)
    rows = torch.arange(0, body.num_vertices, step, device=body.weights.device)
    moved = surface_jacobian(body, poses, rows)
    moved[..., :-3] *= math.pi / 180
    moved = moved.flatten(1, 2)
    metric = moved.mT @ moved * (points / len(rows)) + torch.diag(precision)
    return torch.linalg.cholesky(metric)
