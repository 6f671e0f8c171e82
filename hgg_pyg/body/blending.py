"""Poses to maps of joints, and those to maps of what has weights on joints: what bodies and avatars share."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from hgg_pyg.body import fast_blend, fast_chain


def joint_transforms(rotations: Tensor, joints: Tensor, parents: tuple[int, ...]) -> Tensor:
    """The joints' maps from rest pose to world, but for the translation. [T, J, 4, 4]

    Equal to smplx's `batch_rigid_transform`, which reads the parents off their tensor number by number: on a GPU each
    is a wait for the device, and none may be in a CUDA graph.

    Args:
        rotations: [T, J, 3, 3] of each joint in its parent's frame.
        joints: [T, J, 3] places at rest, metres.
        parents: [J] each joint's parent, which stands before it; -1 for the first.
    """
    if fast_chain.can_chain(rotations, joints):
        return fast_chain.chain(rotations, joints, parents)
    offsets = torch.cat([joints[:, :1], joints[:, 1:] - joints.index_select(1, _before(parents, joints.device))], 1)
    local = with_last_row(torch.cat([rotations, offsets[..., None]], -1))
    chain = [local[:, 0]]
    for joint, parent in enumerate(parents[1:], 1):
        chain.append(chain[parent] @ local[:, joint])
    world = torch.stack(chain, 1)
    moved = world @ nn.functional.pad(joints, (0, 1))[..., None]
    return torch.cat([world[..., :3], world[..., 3:] - moved], -1)


@lru_cache(maxsize=16)  # sent to a device once
def _before(parents: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(parents[1:], device=device)


def blend(weights: Tensor, transforms: Tensor, transl: Tensor, offsets: Tensor | None = None) -> Tensor:
    """Maps of N points that follow J joints, T_n = sum_k w_nk [G_k | b_k] (Eq. 1). [T, N, 4, 4]

    Args:
        weights: [N, J]
        transforms: [T, J, 4, 4] what `joint_transforms` gives.
        transl: [T, 3] metres, added last.
        offsets: [T, N, 3] metres, what blend shapes add to the points before they move.
    """
    given = (weights, transforms, transl, *(() if offsets is None else (offsets,)))
    if fast_blend.can_blend(*given):
        return fast_blend.blend(weights, transforms, transl, offsets)
    blended = torch.einsum("nj,tjab->tnab", weights, transforms)
    linear, shift = blended[..., :3, :3], blended[..., :3, 3] + transl[:, None]
    if offsets is not None:
        shift = shift + (linear @ offsets[..., None])[..., 0]
    return with_last_row(torch.cat([linear, shift[..., None]], -1))


def with_last_row(maps: Tensor) -> Tensor:
    """[..., 3, 4] -> [..., 4, 4], made on the device: a row sent there from here would be waited for."""
    last = torch.eye(4, dtype=maps.dtype, device=maps.device)[3:].expand(*maps.shape[:-2], 1, 4)
    return torch.cat([maps, last], -2)
