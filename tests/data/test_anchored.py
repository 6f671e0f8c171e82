"""Anchors of several frames in one rest pose, and what the network makes of those that are born."""

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from graphs import GraphSpec
from hgg_pyg.body import pose_gaussians, unpose_gaussians
from hgg_pyg.body.visibility import seen_vertices
from hgg_pyg.data.anchored import seen_in_frames
from hgg_pyg.data.clips import clip_graph
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.types import BodyPose, Cameras, Gaussians

BEST = GraphSpec(hops=1, anchors="best-seen", born=True)


@pytest.fixture(scope="module")
def clip(body):
    """Three poses; frame 0 sees what is in front of the spine, frame 1 what is behind it, both without the feet."""
    torch.manual_seed(5)
    pose = BodyPose(torch.randn(10), 0.3 * torch.randn(3, 3), 0.2 * torch.randn(3, 69), torch.randn(3, 3))
    posed = body.pose(pose)
    z, y = posed.v_shaped[:, 2], posed.v_shaped[:, 1]
    upper = y > y.min() + 0.25
    seen = torch.stack([(z > 0.0) & upper, (z <= 0.0) & upper, torch.zeros_like(upper)]).float()
    frames = []
    for t in range(3):
        means = posed.vertices[t, seen[t] > 0] if t < 2 else posed.vertices[t, seen[0] > 0][:50]
        count = len(means)
        frames.append(
            Gaussians(
                means,
                torch.nn.functional.normalize(torch.randn(count, 4), dim=1),
                0.01 + 0.01 * torch.rand(count, 3),
                0.5 + 0.5 * torch.rand(count),
                torch.rand(count, 3),
                torch.randn(count, 6),
            )
        )
    return frames, posed, pose, seen


def graph_of(clip, body, spec: GraphSpec = BEST, ref_frame: int = 0):
    frames, posed, pose, seen = clip
    return clip_graph(frames, posed, body.faces, pose.betas, spec, ref_frame, seen)


def start_of(graph) -> Gaussians:
    return DirectBinding()(graph)


def test_each_is_unposed_by_its_own_frame(clip, body) -> None:
    """Posed as in their own frames, all lie where they came from; those that are born lie on their vertices."""
    frames, posed, _, _ = clip
    graph = graph_of(clip, body)
    start, binding = start_of(graph), graph["avatar"].binding
    back = [pose_gaussians(start, posed.vertex_transforms[t], binding) for t in range(3)]
    left = torch.ones(len(start), dtype=torch.bool)
    for t in (0, 1):
        matches = (back[t].means[:, None] - frames[t].means[None]).norm(dim=-1).min(1)
        mine = (matches.values < 1e-5) & (start.colors == frames[t].colors[matches.indices]).all(1)
        assert mine.sum() > 0.3 * len(frames[t])
        assert torch.equal(start.opacities[mine], frames[t].opacities[matches.indices[mine]])
        left &= ~mine
    assert 100 < left.sum() < 3000
    assert torch.allclose(back[2].means[left], posed.vertices[2, binding[left]], atol=1e-5)
    assert torch.equal(left, torch.arange(len(left)) >= len(left) - left.sum())  # they come last
    flat = start.scales[left]
    assert torch.allclose(flat[:, 2], 0.3 * flat[:, 0])
    assert 0.001 < flat.median() < 0.03


@pytest.mark.parametrize("ref_frame", [0, 1])
def test_the_papers_anchors_are_one_frames_gaussians_bit_for_bit(ref_frame: int, clip, body) -> None:
    frames, posed, _, _ = clip
    graph = graph_of(clip, body, replace(BEST, tell_seen=True).direct(), ref_frame)
    alone = unpose_gaussians(frames[ref_frame], posed.vertex_transforms[ref_frame], graph["avatar"].binding)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(start_of(graph), name), getattr(alone, name))
    assert torch.equal(graph["avatar"].x, frames[ref_frame].features)


@pytest.fixture
def network(clip, body):
    graph = graph_of(clip, body, replace(BEST, tell_seen=True))
    torch.manual_seed(0)
    return HGGNet(ModelConfig(hidden_channels=16, heads=2, conv="attention").for_graph(graph, 24)), graph


def test_an_untrained_network_returns_the_anchors(network) -> None:
    model, graph = network
    found, start = model(graph), start_of(graph)
    assert all(torch.equal(getattr(found, name), getattr(start, name)) for name in ("means", "scales", "colors"))


def heard_by_born(model: HGGNet, graph) -> Tensor:
    """How much the Gaussians of all frames can change those that are born."""
    torch.nn.init.normal_(cast(nn.Linear, model.head[-1]).weight)
    x = graph["gaussian"].x.clone().requires_grad_()
    graph["gaussian"].x = x
    born = graph["avatar"].x[:, -1] == 1
    assert born.any()
    model(graph).means[born].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    return x.grad.abs().sum()


def test_those_that_are_born_hear_of_others_over_the_mesh_alone(clip, body, network) -> None:
    """No Gaussian binds to their vertices: without the inter-node operation nothing of any frame reaches them."""
    model, graph = network
    assert heard_by_born(model, graph) > 0
    alone = graph_of(clip, body, replace(BEST, tell_seen=True, relations=("binds",)))
    config = ModelConfig(hidden_channels=16, heads=2, conv="attention").for_graph(alone, 24)
    assert heard_by_born(HGGNet(config), alone) == 0


def test_what_is_seen_is_the_best_cameras_and_the_nearest_frames(clip, body) -> None:
    _, posed, _, _ = clip
    views = []
    for vertices, distance in zip(posed.vertices, (2.0, 4.0, 4.0), strict=True):
        view = torch.eye(4).repeat(2, 1, 1)
        view[:, :3, :3] = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, -1, 1]]))
        view[:, :3, 3] = -(view[:, :3, :3] @ vertices.mean(0)) + torch.tensor([0, 0, distance])
        K = torch.tensor([[60.0, 0, 64], [0, 60, 64], [0, 0, 1]])
        views.append(Cameras(view, K.repeat(2, 1, 1), 128, 128))
    seen = seen_in_frames(body, posed, views)
    assert seen.shape == posed.vertices.shape[:2]
    assert torch.equal(seen, seen_in_frames(body, posed, views))  # as it is remembered
    alone = torch.stack([seen_vertices(v, body.faces, c).amax(0) for v, c in zip(posed.vertices, views, strict=True)])
    assert torch.allclose(seen[0], alone[0], atol=0.01)
    assert torch.allclose(seen[1], alone[1] / 2, atol=0.01)
    assert (seen[0] > 0.1).float().mean() > 0.6  # from the front and from behind
