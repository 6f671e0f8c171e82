"""The Gaussians that an avatar starts from, in one rest pose: those that `graphs` chose, and those that are born."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from graphs import AvatarNodes, ClipNodes
from hgg_pyg.body import BodyModel, PosedBody, tangent_frames, unpose_gaussians
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.body.visibility import seen_vertices
from hgg_pyg.types import Cameras, Gaussians

_SPREAD = 0.6  # standard deviation of a born disc along the surface, in mean lengths of the edges at its vertex
_THICKNESS = 0.3  # along the normal, as a share of that
_KEPT = 2000  # frames whose visibility is remembered: 55 MB for a body of 6,890 vertices

_remembered: OrderedDict[int, Tensor] = OrderedDict()


def seen_in_frames(body: BodyModel, posed: PosedBody, cameras: Sequence[Cameras]) -> Tensor:
    """How well the cameras see each vertex in each frame: the best of them, how squarely times how finely.

    Args:
        body: whose triangles.
        posed: T frames.
        cameras: T times V.

    Returns:
        [T, N] from 0 to 1: the cosine to the normal, times pixels per metre as a share of the most in the clip.
    """
    rows, fineness = [], []
    for vertices, views in zip(posed.vertices, cameras, strict=True):
        depth = (views.viewmats[:, 2, :3] @ vertices.mean(0) + views.viewmats[:, 2, 3]).clamp_min(1e-3)
        fineness.append((views.Ks[:, 0, 0] * views.Ks[:, 1, 1]).sqrt() / depth)
        rows.append(_seen(vertices, body.faces, views))
    shares = torch.stack(fineness)
    shares = shares / shares.max()
    return (torch.stack(rows) * shares[..., None]).amax(1)


def _seen(vertices: Tensor, faces: Tensor, cameras: Cameras) -> Tensor:
    """`seen_vertices`, remembered: poses and cameras of a frame stay from clip to clip."""
    key = hash(tuple(x.cpu().numpy().tobytes() for x in (vertices, cameras.viewmats, cameras.Ks)))
    found = _remembered.pop(key, None)
    if found is None:
        found = seen_vertices(vertices, faces, cameras)
    _remembered[key] = found
    if len(_remembered) > _KEPT:
        _remembered.popitem(last=False)
    return found


def avatar_nodes(nodes: ClipNodes, frames: Sequence[Gaussians], posed: PosedBody, betas: Tensor) -> AvatarNodes:
    """The avatar's nodes of a clip: chosen Gaussians unposed by their own frames, then those that are born.

    Args:
        nodes: of the clip; say which Gaussians.
        frames: T times [M_t], with features.
        posed: the body in the T poses.
        betas: [B] the person's shape.
    """
    anchors, binding = nodes.anchors, nodes.anchor_nearest[:, 0]
    axes = tangent_frames(posed.v_shaped, nodes.faces)
    ends = torch.bincount(nodes.frame, minlength=len(frames)).cumsum(0).tolist()
    parts, begin, at = [], 0, 0
    for t, (frame, end) in enumerate(zip(frames, ends, strict=True)):
        of_frame = anchors.chosen[(anchors.chosen >= begin) & (anchors.chosen < end)] - begin
        if len(of_frame):
            own = frame if len(of_frame) == len(frame) else frame[of_frame]
            parts.append(unpose_gaussians(own, posed.vertex_transforms[t], binding[at : at + len(of_frame)]))
        begin, at = end, at + len(of_frame)
    start = parts[0] if len(parts) == 1 else Gaussians.cat(parts)
    if len(anchors.born):
        start = Gaussians.cat([start, _born(nodes, start, binding[: len(start)], posed.v_shaped, axes)])
    assert start.features is not None
    return AvatarNodes(
        x=start.features,
        pos=start.means,
        quats=start.quats,
        scales=start.scales,
        opacities=start.opacities,
        colors=start.colors,
        binding=binding,
        axes=axes[binding],
        betas=betas,
    )


def _born(nodes: ClipNodes, start: Gaussians, binding: Tensor, v_shaped: Tensor, axes: Tensor) -> Gaussians:
    """Discs on the surface at rest, in colours and features the means of those chosen at their donors. [B]"""
    born, donors = nodes.anchors.born, nodes.anchors.donors
    count = torch.bincount(binding, minlength=len(v_shaped)).clamp_min(1).to(v_shaped)

    def mean(values: Tensor) -> Tensor:
        total = values.new_zeros(len(v_shaped), *values.shape[1:]).index_add_(0, binding, values)[donors]
        return total / count[donors].view(-1, *[1] * (values.ndim - 1))

    size = _SPREAD * _edge_lengths(v_shaped, nodes.faces)[born]
    normal, tangent, up = axes[born].unbind(-1)
    assert start.features is not None
    return Gaussians(
        means=v_shaped[born],
        quats=matrix_to_quaternion(torch.stack([tangent, up, normal], -1)),
        scales=size[:, None] * size.new_tensor([1.0, 1.0, _THICKNESS]),
        opacities=start.opacities.median().expand(len(born)),
        colors=mean(start.colors),
        features=mean(start.features),
    )


def _edge_lengths(vertices: Tensor, faces: Tensor) -> Tensor:
    """Mean length of the edges at each vertex. [N] metres"""
    tails, heads = faces[:, [0, 1, 2, 1, 2, 0]].flatten(), faces[:, [1, 2, 0, 0, 1, 2]].flatten()
    lengths = (vertices[heads] - vertices[tails]).norm(dim=1)
    total = vertices.new_zeros(len(vertices)).index_add_(0, tails, lengths)
    return total / torch.bincount(tails, minlength=len(vertices)).clamp_min(1)
