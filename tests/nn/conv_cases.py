"""Layers with inputs and edges, in float64, and what the dense reference makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from hgg_pyg.attention import AnyEdges, Edges, attend
from hgg_pyg.nn import (
    AttentionConv,
    FusedInterConv,
    FusedIntraConv,
    FusedReadoutConv,
    InterConv,
    IntraConv,
    ReadoutConv,
)

P, N, D, F, H = 30, 8, 12, 5, 3
EMPTY = 2
"""the target without a source"""
PLAIN: dict[str, type[AttentionConv]] = {"intra": IntraConv, "inter": InterConv, "readout": ReadoutConv}
FUSED: dict[str, type[AttentionConv]] = {"intra": FusedIntraConv, "inter": FusedInterConv, "readout": FusedReadoutConv}

KINDS = pytest.mark.parametrize("kind", list(PLAIN))
SLOTS = pytest.mark.parametrize("slots", [0, 1, 4])
LAYERS = pytest.mark.parametrize("fused", [False, True], ids=["messages", "fused"])


@dataclass
class Case:
    """A layer, its sources and targets, and its edges."""

    kind: str
    conv: AttentionConv
    inputs: list[Tensor]
    edges: Tensor

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.inputs[0]), len(self.inputs[1])

    @property
    def x(self) -> Tensor | tuple[Tensor, Tensor]:
        """The inputs as they are given to the layer: one tensor where both are the same."""
        return self.inputs[0] if self.inputs[0] is self.inputs[1] else (self.inputs[0], self.inputs[1])

    def __call__(self, edges: AnyEdges | None = None) -> Tensor:
        return self.conv(self.x, self.edges if edges is None else edges)

    def leaves(self) -> list[Tensor]:
        """The inputs and the weights, with gradients."""
        return [x.requires_grad_() for x in dict.fromkeys(self.inputs)] + list(self.conv.parameters())

    def expected(self, edges: Tensor | None = None) -> Tensor:
        """The layer by the dense reference, slot by slot."""
        (source, target), edges = self.inputs, self.edges if edges is None else edges
        if self.kind == "readout":
            slots = source.view(N, -1, D).shape[1]
            every = [torch.stack([edges[0] * slots + s, edges[1]]) for s in range(slots)]
            return _dense(self.conv, source.reshape(-1, D), target, torch.cat(every, dim=1))
        if self.kind == "inter" and source.ndim == 3:
            pairs = zip(source.unbind(1), target.unbind(1), strict=True)
            return torch.stack([_dense(self.conv, s, t, edges) for s, t in pairs], dim=1)
        return _dense(self.conv, source, target, edges)


def _dense(conv: AttentionConv, source: Tensor, target: Tensor, edges: Tensor) -> Tensor:
    pairs: tuple[tuple[nn.Module, Tensor], ...] = (
        (conv.lin_query, target),
        (conv.lin_key, source),
        (conv.lin_value, source),
    )
    query, key, value = (linear(x).unflatten(-1, (H, D // H)) for linear, x in pairs)
    return conv.lin_out(attend(query, key, value, edges, backend="reference").flatten(-2))


def random_edges(sources: int, targets: int, count: int) -> Tensor:
    """Edges, some of them twice, of which none ends in `EMPTY`."""
    target = torch.randint(targets - 1, (count,))
    return torch.stack([torch.randint(sources, (count,)), target + (target >= EMPTY)])


def case(kind: str, slots: int = 0, edges: Tensor | None = None, fused: bool = False, **options: object) -> Case:
    """A layer with biases that are not zero, its inputs, and `edges` or random ones."""
    torch.manual_seed(0)
    queries = torch.randn(N, slots, D).double() if slots else torch.randn(N, D).double()
    features = torch.randn(P, F).double()
    inputs = {"intra": [features, queries], "inter": [queries, queries], "readout": [queries, features]}[kind]
    if edges is None:
        edges = random_edges(len(inputs[0]), len(inputs[1]), {"intra": 50, "inter": 40, "readout": 70}[kind])
    channels = inputs[0].shape[-1], inputs[1].shape[-1]
    conv = (FUSED if fused else PLAIN)[kind](channels, D, H, **options).double()  # type: ignore[arg-type]
    for linear in (conv.lin_query, conv.lin_key, conv.lin_value):
        nn.init.normal_(linear.bias)
    return Case(kind, conv, inputs, edges)


def made(c: Case) -> Edges:
    """The edges of a case, made before."""
    return Edges.from_index(c.edges, *c.sizes)


def assert_same(found: Tensor, expected: Tensor, leaves: list[Tensor], others: list[Tensor] | None = None) -> None:
    """Equal values and equal gradients of `leaves`, in float64; `others` are the leaves of what is expected."""
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    upstream = torch.randn_like(found)
    gradients = torch.autograd.grad(found, leaves, upstream)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, others or leaves, upstream), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-11)
