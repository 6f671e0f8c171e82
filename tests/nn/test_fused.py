"""Fused layers: the operation of their twins from the same weights, by any backend, or a refusal by name."""

import pickle

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import set_masks
from torch_geometric.nn import GATv2Conv

from hgg_pyg.attention import Variant, variants
from hgg_pyg.nn import FusedIntraConv, FusedReadoutConv, InterConv, IntraConv, ReadoutConv, plain
from tests.nn.conv_cases import EMPTY, FUSED, KINDS, PLAIN, SLOTS, D, F, H, N, P, assert_same, case, random_edges

EXACT = [
    name
    for name, variant in variants().items()
    if variant.exact and variant.missing("cpu", torch.float64) is None and name not in ("compiled", "flex")
]


@KINDS
@SLOTS
def test_takes_the_weights_of_its_twin_and_gives_them_back(kind: str, slots: int) -> None:
    c, twin = case(kind, slots, fused=True), case(kind, slots)
    twin.conv.reset_parameters()
    assert list(c.conv.state_dict()) == list(twin.conv.state_dict())
    assert not torch.allclose(twin(), c())
    twin.conv.load_state_dict(c.conv.state_dict())
    torch.testing.assert_close(twin(), c())
    c.conv.reset_parameters()
    c.conv.load_state_dict(twin.conv.state_dict())
    torch.testing.assert_close(twin(), c())


@pytest.mark.parametrize("backend", EXACT)
@KINDS
@pytest.mark.parametrize("slots", [0, 2])
def test_every_exact_backend_computes_the_operation(backend: str, kind: str, slots: int) -> None:
    c = case(kind, slots, fused=True, backend=backend)
    leaves = c.leaves()
    assert_same(c(), c.expected(), leaves)


@pytest.mark.parametrize("backend", ["fused", "late", "scatter", "reference"])
@pytest.mark.parametrize("fold", [True, False])
@SLOTS
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_folded_or_not_is_one_layer(backend: str, fold: bool, slots: int, frozen: bool, dtype: torch.dtype) -> None:
    """One set of weights, as messages and by a backend on either side: the same values and gradients."""
    edges = random_edges(P, N, P)
    c, twin = case("intra", slots, edges, True, backend=backend, fold=fold), case("intra", slots, edges)
    for conv in (c.conv, twin.conv):
        conv.to(dtype)
    inputs = [x.to(dtype) for x in c.inputs]
    inputs[0].requires_grad_(not frozen)
    inputs[1].requires_grad_()
    out, wanted = c.conv(tuple(inputs), edges), twin.conv(tuple(inputs), edges)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(out, wanted, **close)
    assert bool((out[EMPTY] == 0).all())
    upstream = torch.randn_like(out)
    got = torch.autograd.grad(out, [*inputs[frozen:], *c.conv.parameters()], upstream)
    expected = torch.autograd.grad(wanted, [*inputs[frozen:], *twin.conv.parameters()], upstream)
    for gradient, other in zip(got, expected, strict=True):
        torch.testing.assert_close(gradient, other, **{name: 5 * bound for name, bound in close.items()})


def test_it_folds_only_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many edges per Gaussian as channels per head, projecting the Gaussians costs less."""
    widths = []
    monkeypatch.setattr(
        "hgg_pyg.nn.fused.attend_folded", lambda query, key, *_, **__: widths.append(key.shape[-1]) or query
    )
    conv, x = FusedIntraConv((F, D), D, H), (torch.randn(P, F), torch.randn(N, D))
    conv(x, random_edges(P, N, P * D // H - 1))
    assert widths == [F]
    conv(x, random_edges(P, N, P * D // H))
    FusedIntraConv((F, D), D, H, fold=False)(x, random_edges(P, N, P))
    assert widths == [F]


def test_the_mean_is_the_mean() -> None:
    """A backend that computes another operation computes it in training and in evaluation."""
    c = case("intra", 0, torch.stack([torch.arange(P), torch.arange(P) % 4]), fused=True, backend="mean", fold=False)
    value = c.conv.lin_value(c.inputs[0])
    means = torch.stack([value[torch.arange(P) % 4 == n].mean(0) if n < 4 else value[0] * 0 for n in range(N)])
    expected = c.conv.lin_out(means)
    torch.testing.assert_close(c.conv.train()(c.x, c.edges), expected)
    torch.testing.assert_close(c.conv.eval()(c.x, c.edges), expected)


def test_a_variant_of_ones_own() -> None:
    mine = Variant("mine", "the query", lambda query, key, value, edges: query, cpu=(torch.float64,))
    c = case("inter", fused=True, backend=mine)
    torch.testing.assert_close(c(), c.conv.lin_out(c.conv.lin_query(c.inputs[0])))


@KINDS
def test_what_takes_messages_is_refused_by_name(kind: str) -> None:
    cls, twin = FUSED[kind], PLAIN[kind].__name__

    def refusal(what: str) -> str:
        return f"^{cls.__name__}: expected nothing that takes messages, found {what}: {twin} can$"

    for name, value in (("dropout", 0.5), ("edge_dim", 3), ("flow", "target_to_source"), ("aggr", "mean")):
        for backend in ("auto", "mean"):
            with pytest.raises(ValueError, match=refusal(f"{name}={value!r}")):
                cls(D, D, H, backend, **{name: value})
    cls(D, D, H, dropout=0.0, edge_dim=None, flow="source_to_target", aggr="add")
    c = case(kind, fused=True)
    with pytest.raises(ValueError, match=refusal("edge features")):
        c.conv(c.x, c.edges, torch.ones(c.edges.shape[1], 1))
    with pytest.raises(ValueError, match=refusal("return_attention_weights")):
        c.conv(c.x, c.edges, return_attention_weights=True)
    c.conv.dropout = 0.5
    c.conv.eval()(c.x, c.edges)
    with pytest.raises(ValueError, match=refusal(r"dropout=0\.5")):
        c.conv.train()(c.x, c.edges)


@KINDS
@pytest.mark.parametrize("step", ["propagate", "message", "aggregate", "edge_update"])
@pytest.mark.parametrize("when", ["forward", "forward_pre"])
def test_hooks_on_messages_are_refused(kind: str, step: str, when: str) -> None:
    c = case(kind, fused=True)
    handle = getattr(c.conv, f"register_{step}_{when}_hook")(lambda *_: None)
    with pytest.raises(ValueError, match="found a hook on messages"):
        c()
    handle.remove()
    assert torch.equal(c(), c())


class Scorer(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index).sum(-1, keepdim=True)


def test_explainers_are_refused_and_take_the_twin() -> None:
    c = case("inter", fused=True)
    twin = plain(c.conv)
    set_masks(c.conv, torch.ones(c.edges.shape[1]), c.edges)
    with pytest.raises(ValueError, match="found an explainer"):
        c()
    explainer = Explainer(
        Scorer(twin),
        GNNExplainer(epochs=2),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    assert float(explainer(c.inputs[0], c.edges).edge_mask.sum()) > 0


@KINDS
@SLOTS
def test_plain_is_the_twin_with_the_very_weights(kind: str, slots: int) -> None:
    c = case(kind, slots, fused=True)
    twin = plain(c.conv.eval())
    assert type(twin) is PLAIN[kind]
    assert not twin.training
    torch.testing.assert_close(twin(c.x, c.edges), c())
    assert [id(p) for p in twin.parameters()] == [id(p) for p in c.conv.parameters()]
    assert plain(c.conv.train()).training


def test_plain_leaves_other_layers_and_refuses_another_operation() -> None:
    for other in (InterConv(D, D), GATv2Conv(D, D)):
        assert plain(other) is other
    with pytest.raises(
        ValueError, match="FusedReadoutConv: the backend mean is not softmax over all edges, so it has no weights"
    ):
        plain(FusedReadoutConv(D, D, backend="mean"))
    lazy = FusedIntraConv(-1, D, H)
    x, edges = torch.randn(N, F), torch.randint(N, (2, 20))
    out = plain(lazy)(x, edges)
    torch.testing.assert_close(lazy(x, edges), out)


@KINDS
def test_an_unknown_backend_names_the_known_ones(kind: str) -> None:
    with pytest.raises(ValueError, match=r"attention backend: expected one of auto, reference, scatter.*found 'flash'"):
        FUSED[kind](D, D, backend="flash")


def test_a_twin_is_an_instance_of_the_layer_that_it_stands_for() -> None:
    for kind, cls in (("intra", IntraConv), ("inter", InterConv), ("readout", ReadoutConv)):
        assert isinstance(FUSED[kind](D, D), cls)
        copied = pickle.loads(pickle.dumps(FUSED[kind](D, D, backend="late")))
        assert copied.backend == "late"
