"""Everything that is found out about one run on one subject, as numbers per vertex, per Gaussian and per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs import BINDS, NEAR
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clips import Target, input_range, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.views import opposite_cameras
from hgg_pyg.evaluation.inspection.attention import (
    Attention,
    AttentionLayers,
    attention_of,
    frame_shares,
    hop_distances,
    mean_of_sources,
    relative_entropy,
)
from hgg_pyg.evaluation.inspection.changes import Change, read_out_changes
from hgg_pyg.evaluation.inspection.subject import RunSubject
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.nn.block import EdgeType
from hgg_pyg.render import render


@dataclass(frozen=True)
class IntraFindings:
    """Where the vertices took their attention from in one block's intra layer; NaN where there is nothing to take."""

    block: int  # from 1
    shares: Tensor  # [N, T] of each frame's Gaussians
    entropy: Tensor  # [N] 0..1, as `relative_entropy`


@dataclass(frozen=True)
class InterFindings:
    """How far the vertices looked in one block's inter layer, means by attention; NaN where there are no neighbours."""

    block: int  # from 1; 0 for attention without preference
    hops: Tensor  # [N] edges of the mesh
    centimetres: Tensor  # [N] straight, in the rest pose
    entropy: Tensor  # [N] 0..1, as `relative_entropy`


@dataclass(frozen=True)
class View:
    """One image and the avatar in its pose, before the read-out (direct binding) and after it."""

    camera: str
    truth: Tensor  # [H, W, 3] on white
    before: Tensor  # [H, W, 3]
    after: Tensor  # [H, W, 3]

    @property
    def scores(self) -> tuple[float, float]:
        """PSNR before and after, dB."""
        before, after = (psnr(image[None], self.truth[None]).item() for image in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class Findings:
    """What a network makes of a subject: N vertices, T frames with P Gaussians in all, an avatar of M."""

    subject: str
    frames: tuple[int, ...]  # T frame numbers, t0 first
    vertices: Tensor  # [N, 3] the body in its rest pose, metres
    faces: Tensor  # [F, 3]
    bound: Tensor  # [N] int64, how many Gaussians bind to each vertex
    even_shares: Tensor  # [N, T] of each frame's Gaussians, did all weigh alike; NaN without Gaussians
    intra: tuple[IntraFindings, ...]
    even_inter: InterFindings
    inter: tuple[InterFindings, ...]
    changes: tuple[Change, ...]  # [M] each
    binding: Tensor  # [M] vertices
    pose: int  # the frame number of `views`
    unseen: bool  # whether that frame is not among those that may be input
    views: tuple[View, ...]
    left_out: tuple[str, ...]  # what this network does not have
    of_t0: bool = True  # whether the M are frame t0's and no others

    @property
    def whose(self) -> str:
        """The M Gaussians in words."""
        return f"of frame {self.frames[0]} (t0)" if self.of_t0 else "that the avatar starts from"


@torch.no_grad()
def findings_of(subject: RunSubject) -> Findings:
    """Look into a network at work on a subject.

    Raises:
        UserError: an image is broken, or no pixel of the person is seen in a frame.
    """
    graph, model, body, capture = subject.graph, subject.model, subject.source.body, subject.source.capture
    layers = attention_of(model, graph)
    frame, count = graph["gaussian"].frame, len(subject.frames)
    bindings = _edges_of(graph, BINDS)
    v_shaped = body.shaped_vertices(graph["betas"][0])

    def reach(layer: Attention) -> InterFindings:
        apart = (v_shaped[layer.source] - v_shaped[layer.target]).norm(dim=-1)
        hops = hop_distances(layer, body.faces, subject.spec.hops)
        hops, metres = mean_of_sources(layer, torch.stack([hops, apart], 1)).unbind(1)
        return InterFindings(layer.block, hops, 100 * metres, relative_entropy(layer))

    neighbours = _edges_of(graph, NEAR)
    before = DirectBinding().avatar(graph)
    after = model.avatar(graph)
    pose, unseen = _shown_pose(capture)
    shown = _shown_cameras(subject.source)
    cameras, truth, _ = load_target(capture, Target(pose, shown))
    rendered = [
        render(avatar.repose(body, capture.poses[[pose]])[0], cameras).rgb.clamp(0, 1) for avatar in (before, after)
    ]
    names = [capture.camera_names[camera] for camera in shown]
    return Findings(
        subject=capture.name,
        frames=tuple(capture.frames[frame] for frame in subject.frames),
        vertices=v_shaped,
        faces=body.faces,
        bound=bindings.degree,
        even_shares=frame_shares(bindings.even(), frame, count),
        intra=tuple(IntraFindings(x.block, frame_shares(x, frame, count), relative_entropy(x)) for x in layers.intra),
        even_inter=reach(neighbours.even()),
        inter=tuple(reach(layer) for layer in layers.inter),
        changes=read_out_changes(before.gaussians, after.gaussians),
        binding=before.binding,
        pose=capture.frames[pose],
        unseen=unseen,
        views=tuple(View(*view) for view in zip(names, truth, *rendered, strict=True)),
        left_out=_left_out(model, layers, unseen),
        of_t0=subject.spec.is_papers,
    )


def _shown_pose(capture: Capture) -> tuple[int, bool]:
    """The middle one of the frames that are never input, by position; the only frame where there are none."""
    first, count = input_range(capture), len(capture.frames)
    return (first + (count - first) // 2, True) if first < count else (count - 1, False)


def _shown_cameras(source: FrameSource) -> tuple[int, ...]:
    """A camera, one that is not an input where there are such, and the one across from it."""
    every = range(len(source.capture.cameras))
    return opposite_cameras(source.capture, [c for c in every if c not in source.cameras] or every)


def _edges_of(graph: HeteroData, relation: EdgeType) -> Attention:
    """The edges of a relation, all of weight one; none where the graph lacks the relation."""
    there = relation in graph.edge_types
    source, target = graph[relation].edge_index if there else torch.empty(2, 0, dtype=torch.int64)
    return Attention(0, source, target, torch.ones(len(source), 1, 1), graph["vertex"].num_nodes)


def _left_out(model: HGGNet, layers: AttentionLayers, unseen: bool) -> tuple[str, ...]:
    """What cannot be shown of this network, and why."""
    reasons = []
    if not len(model.blocks):
        reasons.append("attention: this network has no blocks (L = 0), only the read-out")
    else:
        of_paper = {BINDS: "attention to Gaussians", NEAR: "attention to neighbours"}
        for relation, what in of_paper.items():
            if relation not in model.config.edge_types:
                reasons.append(f"{what}: this network's graph has no relation {relation[1]}")
        reasons += [f"attention along {relation[1]}: {why}" for relation, why in layers.missing.items()]
        others = [relation[1] for relation in layers.layers if relation not in of_paper]
        reasons += [f"attention along {name}: there is no page for it, attention_of has the weights" for name in others]
    if not unseen:
        reasons.append("an unseen pose: the capture has a single frame, so its input is shown")
    return tuple(reasons)
