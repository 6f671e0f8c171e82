"""The three attention layers against the dense reference and against PyG's own transformer layer."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import TransformerConv

from hgg_pyg.attention import Edges, attend
from hgg_pyg.nn import InterConv, IntraConv, PyGConv, ReadoutConv
from hgg_pyg.nn._attention import EdgeAttention
from hgg_pyg.nn.pyg import PyGLayer

P, N, D, F, H = 30, 8, 12, 5, 3
Case = tuple[EdgeAttention, Callable[..., Tensor], list[Tensor], Tensor]


def random_edges(sources: int, targets: int, count: int, empty: int) -> Tensor:
    """Edges of which none ends in target `empty`."""
    target = torch.randint(targets - 1, (count,))
    return torch.stack([torch.randint(sources, (count,)), target + (target >= empty)])


def heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (H, D // H))


def expected(layer: EdgeAttention, source: Tensor, target: Tensor, edge_index: Tensor) -> Tensor:
    """The layer by the dense reference, for sources without slots."""
    query, key, value = (
        heads(linear(x))
        for linear, x in ((layer.lin_query, target), (layer.lin_key, source), (layer.lin_value, source))
    )
    return layer.lin_out(attend(query, key, value, edge_index, variant="reference").flatten(-2))


def case(kind: str, slots: int, edge_index: Tensor | None = None) -> Case:
    """A layer, its call by the reference, its inputs in float64, and edges that leave target 2 empty."""
    torch.manual_seed(0)
    q = torch.randn(N, slots, D).double() if slots else torch.randn(N, D).double()
    g = torch.randn(P, F).double()
    if kind == "intra":
        edge_index = random_edges(P, N, 50, 2) if edge_index is None else edge_index
        return IntraConv(F, D, H).double(), expected, [g, q], edge_index
    if kind == "inter":

        def inter_expected(layer: EdgeAttention, source: Tensor, target: Tensor, edges: Tensor) -> Tensor:
            pairs = zip(source.view(N, -1, D).unbind(1), target.view(N, -1, D).unbind(1), strict=True)
            return torch.stack([expected(layer, s, t, edges) for s, t in pairs], dim=1).view_as(target)

        edge_index = random_edges(N, N, 40, 2) if edge_index is None else edge_index
        return InterConv(D, H).double(), inter_expected, [q, q], edge_index

    def readout_expected(layer: EdgeAttention, source: Tensor, target: Tensor, edges: Tensor) -> Tensor:
        s = source.view(N, -1, D).shape[1]
        every = [torch.stack([edges[0] * s + i, edges[1]]) for i in range(s)]
        return expected(layer, source.reshape(-1, D), target, torch.cat(every, dim=1))

    edge_index = random_edges(N, P, 70, 2) if edge_index is None else edge_index
    return ReadoutConv(F, D, H).double(), readout_expected, [q, g], edge_index


def call(layer: EdgeAttention, inputs: list[Tensor], edge_index: Tensor | Edges) -> Tensor:
    return layer(inputs[0], edge_index) if isinstance(layer, InterConv) else layer(tuple(inputs), edge_index)


KINDS = pytest.mark.parametrize("kind", ["intra", "inter", "readout"])
SLOTS = pytest.mark.parametrize("slots", [0, 1, 4])


@KINDS
@SLOTS
def test_values_and_gradients_equal_the_reference(kind: str, slots: int) -> None:
    layer, by_reference, inputs, edge_index = case(kind, slots)
    if kind == "inter":
        inputs = [inputs[0].requires_grad_()] * 2
    leaves = [x.requires_grad_() for x in dict.fromkeys(inputs)] + list(layer.parameters())
    out, wanted = call(layer, inputs, edge_index), by_reference(layer, *inputs, edge_index)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-12)
    upstream = torch.randn_like(out)
    gradients = torch.autograd.grad(out, leaves, upstream)
    for gradient, other in zip(gradients, torch.autograd.grad(wanted, leaves, upstream), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-11)


@KINDS
def test_gradcheck(kind: str) -> None:
    layer, _, inputs, edge_index = case(kind, 2)
    leaves = [x.requires_grad_() for x in dict.fromkeys(inputs)]
    assert torch.autograd.gradcheck(lambda *x: call(layer, list(x), edge_index), leaves, fast_mode=True)


@KINDS
@SLOTS
def test_target_without_source_gets_exactly_zero(kind: str, slots: int) -> None:
    layer, _, inputs, edge_index = case(kind, slots)
    torch.nn.init.ones_(layer.lin_value.bias)
    out = call(layer, inputs, edge_index)
    assert bool((out[2] == 0).all())
    others = torch.zeros(len(out), dtype=torch.bool).index_fill(0, edge_index[1].unique(), True)
    assert bool((out[others] != 0).flatten(1).any(1).all())
    out.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in layer.parameters() if p.grad is not None)


@KINDS
@SLOTS
def test_empty_graph(kind: str, slots: int) -> None:
    layer, _, inputs, _ = case(kind, slots)
    out = call(layer, [x.requires_grad_() for x in inputs], torch.empty(2, 0, dtype=torch.int64))
    assert bool((out == 0).all())
    out.sum().backward()
    assert all(x.grad is None or bool((x.grad == 0).all()) for x in inputs)


def test_one_vertex_holding_every_gaussian() -> None:
    edge_index = torch.stack([torch.arange(P), torch.full((P,), 5)])
    layer, by_reference, inputs, _ = case("intra", 0, edge_index)
    out = call(layer, inputs, edge_index)
    torch.testing.assert_close(out, by_reference(layer, *inputs, edge_index))
    assert out.abs().sum(-1).nonzero().flatten().tolist() == [5]


@KINDS
def test_duplicate_edges(kind: str) -> None:
    _, _, _, edge_index = case(kind, 0)
    edge_index = torch.cat([edge_index, edge_index[:, :7], edge_index[:, :3]], dim=1)
    layer, by_reference, inputs, _ = case(kind, 0, edge_index)
    torch.testing.assert_close(call(layer, inputs, edge_index), by_reference(layer, *inputs, edge_index))


@KINDS
def test_logits_of_ten_thousand(kind: str) -> None:
    layer, by_reference, inputs, edge_index = case(kind, 0)
    with torch.no_grad():
        layer.lin_query.weight *= 1e4
    leaves = [x.requires_grad_() for x in inputs]
    out = call(layer, leaves, edge_index)
    torch.testing.assert_close(out, by_reference(layer, *inputs, edge_index), rtol=1e-7, atol=1e-9)
    out.sum().backward()
    assert all(x.grad is not None and bool(x.grad.isfinite().all()) for x in leaves)


@KINDS
@SLOTS
def test_edge_order_does_not_matter(kind: str, slots: int) -> None:
    layer, _, inputs, edge_index = case(kind, slots)
    shuffled = edge_index[:, torch.randperm(edge_index.shape[1])]
    torch.testing.assert_close(call(layer, inputs, edge_index), call(layer, inputs, shuffled))


@KINDS
@SLOTS
def test_attention_weights(kind: str, slots: int) -> None:
    """Weights come per edge and sum to one; dropout acts on a copy of them."""
    layer, _, inputs, edge_index = case(kind, slots)
    layer.dropout = 0.5
    x = inputs[0] if kind == "inter" else tuple(inputs)
    _, (edges, weights) = layer(x, edge_index, return_attention_weights=True)
    assert edges is edge_index
    assert weights.shape == (edge_index.shape[1], *([slots] if slots else []), H)
    sums = torch.zeros(max(P, N), *weights.shape[1:]).double().index_add(0, edge_index[1], weights)
    sums = sums.sum(1, keepdim=True) if kind == "readout" and slots else sums
    torch.testing.assert_close(sums[edge_index[1].unique()], torch.ones_like(sums[edge_index[1].unique()]))


def test_dropout_only_in_training() -> None:
    layer, _, inputs, edge_index = case("intra", 0)
    kept = call(layer, inputs, edge_index)
    layer.dropout = 0.5
    assert not torch.equal(call(layer, inputs, edge_index), kept)
    assert torch.equal(call(layer.eval(), inputs, edge_index), kept)


def test_bfloat16_is_accumulated_in_float32() -> None:
    layer = IntraConv(1, 1, heads=1).bfloat16()
    for linear in (layer.lin_value, layer.lin_out):
        torch.nn.init.ones_(linear.weight)
    torch.nn.init.zeros_(layer.lin_value.bias)
    torch.nn.init.zeros_(layer.lin_key.weight)
    x = (torch.arange(4485) % 2).bfloat16()[:, None]
    edge_index = torch.stack([torch.arange(4485), torch.zeros(4485, dtype=torch.int64)])
    out = layer((x, torch.ones(1, 1).bfloat16()), edge_index)
    assert out.dtype == torch.bfloat16
    assert out.item() == pytest.approx(0.5, abs=2e-3)


def test_readout_of_one_key_is_a_value_projection() -> None:
    """k = 1, S = 1: all Gaussians of a vertex get the same, and query and key weights no gradient."""
    edge_index = torch.stack([torch.randint(N, (P,)), torch.arange(P)])
    layer, _, (q, g), _ = case("readout", 0, edge_index)
    out = layer((q, g), edge_index)
    torch.testing.assert_close(out, layer.lin_out(layer.lin_value(q))[edge_index[0]])
    out.square().sum().backward()
    for linear in (layer.lin_query, layer.lin_key):
        assert linear.weight.grad is not None
        assert float(linear.weight.grad.abs().max()) < 1e-12


def test_intra_slots_are_independent() -> None:
    layer, _, (g, q), edge_index = case("intra", 4)
    out = layer((g, q), edge_index)
    for slot in range(4):
        torch.testing.assert_close(out[:, slot], layer((g, q[:, slot]), edge_index))


@pytest.mark.parametrize("bipartite", [True, False])
def test_equals_pyg_transformer_conv(bipartite: bool) -> None:
    """A real peer: the same weights give the same output, without an output projection."""
    layer, _, inputs, edge_index = case("intra" if bipartite else "inter", 0)
    torch.nn.init.eye_(layer.lin_out.weight)
    peer = TransformerConv((layer.source_dim, D), D // H, heads=H, root_weight=False, bias=True).double()
    for name in ("lin_query", "lin_key", "lin_value"):
        getattr(peer, name).load_state_dict(getattr(layer, name).state_dict())
    wanted, (_, weights) = peer(tuple(inputs), edge_index, return_attention_weights=True)
    torch.testing.assert_close(call(layer, inputs, edge_index), wanted)
    x = tuple(inputs) if bipartite else inputs[0]
    torch.testing.assert_close(layer(x, edge_index, return_attention_weights=True)[1][1], weights)


def test_reset_parameters_draws_anew() -> None:
    layer = IntraConv(F, D, H)
    torch.manual_seed(3)
    layer.reset_parameters()
    first = [p.clone() for p in layer.parameters()]
    torch.manual_seed(3)
    layer.reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(first, layer.parameters(), strict=True))
    layer.reset_parameters()
    assert not any(torch.equal(a, b) for a, b in zip(first, layer.parameters(), strict=True))


def test_repr() -> None:
    assert repr(IntraConv(5, 12, heads=3)) == "IntraConv(5, 12, heads=3)"
    assert repr(InterConv(12, heads=3)) == "InterConv(12, heads=3)"
    assert repr(ReadoutConv(5, 12, heads=3)) == "ReadoutConv(5, 12, heads=3)"


@pytest.mark.parametrize("number", [0, 5])
def test_heads_must_divide_dim(number: int) -> None:
    with pytest.raises(ValueError, match=f"InterConv: expected heads to divide dim = 12, found {number}"):
        InterConv(12, heads=number)


FOLDED = [
    pytest.param(fold, name, id=f"{name}{'-folded' * fold}") for fold in (False, True) for name in ("fused", "late")
]


@pytest.mark.parametrize(("fold", "attention"), [*FOLDED, (True, "scatter"), (True, "reference")])
@SLOTS
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_intra_layer_folded_or_not_is_one_layer(
    fold: bool, attention: str, slots: int, frozen: bool, dtype: torch.dtype
) -> None:
    """One set of weights, run as messages and by a variant on either side: the same values and gradients."""
    plain, _, inputs, edge_index = case("intra", slots, random_edges(P, N, P, 2))
    torch.nn.init.normal_(plain.lin_value.bias)
    torch.nn.init.normal_(plain.lin_key.bias)
    layer = IntraConv(F, D, H, attention=attention, fold=fold).double()
    layer.load_state_dict(plain.state_dict())
    plain, layer, inputs = plain.to(dtype), layer.to(dtype), [x.to(dtype) for x in inputs]
    inputs[0].requires_grad_(not frozen)
    inputs[1].requires_grad_()
    leaves = inputs[frozen:]
    out, wanted = call(layer, inputs, edge_index), call(plain, inputs, edge_index)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(out, wanted, **close)
    assert bool((out[2] == 0).all())
    upstream = torch.randn_like(out)
    got = torch.autograd.grad(out, [*leaves, *layer.parameters()], upstream)
    expected_gradients = torch.autograd.grad(wanted, [*leaves, *plain.parameters()], upstream)
    for gradient, other in zip(got, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, **{name: 5 * bound for name, bound in close.items()})


@pytest.mark.parametrize("kind", ["inter", "readout"])
@SLOTS
def test_other_layers_by_a_variant(kind: str, slots: int) -> None:
    layer, by_reference, inputs, edge_index = case(kind, slots)
    layer.attention = "fused"
    leaves = [x.requires_grad_() for x in dict.fromkeys(inputs)] + list(layer.parameters())
    out, wanted = call(layer, inputs, edge_index), by_reference(layer, *inputs, edge_index)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-12)
    upstream = torch.randn_like(out)
    gradients = torch.autograd.grad(out, leaves, upstream)
    for gradient, other in zip(gradients, torch.autograd.grad(wanted, leaves, upstream), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-11)


@KINDS
def test_edges_made_before_give_what_an_edge_index_gives(kind: str) -> None:
    layer, _, inputs, edge_index = case(kind, 4)
    layer.attention = "fused"
    sizes = (P, N) if kind == "intra" else (N, P) if kind == "readout" else (N, N)
    edges = Edges.from_index(edge_index, *sizes)
    made, (index, _) = layer(inputs[0] if kind == "inter" else tuple(inputs), edges, return_attention_weights=True)
    torch.testing.assert_close(call(layer, inputs, edges), call(layer, inputs, edge_index))
    torch.testing.assert_close(made, call(layer, inputs, edge_index))
    assert torch.equal(index, edges.edge_index)


def test_features_in_the_order_of_their_edges_change_nothing() -> None:
    _, _, (features, queries), edge_index = case("intra", 0, random_edges(P, N, P, 2))
    layer = IntraConv(F, D, H, attention="fused", fold=True).double()
    edges = Edges.from_index(edge_index, P, N)
    torch.testing.assert_close(
        layer((edges.lay_out(features)[0], queries), edges.lay_out(features)[1]), layer((features, queries), edge_index)
    )


def test_it_folds_only_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many edges a Gaussian as channels a head, projecting the Gaussians costs less."""
    widths = []
    monkeypatch.setattr(
        "hgg_pyg.nn.intra.attend_folded", lambda query, key, *_, **__: widths.append(key.shape[-1]) or query
    )
    layer, (features, queries) = IntraConv(F, D, H, fold=True), (torch.randn(P, F), torch.randn(N, D))
    layer((features, queries), random_edges(P, N, P * D // H - 1, 2))
    layer((features, queries), random_edges(P, N, P * D // H, 2))
    assert widths == [F]


@pytest.mark.parametrize("fold", [False, True])
def test_features_stored_in_bfloat16(fold: bool) -> None:
    """Equal to the layer on the features that bfloat16 can hold, in float32."""
    _, _, (features, queries), edge_index = case("intra", 0)
    layer = IntraConv(F, D, H, attention="fused", fold=fold)
    features, queries = features.bfloat16(), queries.float()
    out = layer((features, queries), edge_index)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, layer((features.float(), queries), edge_index), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["transformer_conv", "gatv2_conv"])
@SLOTS
def test_layers_of_pyg_in_the_place_of_ours(name: PyGLayer, slots: int) -> None:
    for kind in ("intra", "inter"):
        ours, _, inputs, edge_index = case(kind, slots)
        layer = PyGConv(name, ours.source_dim, D, H).double()
        out = layer(inputs[0] if kind == "inter" else tuple(inputs), Edges.from_index(edge_index, len(inputs[0]), N))
        assert out.shape == inputs[1].shape
        assert bool((out[2] == 0).all())
        if name == "transformer_conv":
            layer.lin_out.load_state_dict(ours.lin_out.state_dict())
            for part in ("lin_query", "lin_key", "lin_value"):
                getattr(layer.conv, part).load_state_dict(getattr(ours, part).state_dict())
            torch.testing.assert_close(
                layer(inputs[0] if kind == "inter" else tuple(inputs), edge_index), call(ours, inputs, edge_index)
            )


def test_unknown_attention_names_the_known_ones() -> None:
    layer, _, inputs, edge_index = case("intra", 0)
    layer.attention = "flash"
    with pytest.raises(ValueError, match=r"attention: expected one of auto; reference; scatter; .* found 'flash'"):
        call(layer, inputs, edge_index)
