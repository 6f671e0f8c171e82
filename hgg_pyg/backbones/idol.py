"""What IDOL (Zhuang et al. 2024) gives for one image, as Gaussians that can be stored: its covariances are sheared."""

from __future__ import annotations

import torch
from scipy.spatial import KDTree
from torch import Tensor

from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.types import Gaussians

_NEIGHBOURS = 3
_LEAST_SPACING = 1e-7  # square metres, as in IDOL
_LEAST_SIZE = 1e-8  # metres: a radius of -1 would make a size whose logarithm is infinite


def gaussians_from_idol(
    positions: Tensor,  # [M, 3]
    colors: Tensor,  # [M, 3]
    radius: Tensor,  # [M, 3]
    rotations: Tensor,  # [M, 3, 3]
    opacities: Tensor | None = None,  # [M]
) -> Gaussians:
    r"""Gaussians of one person in one pose out of the numbers that IDOL renders it with. [M] in the dtype of positions

    .. math::
        \Sigma_m = R_m S_m S_m^T R_m^T, \quad S_m = \mathrm{diag}(r_m + 1) \,
        \max\!\left(\tfrac{1}{3} \textstyle\sum_{n \in \mathrm{kNN}_3(m)} |x_n - x_m|^2, 10^{-7}\right)^{1/2}

    R_m holds a blend of the bones' matrices, so it is no rotation, and its product with S_m is not one with axes and
    sizes. By the singular value decomposition R_m S_m = U D V^T the very same ellipsoid has the axes U and the sizes D.

    All numbers are in `forward_render` of IDOL's decoder (`lib/models/decoders/uvmaps_decoder_gender.py`, class
    `UVNDecoder_gender`), of one scene: positions are `xyzs`, after posing; colors are `rgbs`; radius is `radius`, from
    -1 to 1; rotations are `R_def_batch`, the bones' matrices times the first rotation times the predicted one.
    opacities are `sigmas`, which are 1 as it is released. Give them to this function and `write_ply` once per frame,
    with the pose of that frame, into DIR/SUBJECT/00000000.ply and on, and train with `--backbone ply
    --backbone.ply.folder DIR`. IDOL's world is that of the SMPL-X parameters it was given; where your capture's is
    another, say how they lie with `--backbone.ply.transform`.

    Args:
        positions: metres
        colors: RGB, about [0, 1]
        radius: r, sizes relative to the distance between neighbours
        rotations: R
        opacities: 1 by default

    Raises:
        ValueError: shapes do not fit one another, or there are fewer than 4 Gaussians.
    """
    count = len(positions)
    opacities = positions.new_ones(count) if opacities is None else opacities
    given = {"positions": positions, "colors": colors, "radius": radius, "rotations": rotations, "opacities": opacities}
    for (name, tensor), tail in zip(given.items(), ((3,), (3,), (3,), (3, 3), ()), strict=True):
        if tuple(tensor.shape) != (count, *tail):
            raise ValueError(f"gaussians_from_idol: {name}: expected {(count, *tail)}, found {tuple(tensor.shape)}")
    if count <= _NEIGHBOURS:
        raise ValueError(f"gaussians_from_idol: positions: expected more than {_NEIGHBOURS}, found {count}")
    spread = (radius.double() + 1) * spacing(positions).double()[:, None]
    axes, sizes, _ = torch.linalg.svd(rotations.double() * spread[:, None, :])
    axes = axes * torch.linalg.det(axes).sign()[:, None, None]  # an axis has no direction: a mirrored set is flipped
    return Gaussians(
        means=positions,
        quats=matrix_to_quaternion(axes).to(positions),
        scales=sizes.clamp_min(_LEAST_SIZE).to(positions),
        opacities=opacities.to(positions),
        colors=colors.to(positions),
    )


def spacing(positions: Tensor) -> Tensor:
    """Root mean square distance to the 3 nearest others, at least sqrt(1e-7). [M, 3] -> [M] metres"""
    points = positions.detach().double().cpu().numpy()
    distances, _ = KDTree(points).query(points, 1 + _NEIGHBOURS)
    # The nearest of all is the point itself, or one in the same place, which is at the same distance 0.
    squares = torch.from_numpy(distances[:, 1:] ** 2).mean(1)
    return squares.clamp_min(_LEAST_SPACING).sqrt().to(positions)
