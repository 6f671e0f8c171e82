"""Layers by name: ours, PyG's and those of a file outside, and a clear line for what cannot be."""

import sys
from pathlib import Path

import pytest
import torch
import torch_geometric.nn
from torch import nn

from hgg_pyg.attention import Variant
from hgg_pyg.nn import ConvChoice, FusedInterConv, FusedIntraConv, InterConv, IntraConv
from hgg_pyg.nn.conv_choice import can_return_weights, find_conv

FILE = """
from torch import nn
from torch_geometric.nn import MessagePassing


class SumConv(MessagePassing):
    def __init__(self, in_channels, out_channels, heads=1, scale=1.0, **kwargs):
        super().__init__(aggr="add", **kwargs)
        self.heads, self.scale = heads, scale
        self.lin = nn.Linear(in_channels[0], out_channels)

    def forward(self, x, edge_index):
        return self.scale * self.propagate(edge_index, x=(self.lin(x[0]), None), size=(len(x[0]), len(x[1])))


class WideConv(SumConv):
    def __init__(self, in_channels, out_channels, heads=1):
        super().__init__(in_channels, out_channels + 1, heads)


class ShoutingConv(SumConv):
    def forward(self, x, edge_index):
        raise RuntimeError("no \\n way")


NUMBER = 3
"""


@pytest.fixture
def _my_convs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_convs.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_convs", None)


@pytest.mark.parametrize("same_nodes", [False, True])
@pytest.mark.parametrize(
    ("choice", "asked", "classes"),
    [
        (ConvChoice(), {}, (FusedIntraConv, FusedInterConv)),
        (ConvChoice(), {"dropout": 0.5}, (IntraConv, InterConv)),
        (ConvChoice(), {"edge_dim": 3}, (IntraConv, InterConv)),
        (ConvChoice("fused", backend="late", fold=False), {}, (FusedIntraConv, FusedInterConv)),
        (ConvChoice("attention"), {}, (IntraConv, InterConv)),
        (ConvChoice("attention", backend="scatter"), {"dropout": 0.5, "edge_dim": 3}, (IntraConv, InterConv)),
    ],
)
def test_ours(choice: ConvChoice, asked: dict[str, float], classes: tuple[type, type], same_nodes: bool) -> None:
    layer = choice.make((5, 12), 12, 3, same_nodes=same_nodes, **asked)  # type: ignore[arg-type]
    assert type(layer) is classes[same_nodes]
    assert (layer.in_channels, layer.out_channels, layer.heads) == ((5, 12), 12, 3)
    assert layer.dropout == asked.get("dropout", 0)
    assert layer.edge_dim == asked.get("edge_dim")
    if isinstance(layer, FusedIntraConv):
        assert layer.fold is choice.fold
    if isinstance(layer, FusedIntraConv | FusedInterConv):
        assert layer.backend == choice.backend


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("GATConv", (), {"concat": True}),
        ("GATv2Conv", ("residual=True", "negative_slope=0.5"), {"residual": True, "negative_slope": 0.5}),
        ("GATv2Conv", ("concat=False",), {"concat": False}),
        ("TransformerConv", ("beta=True",), {"beta": True}),
        ("GeneralConv", ("attention=True",), {"attention": True}),
        ("SAGEConv", ("aggr=max",), {"aggr": "max"}),
    ],
)
def test_those_of_pyg(name: str, options: tuple[str, ...], found: dict[str, object]) -> None:
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    choice = ConvChoice(name, options)
    layer = choice.make((5, 12), 12, 3)
    assert type(layer) is getattr(torch_geometric.nn, name)
    assert getattr(layer, "heads", 3) == 3
    assert not getattr(layer, "add_self_loops", False)
    assert layer.training
    assert {option: getattr(layer, option) for option in found} == found
    out = layer((torch.randn(7, 5), torch.randn(4, 12)), torch.tensor([[0, 6], [1, 3]]))
    assert out.shape == (4, 12)
    torch.random.set_rng_state(state)  # the trial draws no random numbers but those of the weights
    again = choice.make((5, 12), 12, 3)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv", "TransformerConv"])
def test_those_of_pyg_with_edge_features_and_dropout(name: str) -> None:
    layer = ConvChoice(name).make((5, 12), 12, 3, dropout=0.25, edge_dim=2)
    assert (layer.dropout, layer.edge_dim) == (0.25, 2)
    x, edges = (torch.randn(7, 5), torch.randn(4, 12)), torch.tensor([[0, 6], [1, 1]])
    layer.eval()
    assert not torch.equal(layer(x, edges, torch.randn(2, 2)), layer(x, edges, torch.randn(2, 2)))


def test_general_conv_spells_edge_features_in_its_own_way() -> None:
    assert ConvChoice("GeneralConv").make((5, 12), 12, 3, edge_dim=2).lin_edge is not None


@pytest.mark.usefixtures("_my_convs")
def test_those_of_a_file_outside() -> None:
    layer = ConvChoice("my_convs:SumConv", ("scale=2.5", "flow=source_to_target")).make((5, 12), 8, 4)
    assert type(layer).__name__ == "SumConv"
    assert (layer.heads, layer.scale) == (4, 2.5)
    out = layer((torch.randn(7, 5), torch.randn(4, 12)), torch.tensor([[0, 6], [1, 1]]))
    assert out.shape == (4, 8)
    assert bool((out[0] == 0).all())


@pytest.mark.parametrize("name", ["GATv3Conv", "Linear", "attenton", "Sequential"])
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"conv: expected one of auto, attention, fused, the name of .*GATv2Conv.*"
    ) as e:
        ConvChoice(name)
    assert str(e.value).endswith(f"found {name!r}")


@pytest.mark.usefixtures("_my_convs")
def test_a_path_that_leads_to_no_layer() -> None:
    for missing in ("my_convs:MinConv", "no_such_module_here:Conv"):
        with pytest.raises(ValueError, match=rf"^conv: '{missing}' cannot be imported from here \("):
            find_conv(missing)
    with pytest.raises(ValueError, match="found 'my_convs:NUMBER'"):
        find_conv("my_convs:NUMBER")


@pytest.mark.usefixtures("_my_convs")
def test_options_that_a_layer_does_not_know() -> None:
    for name, wrong, known in (
        ("GATv2Conv", "share_weight=True", "share_weights"),
        ("SAGEConv", "heads=3", "normalize"),
        ("my_convs:SumConv", "scal=2", "scale"),
    ):
        with pytest.raises(
            ValueError, match=rf"^conv {name}: expected options among .*\b{known}\b.*; found "
        ) as caught:
            ConvChoice(name, (wrong,))
        assert str(caught.value).endswith(wrong.partition("=")[0])
    for ours in ("auto", "attention", "fused"):
        with pytest.raises(ValueError, match=rf"^conv {ours}: expected no options, found beta$"):
            ConvChoice(ours, ("beta=True",))
    for odd in ("beta", "=3", "a b=3"):
        with pytest.raises(ValueError, match=rf"^conv options: expected NAME=VALUE, found '{odd}'$"):
            ConvChoice("TransformerConv", (odd,))


@pytest.mark.usefixtures("_my_convs")
def test_a_layer_that_does_not_fit() -> None:
    expected = r"expected a layer \(in_channels, out_channels, heads=\.\.\., \*\*options\) that is called .*: "
    for name, heads, why in (
        ("my_convs:WideConv", 3, r"three targets gave \(3, 13\)"),
        ("my_convs:ShoutingConv", 3, "no way"),
        ("GATv2Conv", 5, r"three targets gave \(3, 10\)"),
        ("ChebConv", 3, ""),
    ):
        with pytest.raises(ValueError, match=rf"^conv {name}: {expected}.*{why}") as caught:
            ConvChoice(name).make((5, 12), 12, heads)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_my_convs")
def test_what_a_layer_cannot_do_is_refused() -> None:
    for name in ("SAGEConv", "my_convs:SumConv"):
        with pytest.raises(
            ValueError, match=rf"^conv {name}: expected a layer that takes edge features \(edge_dim or in_edge_"
        ):
            ConvChoice(name).make((5, 12), 12, 3, edge_dim=3)
        with pytest.raises(
            ValueError, match=rf"^conv {name}: expected a layer that takes dropout of attention weights \(d"
        ):
            ConvChoice(name).make((5, 12), 12, 3, dropout=0.5)


@pytest.mark.parametrize("same_nodes", [False, True])
@pytest.mark.parametrize("asked", [{"dropout": 0.5}, {"edge_dim": 3}])
@pytest.mark.parametrize("conv", ["auto", "fused"])
def test_a_mean_with_dropout_never_becomes_attention(conv: str, asked: dict[str, float], same_nodes: bool) -> None:
    with pytest.raises(ValueError, match=r"whose backend is scatter; found 'mean'|found (dropout=0\.5|edge_dim=3)"):
        ConvChoice(conv, backend="mean").make((12, 12), 12, 3, same_nodes=same_nodes, **asked)  # type: ignore[arg-type]


def test_backends() -> None:
    with pytest.raises(ValueError, match=r"attention backend: expected one of auto, reference, .*; found 'mena'"):
        ConvChoice(backend="mena")
    with pytest.raises(ValueError, match=r"^conv attention: expected backend auto or scatter, found 'mean'$"):
        ConvChoice("attention", backend="mean")
    mine = Variant("mine", "the query", lambda query, key, value, edges: query, cpu=(torch.float32,))
    layer = ConvChoice(backend=mine).make((12, 12), 12, 3, same_nodes=True)
    x = torch.randn(4, 12)
    torch.testing.assert_close(layer(x, torch.randint(4, (2, 5))), layer.lin_out(layer.lin_query(x)))


def test_which_layers_can_return_weights() -> None:
    can = [
        IntraConv(4, 4),
        InterConv(4, 4),
        *(ConvChoice(n).make((4, 4), 4, 2) for n in ("GATConv", "TransformerConv")),
    ]
    cannot: list[nn.Module] = [FusedIntraConv(4, 4), ConvChoice("SAGEConv").make((4, 4), 4, 2)]
    assert all(can_return_weights(layer) for layer in can)
    assert not any(can_return_weights(layer) for layer in cannot)
