"""Clips: which frames are joined in a graph, which images supervise it, and the graph itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs import ClipNodes, GraphSpec, build_graph
from hgg_pyg.body import PosedBody
from hgg_pyg.config import ClipConfig
from hgg_pyg.data.anchored import avatar_nodes
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.choosing import chosen_frames, even_frames
from hgg_pyg.data.images import put_on_white
from hgg_pyg.types import Cameras, Gaussians


@dataclass(frozen=True)
class Target:
    """Images of one frame that an avatar is compared with."""

    frame: int  # position in the capture
    cameras: tuple[int, ...]


@dataclass(frozen=True)
class ClipPlan:
    """One clip by positions in its capture; nothing is loaded yet."""

    frames: tuple[int, ...]  # T, joined in the graph
    ref_frame: int  # t0, the position in `frames` of the one that the avatar is made of
    targets: tuple[Target, ...]


def input_range(capture: Capture) -> int:
    """Frames before this one may be input; those from it on, the last quarter, are the novel poses."""
    count = len(capture.frames)
    return max(1, count - max(1, count // 4))


def sample_clip(
    num_frames: int,
    num_cameras: int,
    input_cameras: Sequence[int],
    config: ClipConfig,
    rng: np.random.Generator,
    even: bool = False,
    looks: np.ndarray | None = None,
) -> ClipPlan:
    """Draw a training clip: a random frame from each of T even parts, a random t0, and images to be compared with.

    With `even`, the T frames are evenly spread over all, always the same ones. With `looks` [F, V, 3], see `choosing`,
    they are chosen as `config.choose` says, from a random half of the frames or, with `even`, from all. Target frames
    are any frames of the capture. Of each one's images half come from input cameras, half from others (all from input
    cameras where there are no others).
    """
    frames = even_frames(0, num_frames, config.frames)
    if looks is not None:
        some = num_frames if even else max(len(frames), (num_frames + 1) // 2)
        drawn = np.sort(rng.choice(num_frames, some, replace=False))
        frames = tuple(int(drawn[i]) for i in chosen_frames(config.choose, looks[drawn], config.frames))
    elif not even:
        edges = np.linspace(0, num_frames, len(frames) + 1)
        frames = tuple(int(rng.integers(int(np.ceil(a)), int(np.ceil(b)))) for a, b in pairwise(edges))
    others = [c for c in range(num_cameras) if c not in input_cameras]
    views = config.target_views // config.target_poses
    from_others = min(views // 2, len(others))
    from_input = min(views - from_others, len(input_cameras))
    targets = []
    for frame in rng.choice(num_frames, config.target_poses, replace=num_frames < config.target_poses).tolist():
        cameras = [*rng.choice(input_cameras, from_input, replace=False)]
        cameras += [*rng.choice(others, from_others, replace=False)] if from_others else []
        targets.append(Target(frame, tuple(int(c) for c in cameras)))
    return ClipPlan(frames, int(rng.integers(len(frames))), tuple(targets))


def load_target(capture: Capture, target: Target) -> tuple[Cameras, Tensor, Tensor]:
    """The cameras of a target, its images on white and its masks.

    Returns:
        V cameras, rgb [V, H, W, 3], alpha [V, H, W, 1]
    """
    cameras, (width, height) = list(target.cameras), capture.size()
    rgb = np.empty((len(cameras), height, width, 3), np.float32)
    alpha = np.empty((len(cameras), height, width, 1), np.float32)
    for view, camera in enumerate(cameras):
        alpha[view, ..., 0] = capture.mask(target.frame, camera)
        put_on_white(capture.image(target.frame, camera), alpha[view, ..., 0], rgb[view])
    return capture.views(target.frame, cameras), torch.from_numpy(rgb), torch.from_numpy(alpha)


def clip_graph(
    frames: Sequence[Gaussians],
    posed: PosedBody,
    faces: Tensor,
    betas: Tensor,
    spec: GraphSpec = GraphSpec(),  # noqa: B008  (frozen)
    ref_frame: int = 0,
    seen: Tensor | None = None,
) -> HeteroData:
    """The Human Gaussian Graph of a clip, with the Gaussians that the avatar starts from as a third node type.

    Args:
        frames: T times [M_t] Gaussians in world metres, with features.
        posed: the body in the T poses.
        faces: [F, 3]
        betas: [B] the person's shape.
        spec: which edges there are.
        ref_frame: t0, the position of the frame that the avatar is made of.
        seen: [T, N] how well each frame sees each vertex, see `seen_in_frames`; all alike if None.

    Returns:
        What `graphs.build_graph` gives; each Gaussian of the avatar moves with its nearest vertex, and has that
        vertex's normal and tangents (see `tangent_frames`) as axes.

    Raises:
        ValueError: shapes do not fit one another, or there are no features.
    """
    features = [frame.features for frame in frames if frame.features is not None]
    means = [frame.means for frame in frames]
    if spec.needs_seen and seen is None:
        seen = torch.ones(posed.vertices.shape[:2], device=posed.vertices.device)
    nodes = ClipNodes.from_frames(means, features, posed.vertices, faces, posed.v_shaped, ref_frame, spec, seen)
    return build_graph(nodes, avatar_nodes(nodes, frames, posed, betas))
