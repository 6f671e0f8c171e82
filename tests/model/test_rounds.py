"""A network that looks at its own result again."""

import pytest
import torch
from torch_geometric.data import Batch

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.data import frame_sources, load_clip, open_captures
from hgg_pyg.data.clip_input import ClipInput, graph_for
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import bound_gaussians
from hgg_pyg.model.feedback import add_feedback
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.residual import apply_residual


@pytest.fixture(scope="module")
def source(tiny_captures, body, tmp_path_factory):
    captures = open_captures(tiny_captures, 32, body)
    return frame_sources(captures.train, 4, make_backbone(BackboneConfig()), body, tmp_path_factory.mktemp("cache"))[0]


@pytest.fixture(scope="module")
def clip(source) -> ClipInput:
    return load_clip(source, [0, 2, 3], GraphSpec(hops=1), images=2)


def make_network(source, rounds: int) -> HGGNet:
    torch.manual_seed(0)
    sizes = {"num_layers": 1, "hidden_channels": 8, "heads": 2, "in_channels": source.backbone.feature_dim}
    model = HGGNet(ModelConfig(**sizes, shift="surface", feedback=2, rounds=rounds))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("head", "round")):
                parameter.copy_(0.05 * torch.randn_like(parameter))
    return model


def test_each_round_goes_on_from_the_last_one(source, clip):
    model = make_network(source, 3)
    graph = graph_for(clip, model)
    found = model(graph)

    start, total = graph_for(clip, model), None
    for turn in range(3):
        add_feedback(start, clip.images, True, total)
        step = model._residuals(start, turn, total)
        total = step if total is None else total + step
    expected = apply_residual(bound_gaussians(graph), total, graph["avatar"].axes)
    torch.testing.assert_close(found.means, expected.means)
    torch.testing.assert_close(found.colors, expected.colors)
    once = graph_for(clip, make_network(source, 1))
    assert torch.equal(graph["avatar"].feedback, once["avatar"].feedback)  # the caller's stays that of the first look


def test_later_feedback_is_of_the_result(source, clip):
    graph = graph_for(clip, make_network(source, 2))
    first = graph["avatar"].feedback.clone()
    darker = torch.zeros(len(first), 13)
    darker[:, 10:] = -0.5
    add_feedback(graph, clip.images, True, darker)
    colours = graph["avatar"].feedback[:, 7:10].mean(0)
    assert (colours > first[:, 7:10].mean(0) + 0.5).all()  # a result that is too dark is told to brighten
    add_feedback(graph, clip.images, True, torch.zeros(len(first), 13))
    assert torch.equal(graph["avatar"].feedback, first)


def test_untrained_it_is_direct_binding_and_all_rounds_are_trained(source, clip):
    torch.manual_seed(0)
    model = make_network(source, 2)
    model.reset_parameters()
    graph = graph_for(clip, model)
    assert torch.equal(model(graph).means, graph["avatar"].pos)
    model = make_network(source, 2)
    model(graph).colors.square().sum().backward()
    assert model.round_offsets is not None
    assert (model.round_offsets.grad.abs().sum(1) > 0).all()


def test_more_rounds_need_images_of_one_person(source, clip):
    with pytest.raises(ValueError, match="rounds: expected 1 without feedback, found 2"):
        ModelConfig(rounds=2)
    model = make_network(source, 2)
    told_once = graph_for(clip, make_network(source, 1))
    with pytest.raises(ValueError, match="expected one graph with its input images, see graph_for; found none"):
        model(told_once)
    with pytest.raises(ValueError, match="found a batch"):
        model(Batch.from_data_list([told_once, told_once]))
