"""A body as a few thousand soft points below its skin, together opaque: its outline, cheaply drawn, with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from hgg_pyg.body.model import BodyModel
from hgg_pyg.kernels.normals import vertex_normals

_SPREAD = 0.4  # standard deviation of a point's Gaussian over the distance to the next
_SUNK = 1.9  # how far it lies below the skin over its standard deviation, so that half of the alpha is at the skin

_known: WeakKeyDictionary[BodyModel, dict[int, SkinPoints]] = WeakKeyDictionary()


@dataclass(frozen=True)
class SkinPoints:
    """P points, evenly spread."""

    chosen: Tensor  # [P] int64, the vertex that each lies below
    sigma: Tensor  # [P] metres, standard deviation of its round Gaussian
    rest: Tensor  # [P, 3] metres, in the rest pose of the mean shape
    shapedirs: Tensor  # [P, 3, B] metres
    weights: Tensor  # [P, J]
    joint_shapedirs: Tensor  # [J, 3, B] metres, of the joints at rest
    moved: Tensor  # [P, B] square metres by which a value of shape moves each

    def shaped(self, betas: Tensor) -> Tensor:
        """In the rest pose of a shape. betas [B] -> [P, 3] metres"""
        return self.rest + self.shapedirs[..., : len(betas)] @ betas


def skin_points(body: BodyModel, count: int) -> SkinPoints:
    """So many points of a body, as many as it has vertices at most; found once for a body."""
    known = _known.setdefault(body, {})
    if count not in known:
        known[count] = _find(body, count)
    return known[count]


@torch.no_grad()
def _find(body: BodyModel, count: int) -> SkinPoints:
    vertices = body.v_template
    chosen, spacing = _spread_points(vertices.cpu(), min(count, body.num_vertices))
    chosen, sigma = chosen.to(vertices.device), (_SPREAD * spacing).to(vertices.device)
    normals = torch.from_numpy(vertex_normals(vertices.double().cpu().numpy(), body.faces.cpu().numpy()))
    rest = vertices[chosen] - _SUNK * sigma[:, None] * normals.to(vertices)[chosen]
    shapedirs = body.shapedirs[chosen]
    of_joints = torch.einsum("jn,nkb->jkb", body.J_regressor, body.shapedirs)
    return SkinPoints(chosen, sigma, rest, shapedirs, body.weights[chosen], of_joints, shapedirs.square().sum(1))


def _spread_points(vertices: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Points far from each other, and how far each is from its next. [P] int64, [P] metres"""
    chosen = [0]
    away = (vertices - vertices[0]).norm(dim=-1)
    for _ in range(count - 1):
        chosen.append(int(away.argmax()))
        away = torch.minimum(away, (vertices - vertices[chosen[-1]]).norm(dim=-1))
    points = vertices[chosen]
    near = torch.cdist(points, points).topk(min(4, count), largest=False).values[:, 1:].mean(1)
    return torch.tensor(chosen), near
