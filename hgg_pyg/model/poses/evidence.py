"""What joints are told of the pulls at the points that move with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from hgg_pyg.body.skin_points import SkinPoints
from hgg_pyg.model.poses import fast_sums
from hgg_pyg.model.poses.pulls import Pulls
from hgg_pyg.model.poses.stance import Stance

_LEAST_PIXELS = 3.0  # below this a joint's points are hardly seen
_LEAST_LEVER = 0.05  # metres
_PULL_UNIT, _SHAPE_UNIT = 0.1, 0.01  # usual pulls per pixel: evidence comes out at about 1
_LEAST_SIZE = 1e-3  # metres that points move by a value of shape of one
_SOFT = 3.0  # stiffness per pixel below which nothing is told of, per squared metre
_TURN, _SHIFT = 0.05, 0.02  # radians and metres by which poses are usually off
JOINT_EVIDENCE = 3 * 8 + 8  # C of `joint_evidence`


@dataclass(frozen=True)
class JointForces:
    """What pulls at the joints, in their own axes: at all that moves with a joint, then at the joint alone."""

    torque: Tensor  # [T, 2, J, 3] of the first, minus the gradient of the error by a turn of the joint
    force: Tensor  # [T, 2, J, 3]
    pixels: Tensor  # [T, 2, J, 1] that are seen of it
    lever: Tensor  # [T, 2, J, 1] metres, root of the mean squared distance from the joint
    stiffness: Tensor  # [T, 2, J, 1] about how the force falls when what is pulled follows it, per squared metre
    turn_stiffness: Tensor  # [T, 2, J, 1] the same of the torque, per squared radian
    outside: Tensor  # [T, 2, J, 1] pixels outside the masks
    wrong: Tensor  # [T, 2, J, 1] squared error of colour


@dataclass(frozen=True)
class JointSums:
    """Sums over points of what they were told."""

    moments: Tensor  # [T, J, MOMENTS] times their weights on each joint, see `fast_sums`
    pulled: Tensor  # [P, 3] each point's pulls, turned back into the rest pose, over all frames


@torch.no_grad()
def joint_sums(points: SkinPoints, stance: Stance, found: Pulls) -> JointSums:
    """Sums over the points of each joint of a look at T frames."""
    given = (
        *(points.weights, points.shaped(stance.betas), stance.maps),
        torch.stack([found.points, found.pulls]),
        torch.stack([found.seen, found.stiffness, found.outside, found.wrong]),
    )
    return JointSums(*(fast_sums.sums if fast_sums.can_sum(*given) else sums_by_products)(*given))


def sums_by_products(
    weights: Tensor, rest: Tensor, maps: Tensor, vectors: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """What `fast_sums.sums` computes, on any device."""
    (x, g), (pixels, h, outside, wrong) = vectors, numbers[..., None]
    square = x.square().sum(-1, keepdim=True)
    lean = (rest[..., None] * g[..., None, :]).flatten(-2)
    moments = (g, lean, pixels, pixels * x, pixels * square, h, h * x, h * square, outside, wrong)
    linear = torch.einsum("nj,tjab->tnab", weights, maps[..., :3, :3])
    return weights.T @ torch.cat(moments, -1), (linear.mT @ g[..., None])[..., 0].sum(0)


def joint_forces(stance: Stance, sums: JointSums) -> JointForces:
    r"""Sums over the points of each joint.

    .. math::
        F_j = R_j^T \sum_{k} \sum_n w_{nk} g_n, \qquad
        \tau_j = R_j^T \sum_{k} \sum_n w_{nk} (G_k v_n - p_j) \times g_n

    over the joint and its descendants k, then over the joint alone; w are the skinning weights, G_k v_n where the
    point would be if it followed k alone.

    Args:
        stance: of the body in T frames.
        sums: over its points.
    """
    force, lean, others = sums.moments.split([3, 9, 12], -1)
    lean = stance.maps[..., :3, :3] @ lean.unflatten(-1, (3, 3))  # of G_k v_n and g_n, but for the shift of G_k
    about_origin = torch.stack([lean[..., a, b] - lean[..., b, a] for a, b in ((1, 2), (2, 0), (0, 1))], -1)
    shift = stance.maps[..., :3, 3] + stance.transl[:, None]
    alone = torch.cat([force, about_origin + torch.linalg.cross(shift, force), others], -1)
    both = torch.stack([_descendants(stance.body.chain).to(alone).T @ alone, alone], 1)
    force, torque, pixels, stiff, outside, wrong = both.split([3, 3, 5, 5, 1, 1], -1)
    place = stance.joints[:, None]  # [T, 1, J, 3]
    torque = torque - torch.linalg.cross(place.expand_as(force), force)
    spread, turn_stiffness = (_about(place, moments) for moments in (pixels, stiff))
    pixels, stiffness = pixels[..., :1], stiff[..., :1]
    lever = (spread / pixels.clamp_min(1e-6)).sqrt()
    own_axes = stance.maps[:, None, :, :3, :3].mT
    torque, force = ((own_axes @ vector[..., None])[..., 0] for vector in (torque, force))
    return JointForces(torque, force, pixels, lever, stiffness, turn_stiffness, outside, wrong)


def _about(place: Tensor, moments: Tensor) -> Tensor:
    """Sum of squared distances from places, of sums of 1, x and |x|^2 [..., 5]. [..., 1]"""
    count, first, second = moments.split([1, 3, 1], -1)
    return (
        second - 2 * (place * first).sum(-1, keepdim=True) + count * place.square().sum(-1, keepdim=True)
    ).clamp_min(0)


def joint_evidence(forces: JointForces) -> Tensor:
    r"""Forces as the network is told them.

    .. math::
        e_j = \left[ \frac{\tau_j}{u (w_j l_j + w_0 l_0)} \;\Vert\; \frac{F_j}{u (w_j + w_0)} \;\Vert\;
            \frac{\tau_j}{K_j + K_0} \;\Vert\; \frac{F_j}{k_j + k_0} \;\Vert\; \dots \right]

    with w the pixels, l the lever and k, K the stiffness, compressed by sgn(x) log(1 + |x|): the pull per pixel, then
    about the turn and the shift after which nothing would pull any more, as Gauss and Newton have it.

    Returns:
        [T, J, 32] these four, log(1 + w), l, the share of pixels outside the masks and the root of the mean squared
            error of colour: of all that moves with the joint, then of the joint alone.
    """
    pixels, lever = forces.pixels, forces.lever
    parts = (
        compressed(forces.torque / (pixels * lever + _LEAST_PIXELS * _LEAST_LEVER) / _PULL_UNIT),
        compressed(forces.force / (pixels + _LEAST_PIXELS) / _PULL_UNIT),
        compressed(forces.torque / (forces.turn_stiffness + _LEAST_PIXELS * _LEAST_LEVER**2 * _SOFT) / _TURN),
        compressed(forces.force / (forces.stiffness + _LEAST_PIXELS * _SOFT) / _SHIFT),
        pixels.log1p() / 4,
        lever,
        forces.outside / (pixels + _LEAST_PIXELS),
        5 * (forces.wrong.clamp_min(0) / (pixels + _LEAST_PIXELS)).sqrt(),
    )
    return torch.cat(parts, -1).transpose(1, 2).flatten(2)


def shape_pull(points: SkinPoints, stance: Stance, sums: JointSums) -> Tensor:
    r"""The pull at each value of shape, minus the gradient of the error by it, a sum over frames. [B]

    A value moves the points in the rest pose and the joints, and with them what hangs on them:

    .. math::
        \frac{\partial x_n}{\partial \beta} = A_n \frac{\partial v_n}{\partial \beta}
            + \sum_k w_{nk} \left( \frac{\partial p_k}{\partial \beta} - R_k \frac{\partial J_k}{\partial \beta} \right)
    """
    chain, count = stance.body.chain, len(stance.betas)
    joints = points.joint_shapedirs[..., :count]
    parents = torch.tensor([max(parent, 0) for parent in chain], device=joints.device)
    force = sums.moments[..., :3]  # [T, J, 3] on each joint alone
    carried = _descendants(chain).to(force).T @ force
    axes = stance.maps[..., :3, :3]
    of_parent = torch.cat([torch.eye(3).to(axes).expand(len(axes), 1, 3, 3), axes[:, parents[1:]]], 1)
    bones = torch.cat([joints[:1], joints[1:] - joints[parents[1:]]])
    stretch = (of_parent.mT @ carried[..., None])[..., 0].sum(0)
    leave = (axes.mT @ force[..., None])[..., 0].sum(0)
    of_points = torch.einsum("nk,nkb->b", sums.pulled, points.shapedirs[..., :count])
    return of_points + torch.einsum("jk,jkb->b", stretch, bones) - torch.einsum("jk,jkb->b", leave, joints)


def shape_evidence(points: SkinPoints, stance: Stance, found: Pulls, sums: JointSums) -> Tensor:
    """The pull at each value of shape per pixel, over the distance by which it moves points, compressed. [B]"""
    pixels = found.seen.sum() + _LEAST_PIXELS
    size = (found.seen.sum(0) @ points.moved[:, : len(stance.betas)] / pixels).sqrt() + _LEAST_SIZE
    return compressed(shape_pull(points, stance, sums) / size / pixels / _SHAPE_UNIT)


def compressed(values: Tensor) -> Tensor:
    """sgn(x) log(1 + |x|)"""
    return values.sign() * values.abs().log1p()


@lru_cache(maxsize=8)
def _descendants(chain: tuple[int, ...]) -> Tensor:
    """[J, J] float, 1 where the row's joint is the column's or moves with it."""
    count = len(chain)
    found = torch.eye(count)
    for joint, parent in enumerate(chain):
        if parent >= 0:
            found[joint] = torch.maximum(found[joint], found[parent])
    return found
