import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch_geometric.data import Batch
from torch_geometric.nn import SAGEConv

from graphs import BINDS, NEAR, GraphSpec
from hgg_pyg.attention import Variant
from hgg_pyg.body import pose_gaussians, tangent_frames, unpose_gaussians
from hgg_pyg.config import settings_of
from hgg_pyg.data.clips import clip_graph
from hgg_pyg.io.tensors import save_tensors
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.residual import apply_residual
from hgg_pyg.nn import ConvChoice
from hgg_pyg.types import UserError

CONFIG = ModelConfig(num_layers=2, hidden_channels=8, heads=2, in_channels=6)
INTRA, INTER = ((*BINDS, 0),), ((*NEAR, 0),)
SPEC = GraphSpec(k=1, hops=1, readout_k=2)


@pytest.fixture
def make_clip(body, make_pose, make_frames):
    def make(frames: int = 2, count: int | list[int] = 300, seed: int = 0, spec: GraphSpec = SPEC, ref_frame: int = 0):
        pose = make_pose(frames, seed)
        gaussians = make_frames(pose, count, seed=seed)
        return clip_graph(gaussians, body.pose(pose), body.faces, pose.betas, spec, ref_frame), gaussians, pose

    return make


def disturb(model: HGGNet, seed: int = 0) -> HGGNet:
    """Away from the zero start: every weight drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("options", [{}, {"shift": "surface"}])
@pytest.mark.parametrize("relations", [INTRA + INTER, INTER, INTRA, None])
def test_untrained_model_is_direct_binding_bit_for_bit(make_clip, body, relations, options):
    graph, frames, pose = make_clip(ref_frame=1)
    model = DirectBinding() if relations is None else HGGNet(replace(CONFIG, relations=relations, **options))
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
        model = HGGNet(replace(CONFIG, shift=shift))
        with torch.no_grad():
            model.head[-1].bias[0] = 0.4
        refined = model(graph)
        moved[shift] = refined.means - graph["avatar"].pos
    torch.testing.assert_close(moved["rest"], torch.tensor([0.02, 0, 0]).expand_as(normals), atol=1e-6, rtol=0)
    torch.testing.assert_close(moved["surface"], 0.02 * normals, atol=1e-6, rtol=0)


def test_a_network_has_the_layers_of_its_relations():
    def parts(relations):
        names = {name for name, _ in HGGNet(replace(CONFIG, relations=relations)).named_parameters()}
        return any(".gaussian__binds__vertex." in n for n in names), any(".vertex__near__vertex." in n for n in names)

    assert parts(INTRA + INTER) == (True, True)
    assert parts(INTER) == (False, True)
    assert parts(INTRA) == (True, False)
    layers = [len(HGGNet(replace(CONFIG, num_layers=n)).blocks) for n in (0, 1, 6)]
    assert layers == [0, 1, 6]


def test_blocks_go_through_relations_in_the_order_of_the_graph(make_clip):
    """Weights are drawn relation by relation: the other order is another network."""
    graph, *_ = make_clip()
    first = disturb(HGGNet(replace(CONFIG, relations=INTRA + INTER)))
    second = HGGNet(replace(CONFIG, relations=INTER + INTRA))
    second.load_state_dict(first.state_dict())
    assert [block.relations for block in second.blocks] == [(NEAR, BINDS)] * 2
    assert not torch.allclose(first(graph).means, second(graph).means, atol=1e-4)


def test_other_frames_reach_the_avatar_only_through_the_intra_layer(make_clip):
    graph, *_ = make_clip()
    changed = graph.clone()
    changed["gaussian"].x = torch.where(graph["gaussian"].frame[:, None] == 1, 0.0, graph["gaussian"].x)
    for relations, reached in ((INTRA + INTER, True), (INTRA, True), (INTER, False)):
        model = disturb(HGGNet(replace(CONFIG, relations=relations)))
        assert torch.equal(model(graph).means, model(changed).means) != reached, relations


def test_configurations_are_fitted_to_a_graph(make_clip):
    graph, *_ = make_clip()
    assert ModelConfig(num_layers=2, hidden_channels=8, heads=2).for_graph(graph) == CONFIG
    graph["vertex", "mirrors", "vertex"].edge_index = graph[NEAR].edge_index
    graph["vertex", "mirrors", "vertex"].edge_attr = torch.randn(graph[NEAR].edge_index.shape[1], 2)
    fitted = CONFIG.for_graph(graph)
    assert fitted.relations == (*INTRA, *INTER, ("vertex", "mirrors", "vertex", 2))
    model = disturb(HGGNet(fitted))
    before = model(graph).means
    graph["vertex", "mirrors", "vertex"].edge_attr += 1
    assert not torch.equal(model(graph).means, before)  # edge features are heard
    with pytest.raises(ValueError, match=r"expected a graph with the relation vertex-mirrors-vertex, found gaussian-b"):
        model(make_clip()[0])


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("num_tokens", [1, 3])
def test_folded_fused_and_by_messages_it_is_one_model(make_clip, k, num_tokens):
    """The same weights run in every way, one Gaussian bound to one vertex or to two: values and gradients."""
    graph, *_ = make_clip(spec=replace(SPEC, k=k))
    by_messages = replace(CONFIG, num_tokens=num_tokens, conv="attention")
    slow = disturb(HGGNet(by_messages))
    wanted = slow(graph)
    gradients = torch.autograd.grad(wanted.means.square().sum(), list(slow.parameters()), allow_unused=True)
    for backend, fold in (("scatter", True), ("fused", False), ("fused", True), ("auto", True)):
        fast = HGGNet(replace(by_messages, conv="fused", backend=backend, fold=fold))
        fast.load_state_dict(slow.state_dict())
        refined = fast(graph)
        torch.testing.assert_close(refined.means, wanted.means, rtol=1e-5, atol=1e-5)
        got = torch.autograd.grad(refined.means.square().sum(), list(fast.parameters()), allow_unused=True)
        for ours, theirs in zip(got, gradients, strict=True):
            if theirs is not None:
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * max(1.0, float(theirs.abs().max())))


def test_features_stored_in_bfloat16_change_little(make_clip):
    graph, *_ = make_clip()
    exact = disturb(HGGNet(CONFIG))
    stored = HGGNet(replace(CONFIG, storage="bfloat16"))
    stored.load_state_dict(exact.state_dict())
    wanted, got = exact(graph).means, stored(graph).means
    assert not torch.equal(got, wanted)
    torch.testing.assert_close(got, wanted, rtol=1e-2, atol=1e-3)
    graph["gaussian"].x = graph["gaussian"].x.bfloat16().float()
    torch.testing.assert_close(stored(graph).means, exact(graph).means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("conv", "options"),
    [
        ("TransformerConv", ("root_weight=False",)),
        ("GATv2Conv", ("bias=False",)),
        ("GeneralConv", ("attention=True",)),
        ("SAGEConv", ("aggr=max",)),
    ],
)
def test_layers_of_pyg_can_stand_in(make_clip, conv, options):
    graph, *_ = make_clip()
    model = disturb(HGGNet(replace(CONFIG, conv=conv, conv_options=options, num_tokens=2)))
    model(graph).means.square().sum().backward()
    trained = {name: p for name, p in model.named_parameters() if ".convs." in name and "lin_skip" not in name}
    assert len(trained) >= 8
    assert [name for name, p in trained.items() if p.grad is None] == []


def test_every_weight_is_trained(make_clip):
    graph, *_ = make_clip()
    model = disturb(HGGNet(replace(CONFIG, num_tokens=2)))
    refined = model(graph)
    sum(getattr(refined, n).square().sum() for n in ("means", "quats", "scales", "opacities", "colors")).backward()
    quiet = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Adding the same to all keys changes no softmax: the gradient of a key's bias is zero but for rounding.
    assert [name for name in quiet if not name.endswith("lin_key.bias")] == []


def test_permuting_edges_changes_nothing(make_clip):
    graph, *_ = make_clip()
    model = disturb(HGGNet(CONFIG))
    expected = model(graph)
    for kind in graph.edge_types:
        edges = graph[kind].edge_index
        graph[kind].edge_index = edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))]
    found = model(graph)
    assert torch.allclose(found.means, expected.means, atol=1e-6)
    assert torch.allclose(found.colors, expected.colors, atol=1e-5)


def test_a_batch_of_different_subjects_trains_as_one_by_one(make_clip):
    clips = [make_clip(frames=2, count=[200, 130], seed=1)[0], make_clip(frames=3, count=[90, 210, 10], seed=2)[0]]
    model = disturb(HGGNet(replace(CONFIG, num_tokens=2)))

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
    avatars = model.avatar(batch)
    assert [len(avatar.gaussians) for avatar in avatars] == [len(g) for g in single]
    for avatar, clip in zip(avatars, clips, strict=True):
        alone = model.avatar(clip)
        assert torch.equal(avatar.binding, alone.binding)
        assert torch.equal(avatar.betas, alone.betas)
        torch.testing.assert_close(avatar.gaussians.means, alone.gaussians.means, atol=1e-6, rtol=0)
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
    model = disturb(HGGNet(CONFIG))
    model.save(tmp_path)
    loaded = HGGNet.load(tmp_path)
    assert loaded.config == CONFIG
    assert torch.equal(loaded(graph).means, model(graph).means)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_weights_of_a_wrapped_network_are_loaded(tmp_path):
    model = disturb(HGGNet(CONFIG))
    model.save(tmp_path)
    for prefix in ("module.", "_orig_mod.", "module._orig_mod."):
        state = {prefix + name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(state, tmp_path / "model.safetensors")
        loaded = HGGNet.load(tmp_path).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_loading_what_is_not_a_model_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"model\.json: expected a saved model, found nothing"):
        HGGNet.load(tmp_path)
    HGGNet(CONFIG).save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"hidden_channels": 8', '"hidden_channels": 16'))
    with pytest.raises(UserError, match=r"model\.json: hidden_channels: expected 8, found 16: it is not the one that"):
        HGGNet.load(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json: expected a model configuration"):
        HGGNet.load(tmp_path)
    (tmp_path / "model.json").write_text(text)
    (tmp_path / "model.json").unlink()
    with pytest.raises(UserError, match=r"model\.json: expected a saved model, found nothing"):
        HGGNet.load(tmp_path)


def test_weights_that_are_not_the_network_s_are_refused(tmp_path, caplog):
    HGGNet(CONFIG).save(tmp_path)
    path, state = tmp_path / "model.safetensors", HGGNet(CONFIG).state_dict()
    metadata = {"model": json.dumps(settings_of(CONFIG))}
    save_file(state, path)  # as earlier versions did
    assert torch.equal(HGGNet.load(tmp_path).queries, state["queries"])
    assert "an earlier version wrote no digest" in caplog.text
    for change, message in (
        ({"queries": state["queries"][1:]}, r"queries: expected \(6890, .* found \(6889, .* by model\.json"),
        ({"queries": state["queries"].int()}, r"queries: expected .* of float32, found .* of int32, by model\.json"),
        ({"queries": state["queries"].half()}, r"queries: expected \(.*\) of float32, found .* of float16"),
        ({"queries": torch.full_like(state["queries"], torch.nan)}, "queries: expected finite numbers, found NaN"),
        ({"more": torch.zeros(2)}, r"more: expected no such weight, found \(2,\) of float32, by model\.json"),
    ):
        for save in (save_file, lambda tensors, file: save_tensors(file, tensors, metadata)):
            save({**state, **change}, path)
            with pytest.raises(UserError, match=rf"model\.safetensors: {message}"):
                HGGNet.load(tmp_path)
    save_file(state, path, metadata)
    with pytest.raises(UserError, match=r"model\.safetensors: expected the digest of its content, found none"):
        HGGNet.load(tmp_path)
    for content in (b"", b"nothing", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"model\.safetensors: expected a safetensors file"):
            HGGNet.load(tmp_path)


def test_a_graph_of_other_features_or_bodies_is_refused(make_clip):
    graph, *_ = make_clip()
    with pytest.raises(ValueError, match="expected 5 features per Gaussian, found 6"):
        HGGNet(replace(CONFIG, in_channels=5))(graph)
    with pytest.raises(ValueError, match="expected a body of 100 vertices, found 6890"):
        HGGNet(replace(CONFIG, num_vertices=100))(graph)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"heads": 3}, r"ModelConfig\.heads: expected a divisor of hidden_channels 8, found 3"),
        ({"hidden_channels": 0}, r"ModelConfig\.hidden_channels"),
        ({"num_layers": -1}, r"ModelConfig\.num_layers"),
        ({"num_layers": "2"}, r"ModelConfig\.num_layers: expected an integer, found '2'"),
        ({"dropout": 1.0}, r"ModelConfig\.dropout"),
        ({"norm": "middle"}, r"ModelConfig\.norm: expected one of pre, post, found 'middle'"),
        ({"shift": "body"}, r"ModelConfig\.shift: expected one of rest, surface, found 'body'"),
        ({"storage": "float16"}, r"ModelConfig\.storage: expected one of float32, bfloat16"),
        ({"conv": "GATv3Conv"}, r"expected one of auto, attention, fused, .* found 'GATv3Conv'"),
        ({"conv": "nowhere:Conv"}, r"'nowhere:Conv' cannot be imported from here"),
        (
            {"conv": "GATv2Conv", "conv_options": ("shareweights=True",)},
            r"conv GATv2Conv: .*share_weights.*shareweights",
        ),
        ({"backend": "flash"}, r"expected one of auto, reference, scatter, .* found 'flash'"),
        ({"conv": "fused", "attention_dropout": 0.1}, r"conv attention drops them"),
        ({"conv": "GATv2Conv", "conv_options": ("bias=True", "bias=False")}, r"each name once, found 'bias' twice"),
        ({"conv": "GATv2Conv", "conv_options": ("heads=4",)}, r"expected options among .*; found heads"),
        ({"relations": ()}, r"ModelConfig\.relations"),
        ({"relations": INTRA + INTRA}, r"ModelConfig\.relations: expected some, each once"),
        (
            {"relations": (("vertex", "near", "gaussian", 0),)},
            r"ModelConfig\.relations: expected \(source, name, vertex",
        ),
    ],
)
def test_wrong_choices_are_refused_when_they_are_made(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **wrong)


class LateShape(SAGEConv):
    """Right on a few nodes, one row for all on many: a residual would broadcast it in silence."""

    def forward(self, x, edge_index):  # pyright: ignore[reportIncompatibleMethodOverride]
        out = super().forward(x, edge_index)
        return out if len(out) < 100 else out[:1]


def test_layers_and_backends_that_give_another_shape_are_refused(make_clip):
    graph, *_ = make_clip()
    with pytest.raises(ValueError, match=r"LateShape: expected \[6890, D\] of floating point, found \[1, 8\]"):
        HGGNet(replace(CONFIG, conv=f"{__name__}:LateShape"))(graph)
    transposed = Variant("transposed", "", lambda query, *_: query.transpose(0, -1), cpu=(torch.float32,))
    with pytest.raises(ValueError, match=r"backend 'transposed': it fails on a few random edges: .* expected a result"):
        ConvChoice(backend=transposed).make((6, 8), 8, 2)


def test_graphs_that_lack_what_the_network_reads_are_refused(make_clip):
    model = HGGNet(CONFIG)
    for change, message in (
        (lambda graph: graph["vertex"].node_id.sub_(1), r"vertex.node_id: expected 0 to 6889, found -1"),
        (lambda graph: graph["gaussian"].pop("x"), r"expected a graph with gaussian.x"),
        (lambda graph: graph._node_store_dict.pop("avatar"), r"expected a graph with avatar nodes"),
    ):
        graph, *_ = make_clip()
        change(graph)
        with pytest.raises(ValueError, match=message):
            model(graph)
