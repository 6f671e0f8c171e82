"""What a network gets of a clip: its graph and, if it looks at them, images of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.body import PosedBody
from hgg_pyg.data.anchored import seen_in_frames
from hgg_pyg.data.clips import Target, clip_graph, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.people import NOBODY
from hgg_pyg.data.views import opposite_cameras
from hgg_pyg.model.feedback import InputImages, add_feedback
from hgg_pyg.types import Cameras, Gaussians, UserError


class HearsFeedback(Protocol):
    """A network, or its configuration: how many input frames' images it is told about, how often, along which axes."""

    @property
    def feedback(self) -> int: ...

    @property
    def rounds(self) -> int: ...

    @property
    def shift(self) -> str: ...


@dataclass(frozen=True)
class ClipInput:
    """A clip in memory."""

    graph: HeteroData
    images: InputImages | None


def load_clip(
    source: FrameSource,
    frames: Sequence[int],
    spec: GraphSpec,
    ref_frame: int = 0,
    images: int = 0,
    gaussians: Sequence[Gaussians] | None = None,
) -> ClipInput:
    """The graph of some frames of a capture, see `clip_graph`, and images of them.

    Args:
        source: the capture and which of its cameras are input.
        frames: T frames by position in the capture.
        spec: which edges the graph has.
        ref_frame: t0, the position among the T frames of the one that the avatar is made of.
        images: F, of how many frames images come along: spread evenly from the first to the last. Two cameras across
            from each other see each of them, and others the next.
        gaussians: those of the frames; from the cache if None.

    Raises:
        UserError: a file is broken, or of another size, or a frame has no Gaussians.
    """
    poses = source.capture.poses[list(frames)]
    posed = source.body.pose(poses)
    if gaussians is None:
        gaussians = [source.load(frame) for frame in frames]
    for frame, found in zip(frames, gaussians, strict=True):
        if not len(found):
            where = f"{source.capture.root}: frame {source.capture.frames[frame]}"
            raise UserError(f"{where}: expected Gaussians of it, found none: {source.lacking(frame) or NOBODY}")
    seen = None
    if spec.needs_seen:
        views = [source.capture.views(frame, list(source.cameras)) for frame in frames]
        seen = seen_in_frames(source.body, posed, views)
    graph = clip_graph(gaussians, posed, source.body.faces, poses.betas, spec, ref_frame, seen)
    return ClipInput(graph, _load_images(source, frames, posed, images) if images else None)


def graph_for(clip: ClipInput, model: HearsFeedback, device: str | torch.device = "cpu") -> HeteroData:
    """A clip's graph on a device, with feedback if the network takes it; the clip must then have images.

    A network that looks more than once finds them as the graph's `images`. The clip itself stays as and where it is.
    """
    graph = copy(clip.graph).to(str(device))  # PyG moves a graph, and adds to it, in place
    if model.feedback and clip.images is not None:
        images = clip.images.to(device)
        add_feedback(graph, images, model.shift == "surface")
        if model.rounds > 1:
            graph.images = images
    return graph


def graph_of(
    source: FrameSource,
    frames: Sequence[int],
    spec: GraphSpec,
    model: HearsFeedback,
    device: str | torch.device = "cpu",
    gaussians: Sequence[Gaussians] | None = None,
) -> HeteroData:
    """What a network makes an avatar of: per-frame Gaussians, their graph, and feedback if the network takes it.

    Args:
        source: the capture, with the poses that the avatar is to be made by, and which of its cameras are input.
        frames: T frames by position in the capture; the first is t0.
        spec: which edges the graph has.
        model: the network.
        device: that the graph goes to.
        gaussians: those of the frames, where they are at hand; else they are predicted, past the cache.

    Raises:
        UserError: as `load_clip`.
    """
    gaussians = source.predict_all(frames) if gaussians is None else gaussians
    return graph_for(load_clip(source, frames, spec, images=model.feedback, gaussians=gaussians), model, device)


def _load_images(source: FrameSource, frames: Sequence[int], posed: PosedBody, count: int) -> InputImages:
    rows = np.linspace(0, len(frames) - 1, count).round().astype(int).tolist()
    pairs = [opposite_cameras(source.capture, source.cameras, i) for i in range(count)]
    views, rgb, alpha = zip(
        *(load_target(source.capture, Target(frames[row], pair)) for row, pair in zip(rows, pairs, strict=True)),
        strict=True,
    )
    return InputImages(
        vertex_transforms=posed.vertex_transforms[rows],
        cameras=Cameras.stack(views),
        rgb=torch.stack(rgb),
        alpha=torch.stack(alpha),
    )
