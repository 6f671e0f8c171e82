"""What only layers of messages do: weights, edge features, dropout, flow, explainers and hooks."""

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import TransformerConv

from hgg_pyg.nn import InterConv
from tests.nn.conv_cases import KINDS, SLOTS, Case, D, F, H, N, P, case


@KINDS
@SLOTS
def test_attention_weights_sum_to_one_before_dropout(kind: str, slots: int) -> None:
    c = case(kind, slots, dropout=0.5)
    _, (edges, weights) = c.conv(c.x, c.edges, return_attention_weights=True)
    assert edges is c.edges
    assert weights.shape == (c.edges.shape[1], *([slots] if slots else []), H)
    sums = torch.zeros(max(P, N), *weights.shape[1:]).double().index_add(0, c.edges[1], weights)
    sums = sums.sum(1) if kind == "readout" and slots else sums
    torch.testing.assert_close(sums[c.edges[1].unique()], torch.ones_like(sums[c.edges[1].unique()]))


def peer_of(c: Case, **options: object) -> TransformerConv:
    """PyG's layer with the weights of ours, whose output projection becomes the identity."""
    nn.init.eye_(c.conv.lin_out.weight)
    channels = c.inputs[0].shape[-1], c.inputs[1].shape[-1]
    peer = TransformerConv(channels, D // H, heads=H, root_weight=False, **options).double()  # type: ignore[arg-type]
    for name in ("lin_query", "lin_key", "lin_value", *(["lin_edge"] if "edge_dim" in options else [])):
        getattr(peer, name).load_state_dict(getattr(c.conv, name).state_dict())
    return peer


@KINDS
@pytest.mark.parametrize("edge_dim", [None, 1, 4])
def test_edge_features_and_weights_equal_pyg_transformer_conv(kind: str, edge_dim: int | None) -> None:
    c = case(kind, edge_dim=edge_dim)
    peer = peer_of(c) if edge_dim is None else peer_of(c, edge_dim=edge_dim)
    features = None if edge_dim is None else torch.randn(c.edges.shape[1], edge_dim).double().requires_grad_()
    out, (_, weights) = c.conv(c.x, c.edges, features, return_attention_weights=True)
    wanted, (_, others) = peer(tuple(c.inputs), c.edges, features, return_attention_weights=True)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(weights, others)
    if features is not None:
        upstream = torch.randn_like(out)
        gradients = torch.autograd.grad(out, [features, c.conv.lin_edge.weight], upstream)
        others = torch.autograd.grad(wanted, [features, peer.lin_edge.weight], upstream)
        for gradient, other in zip(gradients, others, strict=True):
            assert bool((gradient != 0).any())
            torch.testing.assert_close(gradient, other)


@KINDS
def test_edge_features_with_slots_are_those_of_each_slot(kind: str) -> None:
    c = case(kind, 3, edge_dim=4)
    features = torch.randn(c.edges.shape[1], 4).double()
    out = c.conv(c.x, c.edges, features)
    if kind == "readout":  # a slot is a source of its own
        every = [torch.stack([c.edges[0] * 3 + s, c.edges[1]]) for s in range(3)]
        x = c.inputs[0].flatten(0, 1), c.inputs[1]
        torch.testing.assert_close(out, c.conv(x, torch.cat(every, 1), features.repeat(3, 1)))
        return
    for s in range(3):
        source = c.inputs[0] if kind == "intra" else c.inputs[0][:, s]
        torch.testing.assert_close(out[:, s], c.conv((source, c.inputs[1][:, s]), c.edges, features))


def test_edge_features_that_were_not_announced_or_are_missing() -> None:
    c = case("intra")
    with pytest.raises(ValueError, match=r"^IntraConv: expected no edge features without edge_dim, found some$"):
        c.conv(c.x, c.edges, torch.randn(c.edges.shape[1], 4).double())
    c = case("intra", edge_dim=4)
    with pytest.raises(ValueError, match=r"^IntraConv: expected 4 edge features, found none$"):
        c.conv(c.x, c.edges)


@KINDS
@pytest.mark.parametrize("slots", [0, 2])
def test_flow_turns_the_edges_around(kind: str, slots: int) -> None:
    c, turned = case(kind, slots), case(kind, slots, flow="target_to_source")
    turned.conv.load_state_dict(c.conv.state_dict())
    out, (_, weights) = turned.conv(c.x, c.edges.flip(0), return_attention_weights=True)
    torch.testing.assert_close(out, c())
    torch.testing.assert_close(weights, c.conv(c.x, c.edges, return_attention_weights=True)[1][1])
    if not slots:
        peer = peer_of(turned, flow="target_to_source")
        torch.testing.assert_close(turned(c.edges.flip(0)), peer(tuple(c.inputs), c.edges.flip(0)))


@KINDS
def test_dropout_only_in_training_and_right_on_average(kind: str) -> None:
    c = case(kind)
    kept = c()
    c.conv.dropout = 0.5
    torch.manual_seed(7)
    with torch.no_grad():
        draws = torch.stack([c() for _ in range(400)])
    assert torch.equal(c.conv.eval()(c.x, c.edges), kept)
    spread = draws.std(0)
    assert float(spread.max()) > 0.1
    assert bool(((draws.mean(0) - kept).abs() <= 5 * spread / 20 + 1e-9).all())


@KINDS
@pytest.mark.parametrize("slots", [0, 2])
def test_masks_of_explainers_act_and_get_gradients(kind: str, slots: int) -> None:
    """A mask of ones changes nothing, of zeros leaves nothing, and one edge's mask takes its message away."""
    c = case(kind, slots)
    plain = c()
    mask = torch.ones(c.edges.shape[1]).double().requires_grad_()
    set_masks(c.conv, mask, c.edges, apply_sigmoid=False)
    torch.testing.assert_close(c(), plain)
    (gradient,) = torch.autograd.grad(c().square().sum(), mask)
    assert bool((gradient != 0).all())
    one = torch.ones_like(mask).index_fill(0, torch.tensor([3]), 0)
    set_masks(c.conv, one, c.edges, apply_sigmoid=False)
    changed = (c() != plain).flatten(1).any(1).nonzero().flatten()
    assert changed.tolist() == [int(c.edges[1, 3])]
    set_masks(c.conv, torch.zeros_like(one), c.edges, apply_sigmoid=False)
    assert bool((c() == 0).all())
    clear_masks(c.conv)
    torch.testing.assert_close(c(), plain)


class Classifier(nn.Module):
    """Two layers that see neighbours of neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.first = InterConv(F, D, H)
        self.second = InterConv(D, 3, 1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


def test_gnn_explainer_finds_the_edges_that_reach_a_node() -> None:
    torch.manual_seed(0)
    edges = torch.tensor([[1, 2, 3, 4, 5], [0, 0, 1, 5, 4]])  # 4 and 5 are out of the reach of 0
    explainer = Explainer(
        Classifier(),
        GNNExplainer(epochs=5),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    explanation = explainer(torch.randn(6, F), edges, index=0)
    assert explanation.edge_mask.shape == (5,)
    assert bool((explanation.edge_mask[:3] > 0).any())
    assert bool((explanation.edge_mask[3:] == 0).all())


@KINDS
def test_hooks_run_and_may_change_what_they_see(kind: str) -> None:
    c, seen = case(kind), []
    plain = c()
    handles = [
        c.conv.register_propagate_forward_pre_hook(lambda *_: seen.append("propagate")),
        c.conv.register_edge_update_forward_hook(lambda *_: seen.append("edge_update")),
        c.conv.register_message_forward_hook(lambda conv, inputs, out: seen.append("message") or 2 * out),
        c.conv.register_aggregate_forward_hook(lambda *_: seen.append("aggregate")),
    ]
    torch.testing.assert_close(c(), 2 * plain)
    assert seen == ["edge_update", "propagate", "message", "aggregate"]
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(c(), plain)
