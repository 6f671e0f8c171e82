"""What a layer of messages and its fused twin promise alike: the dense reference's values and gradients, and shapes."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import HeteroConv, TransformerConv

from hgg_pyg.nn import AttentionConv, FusedIntraConv, InterConv, IntraConv
from tests.nn.conv_cases import (
    EMPTY,
    FUSED,
    KINDS,
    LAYERS,
    PLAIN,
    SLOTS,
    D,
    F,
    H,
    N,
    P,
    assert_same,
    case,
    made,
)


@pytest.mark.parametrize("kinds", [PLAIN, FUSED], ids=["messages", "fused"])
def test_repr_and_sizes(kinds: dict[str, type[AttentionConv]]) -> None:
    for cls in kinds.values():
        name = cls.__name__
        assert repr(cls((5, 12), 12, heads=3)) == f"{name}((5, 12), 12, heads=3)"
        assert repr(cls(12, 12)) == f"{name}(12, 12, heads=4)"
        x, edges = torch.randn(4, 12), torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1]])
        assert cls(12, 8)(x, edges).shape == (4, 8)
        assert cls(12, 8)((x, x[:2]), edges).shape == (2, 8)
        assert cls((12, 6), 8)((x, x[:2, :6]), edges).shape == (2, 8)
        slots = (2, 8) if name.endswith("ReadoutConv") else (2, 5, 8)
        assert cls(12, 8)((x[:, None].expand(4, 5, 12), x[:2, None].expand(2, 5, 12)), edges).shape[-1] == 8
        if not name.endswith("ReadoutConv"):
            assert cls(12, 8)((x, x[:2, None].expand(2, 5, 12)), edges).shape == slots


@LAYERS
@KINDS
def test_one_tensor_is_both_sources_and_targets(kind: str, fused: bool) -> None:
    conv, x = (FUSED if fused else PLAIN)[kind](D, D, H), torch.randn(N, D)
    edges = torch.randint(N, (2, 20))
    assert torch.equal(conv(x, edges), conv((x, x), edges))


@LAYERS
@KINDS
@SLOTS
def test_values_and_gradients_equal_the_reference(kind: str, slots: int, fused: bool) -> None:
    c = case(kind, slots, fused=fused)
    leaves = c.leaves()
    assert_same(c(), c.expected(), leaves)


@LAYERS
@KINDS
def test_gradcheck(kind: str, fused: bool) -> None:
    c = case(kind, 2, fused=fused)
    leaves = [x.requires_grad_() for x in dict.fromkeys(c.inputs)]

    def call(*x: Tensor) -> Tensor:
        return c.conv(x if len(x) == 2 else x[0], c.edges)

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)


@LAYERS
@KINDS
@SLOTS
def test_target_without_source_gets_exactly_zero(kind: str, slots: int, fused: bool) -> None:
    c = case(kind, slots, fused=fused)
    out = c()
    assert bool((out[EMPTY] == 0).all())
    assert bool((out[c.edges[1].unique()] != 0).flatten(1).any(1).all())
    out.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in c.conv.parameters() if p.grad is not None)


@LAYERS
@KINDS
@SLOTS
def test_empty_graph(kind: str, slots: int, fused: bool) -> None:
    c = case(kind, slots, torch.empty(2, 0, dtype=torch.int64), fused=fused)
    c.leaves()
    out = c()
    assert out.shape == c.expected().shape
    assert bool((out == 0).all())
    out.sum().backward()
    assert all(x.grad is None or bool((x.grad == 0).all()) for x in c.inputs)


@LAYERS
def test_one_vertex_holding_every_gaussian(fused: bool) -> None:
    c = case("intra", 0, torch.stack([torch.arange(P), torch.full((P,), 5)]), fused=fused)
    torch.testing.assert_close(c(), c.expected())
    assert c().abs().sum(-1).nonzero().flatten().tolist() == [5]


@LAYERS
@KINDS
def test_duplicate_edges_count_as_often(kind: str, fused: bool) -> None:
    c = case(kind, fused=fused)
    more = torch.cat([c.edges, c.edges[:, :7], c.edges[:, :3]], dim=1)
    torch.testing.assert_close(c(more), c.expected(more))
    assert not torch.allclose(c(more), c())


@LAYERS
@KINDS
def test_logits_of_ten_thousand(kind: str, fused: bool) -> None:
    c = case(kind, fused=fused)
    with torch.no_grad():
        c.conv.lin_query.weight *= 1e4
    c.leaves()
    out = c()
    torch.testing.assert_close(out, c.expected(), rtol=1e-7, atol=1e-9)
    out.sum().backward()
    assert all(x.grad is not None and bool(x.grad.isfinite().all()) for x in c.inputs)


@LAYERS
@KINDS
@SLOTS
def test_edge_order_does_not_matter(kind: str, slots: int, fused: bool) -> None:
    c = case(kind, slots, fused=fused)
    torch.testing.assert_close(c(c.edges[:, torch.randperm(c.edges.shape[1])]), c())


@LAYERS
@KINDS
def test_features_in_the_order_of_their_edges_change_nothing(kind: str, fused: bool) -> None:
    c = case(kind, fused=fused)
    laid_out, edges = made(c).lay_out(c.inputs[0])
    torch.testing.assert_close(c.conv((laid_out, c.inputs[1]), edges), c())


@LAYERS
def test_slots_are_independent(fused: bool) -> None:
    for kind in ("intra", "inter"):
        c = case(kind, 4, fused=fused)
        source, target = c.inputs
        for slot in range(4):
            alone = source if kind == "intra" else source[:, slot]
            torch.testing.assert_close(c()[:, slot], c.conv((alone, target[:, slot]), c.edges))


@LAYERS
def test_readout_of_one_key_is_a_value_projection(fused: bool) -> None:
    """k = 1, S = 1: all Gaussians of a vertex get the same, and query and key weights no gradient."""
    c = case("readout", 0, torch.stack([torch.randint(N, (P,)), torch.arange(P)]), fused=fused)
    conv = c.conv
    torch.testing.assert_close(c(), conv.lin_out(conv.lin_value(c.inputs[0]))[c.edges[0]])
    c().square().sum().backward()
    for linear in (conv.lin_query, conv.lin_key):
        assert linear.weight.grad is not None
        assert float(linear.weight.grad.abs().max()) < 1e-12


@LAYERS
def test_bfloat16_is_accumulated_in_float32(fused: bool) -> None:
    """4,485 values, half zeros and half ones: in bfloat16 their sum would stop at 256."""
    conv = (FusedIntraConv if fused else IntraConv)(1, 1, heads=1).bfloat16()
    for linear in (conv.lin_value, conv.lin_out):
        nn.init.ones_(linear.weight)
    nn.init.zeros_(conv.lin_value.bias)
    nn.init.zeros_(conv.lin_key.weight)
    x = (torch.arange(4485) % 2).bfloat16()[:, None]
    out = conv((x, torch.ones(1, 1).bfloat16()), torch.stack([torch.arange(4485), torch.zeros(4485).long()]))
    assert out.dtype == torch.bfloat16
    assert out.item() == pytest.approx(0.5, abs=2e-3)


@LAYERS
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_features_stored_in_half_precision(fused: bool, stored: torch.dtype) -> None:
    """Equal to the layer on the features that the type can hold, in float32."""
    c = case("intra", fused=fused)
    conv, features, queries = c.conv.float(), c.inputs[0].to(stored), c.inputs[1].float()
    out = conv((features, queries), c.edges)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, conv((features.float(), queries), c.edges), rtol=1e-5, atol=1e-5)


@LAYERS
@pytest.mark.parametrize("kind", ["intra", "inter"])
def test_equals_pyg_transformer_conv(kind: str, fused: bool) -> None:
    """A real peer: the same weights give the same output, without an output projection."""
    c = case(kind, fused=fused)
    nn.init.eye_(c.conv.lin_out.weight)
    peer = TransformerConv((c.inputs[0].shape[1], D), D // H, heads=H, root_weight=False).double()
    for name in ("lin_query", "lin_key", "lin_value"):
        getattr(peer, name).load_state_dict(getattr(c.conv, name).state_dict())
    torch.testing.assert_close(c(), peer(tuple(c.inputs), c.edges))


@LAYERS
@KINDS
@pytest.mark.parametrize("in_channels", [-1, (-1, -1)], ids=str)
def test_lazy_channels_come_from_the_first_input(kind: str, in_channels: int | tuple[int, int], fused: bool) -> None:
    c = case(kind, fused=fused)
    lazy = (FUSED if fused else PLAIN)[kind](in_channels, D, H)
    assert repr(lazy) == f"{type(lazy).__name__}({in_channels}, 12, heads=3)"
    early = copy.deepcopy(lazy)
    inputs = tuple(x.float() for x in c.inputs)
    out = lazy(inputs, c.edges)
    assert out.shape == c().shape
    torch.testing.assert_close(lazy(inputs, c.edges), out)
    assert lazy.lin_key.weight.shape == c.conv.lin_key.weight.shape
    lazy.load_state_dict(c.conv.state_dict())
    early.load_state_dict(c.conv.state_dict())
    for conv in (lazy, early):
        torch.testing.assert_close(conv.double()(c.x, c.edges), c())


@LAYERS
@KINDS
def test_copies_compute_the_same(kind: str, fused: bool) -> None:
    c = case(kind, 2, fused=fused)
    other = type(c.conv)(c.conv.in_channels, D, H).double()
    assert not torch.equal(other(c.x, c.edges), c())
    other.load_state_dict(c.conv.state_dict())
    for copied in (copy.deepcopy(c.conv), pickle.loads(pickle.dumps(c.conv)), other):
        assert repr(copied) == repr(c.conv)
        assert torch.equal(copied(c.x, c.edges), c())
        nn.init.zeros_(copied.lin_out.weight)
        assert not torch.equal(copied(c.x, c.edges), c())  # nothing is shared


@LAYERS
@KINDS
def test_reset_parameters_draws_anew(kind: str, fused: bool) -> None:
    conv = (FUSED if fused else PLAIN)[kind]((F, D), D, H)

    def drawn(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        conv.reset_parameters()
        return [p.clone() for p in conv.parameters()]

    first, again, other = drawn(3), drawn(3), drawn(4)
    assert len(first) == 7
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@LAYERS
def test_within_hetero_conv(fused: bool) -> None:
    intra, inter, readout = (case(kind, fused=fused) for kind in PLAIN)
    binds, near, tells = ("gaussian", "binds", "vertex"), ("vertex", "near", "vertex"), ("vertex", "tells", "gaussian")
    layer = HeteroConv({binds: intra.conv, near: inter.conv, tells: readout.conv}, aggr="sum")
    x = {"gaussian": intra.inputs[0], "vertex": intra.inputs[1]}
    out = layer(x, {binds: intra.edges, near: inter.edges, tells: readout.edges})
    torch.testing.assert_close(out["vertex"], intra() + inter())
    torch.testing.assert_close(out["gaussian"], readout())


@LAYERS
@KINDS
@pytest.mark.parametrize("heads", [0, 5])
def test_heads_must_divide_the_channels(kind: str, heads: int, fused: bool) -> None:
    cls = (FUSED if fused else PLAIN)[kind]
    with pytest.raises(ValueError, match=f"{cls.__name__}: expected heads to divide out_channels = 12, found {heads}"):
        cls(12, 12, heads=heads)


def test_an_unknown_argument_is_refused() -> None:
    for cls in (InterConv, *FUSED.values()):
        for value in (0, 0.5):
            with pytest.raises(TypeError, match="droput"):
                cls(12, 12, droput=value)  # pyright: ignore[reportArgumentType]
