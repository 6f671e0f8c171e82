from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Batch

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.body import pose_gaussians
from hgg_pyg.data import frame_sources, load_clip, open_captures
from hgg_pyg.data.clip_input import ClipInput, graph_for
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.feedback import _LEAST_WEIGHT, _UNITS, FEEDBACK_DIM, add_feedback
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.residual import apply_residual
from hgg_pyg.render import render
from hgg_pyg.types import Gaussians

SPEC = GraphSpec(hops=1)


@pytest.fixture(scope="module")
def source(tiny_captures, body, tmp_path_factory):
    captures = open_captures(tiny_captures, 32, body)
    cache = tmp_path_factory.mktemp("cache")
    return frame_sources(captures.train, 4, make_backbone(BackboneConfig()), body, cache)[0]


@pytest.fixture
def clip(source) -> ClipInput:
    return load_clip(source, [0, 2, 3], SPEC, ref_frame=1, images=2)


def bound_of(graph) -> Gaussians:
    start = graph["avatar"]
    return Gaussians(start.pos, start.quats, start.scales, start.opacities, start.colors)


def render_views(gaussians, images, binding):
    """Image by image, as `add_feedback` renders them at once."""
    for f, vertex_transforms in enumerate(images.vertex_transforms):
        views = images.cameras[f : f + 1].map(lambda part: part[0])
        yield render(pose_gaussians(gaussians, vertex_transforms, binding), views)


def error(graph, images, delta, axes):
    """E of `add_feedback`."""
    changed = apply_residual(bound_of(graph), delta, axes)
    rendered = render_views(changed, images, graph["avatar"].binding)
    parts = zip(rendered, images.rgb, images.alpha, strict=True)
    return sum(0.5 * ((d.rgb - rgb).square().sum() + (d.alpha - alpha).square().sum()) for d, rgb, alpha in parts)


def decode(feedback):
    """Features back to gradients and weights."""
    weight = feedback[:, -1:].expm1()
    step = feedback[:, :-1].sign() * feedback[:, :-1].abs().expm1()
    gradient = -step * feedback.new_tensor(_UNITS) * (weight + _LEAST_WEIGHT)
    return torch.cat([gradient[:, :3], torch.zeros_like(gradient[:, :3]), gradient[:, 3:]], 1), weight


def double(clip: ClipInput) -> ClipInput:
    graph, images = clip.graph.clone(), clip.images
    for name in ("pos", "quats", "scales", "opacities", "colors", "axes"):
        graph["avatar"][name] = graph["avatar"][name].double()
    images = replace(
        images,
        vertex_transforms=images.vertex_transforms.double(),
        cameras=images.cameras.to(torch.float64),
        rgb=images.rgb.double(),
        alpha=images.alpha.double(),
    )
    return ClipInput(graph, images)


@pytest.mark.parametrize("surface", [False, True])
def test_feedback_is_the_gradient_of_the_error_in_the_input_images(clip, surface):
    clip = double(clip)
    graph, images = clip.graph, clip.images
    add_feedback(graph, images, surface)
    gradient, weight = decode(graph["avatar"].feedback)
    axes = graph["avatar"].axes if surface else None
    generator = torch.Generator().manual_seed(0)
    for channels in (slice(0, 3), slice(6, 9), slice(9, 10), slice(10, 13)):
        direction = torch.zeros_like(gradient)
        direction[:, channels] = torch.randn(direction[:, channels].shape, generator=generator, dtype=torch.float64)
        step = 1e-9 * direction  # small: what is fainter than 1/255 is not rendered, a jump that no gradient knows of
        rise = (error(graph, images, step, axes) - error(graph, images, -step, axes)) / 2e-9
        assert (gradient * direction).sum().item() == pytest.approx(rise.item(), rel=1e-3, abs=1e-6)
    covered = sum(
        rendered.alpha.sum().item() for rendered in render_views(bound_of(graph), images, graph["avatar"].binding)
    )
    assert weight.min() >= 0
    assert weight.sum().item() == pytest.approx(covered, rel=1e-6)


def test_a_vertex_hears_the_sum_of_its_gaussians(clip):
    add_feedback(clip.graph, clip.images, True)
    of_gaussians, of_vertices = (decode(clip.graph[kind].feedback) for kind in ("avatar", "vertex"))
    binding = clip.graph["avatar"].binding
    for mine, theirs in zip(of_vertices, of_gaussians, strict=True):
        expected = torch.zeros_like(mine).index_add_(0, binding, theirs)
        torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-3)
    assert (clip.graph["vertex"].feedback[torch.bincount(binding, minlength=len(of_vertices[0])) == 0] == 0).all()


def test_where_direct_binding_is_right_there_is_nothing_to_say(clip):
    graph, images = clip.graph, clip.images
    rendered = render(
        pose_gaussians(bound_of(graph), images.vertex_transforms, graph["avatar"].binding), images.cameras
    )
    add_feedback(graph, replace(images, rgb=rendered.rgb, alpha=rendered.alpha), True)
    for kind in ("avatar", "vertex"):
        assert graph[kind].feedback.shape == (graph[kind].num_nodes, FEEDBACK_DIM)
        assert graph[kind].feedback[:, :-1].abs().max() < 1e-3
        assert graph[kind].feedback[:, -1].max() > 0.1


def test_images_are_of_input_frames_by_input_cameras(source):
    frames = [0, 1, 2, 3]
    clip = load_clip(source, frames, SPEC, images=2)
    assert clip.images is not None
    assert clip.images.rgb.shape[:2] == clip.images.cameras.viewmats.shape[:2] == (2, 2)
    first, second, third, fourth = source.cameras
    for f, (frame, pair) in enumerate(((0, (first, third)), (3, (second, fourth)))):
        torch.testing.assert_close(clip.images.cameras.viewmats[f], source.capture.cameras.viewmats[list(pair)])
        mask = torch.from_numpy(source.capture.mask(frame, pair[1]))
        assert torch.equal(clip.images.alpha[f, 1, ..., 0], mask)
    assert load_clip(source, frames, SPEC).images is None
    alone = replace(source, cameras=source.cameras[:1])
    assert load_clip(alone, frames, SPEC, images=1).images.rgb.shape[:2] == (1, 1)


def test_a_network_that_hears_feedback(source, clip):
    config = ModelConfig(
        num_layers=1, hidden_channels=8, heads=2, in_channels=source.backbone.feature_dim, shift="surface", feedback=2
    )
    model = HGGNet(config)
    with pytest.raises(ValueError, match="feedback"):
        model(clip.graph)
    other = load_clip(source, [1, 3, 0], SPEC, images=2)
    graphs = [graph_for(part, config, "cpu") for part in (clip, other)]
    assert "feedback" not in clip.graph["avatar"]  # a clip stays as it is
    assert torch.equal(model(graphs[0]).means, graphs[0]["avatar"].pos)  # untrained: direct binding
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    together = model(Batch.from_data_list(graphs)).means
    torch.testing.assert_close(together, torch.cat([model(graph).means for graph in graphs]), atol=1e-5, rtol=1e-4)
    for kind in ("avatar", "vertex"):
        deaf = graphs[0].clone()
        deaf[kind].feedback = torch.zeros_like(deaf[kind].feedback)
        assert not torch.allclose(model(deaf).means, model(graphs[0]).means)


def test_direct_binding_hears_of_nothing(clip):
    graph = graph_for(clip, DirectBinding(), "cpu")
    assert "feedback" not in graph["avatar"]
    assert torch.equal(DirectBinding()(graph).means, graph["avatar"].pos)
