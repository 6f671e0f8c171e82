from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Batch

from graphs import GraphSpec
from hgg_pyg.body import pose_gaussians, tangent_frames, unpose_gaussians
from hgg_pyg.config import ModelConfig
from hgg_pyg.data.clips import clip_graph
from hgg_pyg.model.network import HumanGaussianGraph
from hgg_pyg.model.residual import apply_residual
from hgg_pyg.types import UserError

CONFIG = ModelConfig(layers=2, dim=8, heads=2, feature_dim=6)
SPEC = GraphSpec(k=1, hops=1, readout_k=2)


@pytest.fixture
def make_clip(body, make_pose, make_frames):
    def make(frames: int = 2, count: int | list[int] = 300, seed: int = 0, spec: GraphSpec = SPEC, ref_frame: int = 0):
        pose = make_pose(frames, seed)
        gaussians = make_frames(pose, count, seed=seed)
        return clip_graph(gaussians, body.pose(pose), body.faces, pose.betas, spec, ref_frame), gaussians, pose

    return make


def disturb(model: HumanGaussianGraph, seed: int = 0) -> HumanGaussianGraph:
    """Away from the zero start: every weight drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("options", [{}, {"shift": "surface"}])
@pytest.mark.parametrize("variant", ["full", "no_intra", "no_inter", "baseline"])
def test_untrained_model_is_direct_binding_bit_for_bit(make_clip, body, variant, options):
    graph, frames, pose = make_clip(ref_frame=1)
    model = HumanGaussianGraph(replace(CONFIG, variant=variant, **options))
    refined = model(graph)
    posed = body.pose(pose)
    direct = unpose_gaussians(frames[1], posed.vertex_transforms[1], graph["avatar"].binding)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(refined, name), getattr(direct, name)), name
    back = pose_gaussians(refined, posed.vertex_transforms[1], graph["avatar"].binding)
    assert torch.allclose(back.means, frames[1].means, atol=1e-5)


def test_the_shift_is_in_the_axes_that_it_says(make_clip, body):
    graph, _, pose = make_clip()
    normals = tangent_frames(body.shaped_vertices(pose.betas), body.faces)[graph["avatar"].binding, :, 0]
    moved = {}
    for shift in ("rest", "surface"):
        model = HumanGaussianGraph(replace(CONFIG, shift=shift))
        with torch.no_grad():
            model.head[-1].bias[0] = 0.4
        refined = model(graph)
        moved[shift] = refined.means - graph["avatar"].pos
    torch.testing.assert_close(moved["rest"], torch.tensor([0.02, 0, 0]).expand_as(normals), atol=1e-6, rtol=0)
    torch.testing.assert_close(moved["surface"], 0.02 * normals, atol=1e-6, rtol=0)


def test_variants_hold_what_their_name_says():
    def parts(variant):
        names = {name for name, _ in HumanGaussianGraph(replace(CONFIG, variant=variant)).named_parameters()}
        return any(".intra." in n for n in names), any(".inter." in n for n in names), "queries" in names

    assert parts("full") == (True, True, True)
    assert parts("no_intra") == (False, True, True)
    assert parts("no_inter") == (True, False, True)
    assert parts("baseline") == (False, False, False)
    layers = [len(HumanGaussianGraph(replace(CONFIG, layers=n)).blocks) for n in (0, 1, 6)]
    assert layers == [0, 1, 6]


def test_other_frames_reach_the_avatar_only_through_the_intra_layer(make_clip):
    graph, *_ = make_clip()
    changed = graph.clone()
    changed["gaussian"].x = torch.where(graph["gaussian"].frame[:, None] == 1, 0.0, graph["gaussian"].x)
    for variant, reached in (("full", True), ("no_inter", True), ("no_intra", False)):
        model = disturb(HumanGaussianGraph(replace(CONFIG, variant=variant)))
        assert torch.equal(model(graph).means, model(changed).means) != reached, variant


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("tokens", [1, 3])
def test_folded_fused_and_by_messages_it_is_one_model(make_clip, k, tokens):
    """The same weights run in every way, one Gaussian bound to one vertex or to two: values and gradients."""
    graph, *_ = make_clip(spec=replace(SPEC, k=k))
    by_messages = replace(CONFIG, tokens=tokens, attention="scatter", fold=False)
    slow = disturb(HumanGaussianGraph(by_messages))
    wanted = slow(graph)
    gradients = torch.autograd.grad(wanted.means.square().sum(), list(slow.parameters()), allow_unused=True)
    for attention, fold in (("scatter", True), ("fused", False), ("fused", True), ("auto", True)):
        fast = HumanGaussianGraph(replace(by_messages, attention=attention, fold=fold))
        fast.load_state_dict(slow.state_dict())
        refined = fast(graph)
        torch.testing.assert_close(refined.means, wanted.means, rtol=1e-5, atol=1e-5)
        got = torch.autograd.grad(refined.means.square().sum(), list(fast.parameters()), allow_unused=True)
        for ours, theirs in zip(got, gradients, strict=True):
            if theirs is not None:
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * max(1.0, float(theirs.abs().max())))


def test_features_stored_in_bfloat16_change_little(make_clip):
    graph, *_ = make_clip()
    exact = disturb(HumanGaussianGraph(CONFIG))
    stored = HumanGaussianGraph(replace(CONFIG, storage="bfloat16"))
    stored.load_state_dict(exact.state_dict())
    wanted, got = exact(graph).means, stored(graph).means
    assert not torch.equal(got, wanted)
    torch.testing.assert_close(got, wanted, rtol=1e-2, atol=1e-3)
    graph["gaussian"].x = graph["gaussian"].x.bfloat16().float()
    torch.testing.assert_close(stored(graph).means, exact(graph).means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["transformer_conv", "gatv2_conv"])
def test_layers_of_pyg_can_stand_in(make_clip, layer):
    graph, *_ = make_clip()
    model = disturb(HumanGaussianGraph(replace(CONFIG, layer=layer, tokens=2)))
    model(graph).means.square().sum().backward()
    trained = [p for name, p in model.named_parameters() if ".conv." in name and p.requires_grad]
    assert len(trained) >= 4
    assert all(p.grad is not None for p in trained)


def test_every_weight_is_trained(make_clip):
    graph, *_ = make_clip()
    model = disturb(HumanGaussianGraph(replace(CONFIG, tokens=2)))
    refined = model(graph)
    sum(getattr(refined, n).square().sum() for n in ("means", "quats", "scales", "opacities", "colors")).backward()
    quiet = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Adding the same to all keys changes no softmax: the gradient of a key's bias is zero but for rounding.
    assert [name for name in quiet if not name.endswith("lin_key.bias")] == []


def test_permuting_edges_changes_nothing(make_clip):
    graph, *_ = make_clip()
    model = disturb(HumanGaussianGraph(CONFIG))
    expected = model(graph)
    for kind in graph.edge_types:
        edges = graph[kind].edge_index
        graph[kind].edge_index = edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))]
    found = model(graph)
    assert torch.allclose(found.means, expected.means, atol=1e-6)
    assert torch.allclose(found.colors, expected.colors, atol=1e-5)


def test_a_batch_of_different_subjects_trains_as_one_by_one(make_clip):
    clips = [make_clip(frames=2, count=[200, 130], seed=1)[0], make_clip(frames=3, count=[90, 210, 10], seed=2)[0]]
    model = disturb(HumanGaussianGraph(replace(CONFIG, tokens=2)))

    def backward(outputs):
        model.zero_grad()
        loss = sum((g.means.square().sum() + g.colors.square().sum() + g.opacities.sum()) for g in outputs)
        loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters()}

    single = [model(clip) for clip in clips]
    single_grads = backward(single)
    batch = Batch.from_data_list(clips)
    batch.validate()
    together = model(batch)
    batch_grads = backward([together])
    assert torch.allclose(together.means, torch.cat([g.means for g in single]), atol=1e-6)
    assert torch.allclose(together.colors, torch.cat([g.colors for g in single]), atol=1e-5)
    for name, gradient in single_grads.items():
        scale = gradient.abs().max().clamp_min(1e-2)  # a key's bias cancels in the softmax: its gradient is rounding
        assert (batch_grads[name] - gradient).abs().max() <= 1e-4 * scale, name


def test_zero_residual_changes_nothing_and_small_ones_do_what_they_say(make_frames, make_pose):
    gaussians = make_frames(make_pose(1), 50)[0]
    gaussians = replace(gaussians, opacities=torch.linspace(0, 1, 50))
    same = apply_residual(gaussians, torch.zeros(50, 13))
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(same, name), getattr(gaussians, name)), name
    delta = torch.randn(50, 13, generator=torch.Generator().manual_seed(0))
    moved = apply_residual(gaussians, delta)
    expected = torch.sigmoid(torch.logit(gaussians.opacities[1:-1].double()) + delta[1:-1, 9])
    assert torch.allclose(moved.opacities[1:-1].double(), expected, atol=1e-6)
    assert torch.allclose(moved.quats.norm(dim=-1), torch.ones(50), atol=1e-5)
    assert torch.allclose(moved.means - gaussians.means, 0.05 * delta[:, :3], atol=1e-6)


def test_saved_and_loaded_it_is_the_same(make_clip, tmp_path):
    graph, *_ = make_clip()
    model = disturb(HumanGaussianGraph(CONFIG))
    model.save(tmp_path)
    loaded = HumanGaussianGraph.load(tmp_path)
    assert loaded.config == CONFIG
    assert torch.equal(loaded(graph).means, model(graph).means)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_loading_what_is_not_a_model_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"model\.json: expected a saved model, found nothing"):
        HumanGaussianGraph.load(tmp_path)
    HumanGaussianGraph(CONFIG).save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"dim": 8', '"dim": 16'))
    with pytest.raises(UserError, match=r"model\.safetensors: .*: expected \(.*\) by model\.json, found \("):
        HumanGaussianGraph.load(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json: expected a model configuration"):
        HumanGaussianGraph.load(tmp_path)
    (tmp_path / "model.json").write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="expected a safetensors file"):
        HumanGaussianGraph.load(tmp_path)


def test_a_graph_of_other_features_or_bodies_is_refused(make_clip):
    graph, *_ = make_clip()
    with pytest.raises(ValueError, match="expected 5 features a Gaussian, found 6"):
        HumanGaussianGraph(replace(CONFIG, feature_dim=5))(graph)
    with pytest.raises(ValueError, match="expected a body of 100 vertices, found 6890"):
        HumanGaussianGraph(replace(CONFIG, num_vertices=100))(graph)


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"dim": 0}, {"layers": -1}, {"dropout": 1.0}])
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ValueError, match=f"ModelConfig.{next(iter(wrong))}"):
        replace(CONFIG, **wrong)
