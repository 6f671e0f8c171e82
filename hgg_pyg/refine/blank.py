"""From nothing: an avatar that knows of its person but the shape, and the fit that starts there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.fit import Refined
from hgg_pyg.refine.passes import refine_pass
from hgg_pyg.types import Gaussians, UserError

MOST = 10_000
"""Gaussians that a fit from nothing does best with, even at 512 pixels: its steps are fast with few."""

_OVERLAP = 0.4  # standard deviation along the surface, in distances between neighbours: best against the silhouette
_FLATNESS = (
    0.3  # standard deviation along the normal, as a share of that along the surface, as `SurfaceBackbone` has it
)
_OPACITY = 0.9  # nearly opaque: at 1 no step would change it
_GREY = 0.5
_GAUSSIAN_RATE = 0.1


@torch.no_grad()
def blank_avatar(body: BodyModel, betas: Tensor, count: int, seed: int = 0) -> BoundAvatar:
    r"""Grey, nearly opaque discs spread evenly over the body's surface at rest.

    The surface's area A, triangle after triangle, is cut into M equal pieces, of which each holds one Gaussian at a
    random place: no part has many more of them than another of its size. With :math:`d = \sqrt{A / M}` the distance of
    neighbours, the standard deviations are 0.4 d along the surface and 0.12 d across it. Each is bound to that corner
    of its triangle that is nearest.

    Args:
        body: on any device, where the avatar will be.
        betas: [B] the person's shape.
        count: M.
        seed: of the places.

    Raises:
        UserError: M is less than 1, or the body has no surface.
    """
    if count < 1:
        raise UserError(f"count: expected at least 1 Gaussian, found {count}")
    vertices = body.shaped_vertices(betas)
    corners = vertices[body.faces]
    edges = corners[:, 1:] - corners[:, :1]
    crosses = torch.linalg.cross(edges[:, 0], edges[:, 1])
    edge_of_area = (crosses.norm(dim=1).double() / 2).cumsum(0).cpu()
    area = float(edge_of_area[-1]) if len(edge_of_area) else 0.0
    if not 0 < area < math.inf:
        raise UserError(f"body {body.name}: expected a surface of triangles, found an area of {area:g} m²")
    generator = torch.Generator().manual_seed(seed)
    places = (torch.arange(count) + torch.rand(count, dtype=torch.float64, generator=generator)) * (area / count)
    chosen = torch.searchsorted(edge_of_area, places).clamp_max(len(edge_of_area) - 1).to(vertices.device)
    shares = _in_triangle(torch.rand(count, 2, generator=generator)).to(vertices)
    means = (shares[..., None] * corners[chosen]).sum(1)
    nearest = (corners[chosen] - means[:, None]).norm(dim=-1).argmin(1, keepdim=True)
    binding = body.faces[chosen].gather(1, nearest)[:, 0]
    normal, along = F.normalize(crosses[chosen], dim=1), F.normalize(edges[chosen, 0], dim=1)
    axes = torch.stack([along, torch.linalg.cross(normal, along), normal], -1)
    size = _OVERLAP * math.sqrt(area / count)
    return BoundAvatar(
        Gaussians(
            means=means,
            quats=matrix_to_quaternion(axes),
            scales=means.new_tensor([size, size, size * _FLATNESS]).repeat(count, 1),
            opacities=means.new_full((count,), _OPACITY),
            colors=means.new_full((count, 3), _GREY),
        ),
        binding,
        betas,
    )


def _in_triangle(uniform: Tensor) -> Tensor:
    """Barycentric coordinates, spread evenly over a triangle, of points of a square. [M, 2] in [0, 1] -> [M, 3]"""
    root, along = uniform[:, 0].sqrt(), uniform[:, 1]
    return torch.stack([1 - root, root * (1 - along), root * along], 1)


def optimise(
    source: FrameSource,
    frames: Sequence[int],
    count: int,
    config: RefineConfig,
    progress: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Refined:
    """What methods without a network do (GART, Lei et al. 2024): the fit of `refine`, begun at a blank avatar.

    Args:
        source: the capture, and which of its cameras are looked through.
        frames: T frames by position.
        count: M, how many Gaussians.
        config: as of a fit from the forward pass on; Gaussians make larger steps here, which have a longer way to go.
        progress: show a bar.
        clock: tells seconds.

    Raises:
        UserError: as `blank_avatar` and `refine_pass`.
    """
    own = replace(config, gaussian_rate=_GAUSSIAN_RATE)

    def blank(posed: FrameSource) -> BoundAvatar:
        return blank_avatar(posed.body, posed.capture.poses.betas, count, config.seed)

    return refine_pass(blank(source), blank, source, frames, own, progress=progress, clock=clock)
