"""Everything that is found out about one run on one subject, as numbers a vertex, a Gaussian and a pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphs import BINDS
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clips import Target, input_range, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.views import opposite_cameras
from hgg_pyg.evaluation.inspection.attention import (
    Attention,
    attention_of,
    frame_shares,
    hop_distances,
    mean_of_sources,
    relative_entropy,
)
from hgg_pyg.evaluation.inspection.changes import Change, read_out_changes
from hgg_pyg.evaluation.inspection.subject import RunSubject
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.model.network import HumanGaussianGraph
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
    """What a network makes of a subject: N vertices, T frames with P Gaussians in all, M of them in frame t0."""

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


@torch.no_grad()
def findings_of(subject: RunSubject) -> Findings:
    """Look into a network at work on a subject.

    Raises:
        UserError: an image is broken, or no pixel of the person is seen in a frame.
    """
    graph, model, body, capture = subject.graph, subject.model, subject.source.body, subject.source.capture
    layers = attention_of(model, graph)
    frame, count = graph["gaussian"].frame, len(subject.frames)
    edges = graph[BINDS].edge_index
    bindings = Attention(0, edges[0], edges[1], torch.ones(edges.shape[1], 1, 1), body.num_vertices)
    rest = body.rest_vertices(graph["betas"])

    def reach(layer: Attention) -> InterFindings:
        apart = (rest[layer.source] - rest[layer.target]).norm(dim=-1)
        hops = hop_distances(layer, body.faces, subject.spec.hops)
        hops, metres = mean_of_sources(layer, torch.stack([hops, apart], 1)).unbind(1)
        return InterFindings(layer.block, hops, 100 * metres, relative_entropy(layer))

    near = graph["vertex", "near", "vertex"].edge_index
    neighbours = Attention(0, near[0], near[1], torch.ones(near.shape[1], 1, 1), body.num_vertices)
    before = HumanGaussianGraph(replace(model.config, variant="baseline")).avatar(graph)
    after = model.avatar(graph)
    pose, unseen = _shown_pose(capture)
    shown = _shown_cameras(subject.source)
    cameras, truth, _ = load_target(capture, Target(pose, shown))
    drawn = [
        render(avatar.repose(body, capture.poses[[pose]])[0], cameras).rgb.clamp(0, 1) for avatar in (before, after)
    ]
    names = [capture.camera_names[camera] for camera in shown]
    return Findings(
        subject=capture.name,
        frames=tuple(capture.frames[frame] for frame in subject.frames),
        vertices=rest,
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
        views=tuple(View(*view) for view in zip(names, truth, *drawn, strict=True)),
        left_out=_left_out(model, unseen),
    )


def _shown_pose(capture: Capture) -> tuple[int, bool]:
    """The middle one of the frames that are never input, by position; the only frame where there are none."""
    first, count = input_range(capture), len(capture.frames)
    return (first + (count - first) // 2, True) if first < count else (count - 1, False)


def _shown_cameras(source: FrameSource) -> tuple[int, ...]:
    """A camera, one that is not an input where there are such, and the one across from it."""
    every = range(len(source.capture.cameras))
    return opposite_cameras(source.capture, [c for c in every if c not in source.cameras] or every)


def _left_out(model: HumanGaussianGraph, unseen: bool) -> tuple[str, ...]:
    config = model.config
    reasons = []
    if config.variant == "baseline":
        reasons.append("attention: this is direct binding, which has no layers and no read-out")
    elif config.layers == 0:
        reasons.append("attention: this network has no blocks (L = 0), only the read-out")
    elif config.variant == "no_intra":
        reasons.append("attention to Gaussians: this network has no intra layers")
    elif config.variant == "no_inter":
        reasons.append("attention to neighbours: this network has no inter layers")
    if not unseen:
        reasons.append("an unseen pose: the capture has a single frame, so its input is shown")
    return tuple(reasons)
