"""The fast twins of the three layers: the same weights under the same names, attention by a backend, not by messages.

Their precedent is PyG's `FusedGATConv`. What messages can do and they cannot (weights of edges, dropout of them, edge
features, hooks, explainers) they refuse by name; `plain` gives the layer of messages with the same weights.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch_geometric.nn.dense.linear import is_uninitialized_parameter

from hgg_pyg.attention import AnyEdges, Edges, Variant, attend, attend_folded, find_variant
from hgg_pyg.attention.edges import as_edge_index
from hgg_pyg.attention.kernels.walk import Walk, walk_of
from hgg_pyg.attention.methods._compiling import untraced
from hgg_pyg.attention.registry import get_variant
from hgg_pyg.nn.attention_conv import AttentionConv
from hgg_pyg.nn.inter import InterConv
from hgg_pyg.nn.intra import IntraConv
from hgg_pyg.nn.readout import ReadoutConv

_HOOKS = tuple(f"_{step}_forward_{when}" for step in ("propagate", "message", "aggregate", "edge_update")
               for when in ("pre_hooks", "hooks"))  # fmt: skip


class FusedConv(AttentionConv):
    """What the fused layers share. `backend` is how attention is computed.

    Args:
        in_channels: as `AttentionConv` has them, and so are `out_channels` and `heads`.
        backend: a `Variant`, a name from `hgg_pyg.attention.variants()`, "module:NAME" of a `Variant` of yours, or
            "auto". A variant that is not exact computes another operation, for it was asked to.

    Raises:
        ValueError: the backend is unknown, or an argument is one that only messages can do; in `forward`, the backend
            cannot run there, or what is asked for takes messages.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 4,
        backend: str | Variant = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, heads, **kwargs)
        for name, value in kwargs.items():
            if value not in (None, False, 0, "add", "source_to_target"):
                self._refuse(f"{name}={value!r}")
        find_variant(backend)
        self.backend = backend

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: AnyEdges,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Tensor:
        """As `AttentionConv.forward`, for what a backend can do; see `Edges.from_index` for the formats of edges."""
        if edge_attr is not None:
            self._refuse("edge features")
        if return_attention_weights:
            self._refuse("return_attention_weights")
        if self.dropout and self.training:
            self._refuse(f"dropout={self.dropout!r}")
        if self.explain:
            self._refuse("an explainer")
        if any(getattr(self, hooks, None) for hooks in _HOOKS):
            self._refuse("a hook on messages")
        source, target = (x, x) if isinstance(x, Tensor) else x
        slots = target if target.ndim == 3 else target.unsqueeze(1)
        out = self.lin_out(self._fused(source, slots, edge_index).flatten(2))
        return out if target.ndim == 3 else out.squeeze(1)

    def _fused(self, source: Tensor, target: Tensor, edge_index: AnyEdges) -> Tensor:
        """Sources [M, F] or [M, S, F], targets [N, S, F] -> [N, S, H, C]"""
        source = source.to(self.lin_key.weight.dtype)  # features may be stored in bfloat16
        query = self._split(self.lin_query(target))
        key, value = self._split(self.lin_key(source)), self._split(self.lin_value(source))
        if source.ndim == 2:
            return attend(query, key.squeeze(1), value.squeeze(1), edge_index, backend=self.backend)
        # Slots that see their own sources only are as many more heads.
        flat_query, flat_key, flat_value = (x.flatten(1, 2) for x in (query, key, value))
        return attend(flat_query, flat_key, flat_value, edge_index, backend=self.backend).view(query.shape)

    def _refuse(self, what: str) -> NoReturn:
        name = type(self).__name__
        raise ValueError(
            f"{name}: expected nothing that takes messages, found {what}: {name.removeprefix('Fused')} can"
        )


class FusedIntraConv(FusedConv, IntraConv):  # pyright: ignore[reportIncompatibleMethodOverride]
    r"""`IntraConv` by a backend, and with `fold` from the other side: keys and values are linear in the features, so

    .. math::
        h_Q(q_n) \cdot h_K(g) = (W_K^\top h_Q(q_n)) \cdot g + \text{const}_n, \qquad
        \sum_g \alpha_g h_V(g) = W_V \Big( \sum_g \alpha_g g \Big) + b_V

    where the constant cancels in the softmax and the second bias adds where a vertex has any Gaussian. The projections
    move from the Gaussians to the vertices, which are some 76 times fewer, and the edges carry raw features, once for
    all heads and, if these are frozen, without gradients. The weights are the same, so are the results but for
    rounding. It pays while a Gaussian has fewer edges than a head has channels; with more, the layer does not fold.

    Args:
        fold: project on the vertices' side, where that pays. The others are those of `FusedConv`.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 4,
        backend: str | Variant = "auto",
        fold: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, heads, backend, **kwargs)
        self.fold = fold

    def _fused(self, source: Tensor, target: Tensor, edge_index: AnyEdges) -> Tensor:
        edges = Edges.from_index(edge_index, len(source), len(target))
        channels = self.out_channels // self.heads
        lazy = is_uninitialized_parameter(self.lin_key.weight)  # the first call makes it, by projecting the sources
        if not self.fold or lazy or source.ndim == 3 or len(edges.source) >= channels * max(len(source), 1):
            return super()._fused(source, target, edges)
        query = self.lin_query(target).unflatten(-1, (self.heads, channels))
        to_key, to_value = (
            linear.weight.unflatten(0, (self.heads, channels)) for linear in (self.lin_key, self.lin_value)
        )
        stored = source.dtype in (torch.bfloat16, torch.float16) and to_key.dtype == torch.float32
        source = source if stored else source.to(to_key.dtype)  # edges may walk features of half the bytes
        out = attend_folded(query, to_key, to_value, source, edges, backend=self.backend)
        # The key's bias has no effect; by zero it takes part, for processes that train together wait for its gradient.
        bias = (self.lin_value.bias + 0 * self.lin_key.bias).unflatten(0, (self.heads, channels))
        return out + (edges.degree > 0).to(out.dtype)[:, None, None, None] * bias.to(out.dtype)


@untraced
def _walk(backend: str | Variant, edges: Edges, dtype: torch.dtype) -> Walk | None:
    """What the vertices of a graph follow on a CPU, if the backend is one that is faster for it."""
    return edges.derive(walk_of) if get_variant(backend, "cpu", dtype).name == "fused" else None


class FusedInterConv(FusedConv, InterConv):  # pyright: ignore[reportIncompatibleMethodOverride]
    """`InterConv` by a backend. Where the fused kernels of a CPU find ids scattered, all of it follows a `Walk`."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Tensor | tuple[Tensor, Tensor], edge_index: AnyEdges, *args: Any, **kwargs: Any
    ) -> Tensor:
        """As `FusedConv.forward`."""
        nodes, targets = (x, x) if isinstance(x, Tensor) else x
        if nodes is targets and nodes.device.type == "cpu":
            edges = Edges.from_index(edge_index, len(nodes), len(nodes))
            walk = _walk(self.backend, edges, self.lin_key.weight.dtype)
            if walk is not None:  # once for query, key and value, and for their gradients
                return walk.back(super().forward(walk.there(nodes), walk.edges, *args, **kwargs))
            edge_index = edges
        return super().forward(x, edge_index, *args, **kwargs)


class FusedReadoutConv(FusedConv, ReadoutConv):  # pyright: ignore[reportIncompatibleMethodOverride]
    """`ReadoutConv` by a backend."""

    def _fused(self, source: Tensor, target: Tensor, edge_index: AnyEdges) -> Tensor:
        if source.ndim == 2:
            return super()._fused(source, target, edge_index)
        edges = self._edges_to_slots(as_edge_index(edge_index), source.shape[1])
        return super()._fused(source.flatten(0, 1), target, edges)


_PLAIN: dict[type[FusedConv], type[AttentionConv]] = {
    FusedIntraConv: IntraConv,
    FusedInterConv: InterConv,
    FusedReadoutConv: ReadoutConv,
}


def plain(conv: nn.Module) -> nn.Module:
    """The layer of messages that shares the weights of a fused layer; any other layer is returned as it is.

    Raises:
        ValueError: the fused layer's backend computes another operation, which messages do not.
    """
    if not isinstance(conv, FusedConv):
        return conv
    variant = find_variant(conv.backend)
    if variant is not None and not variant.exact:
        why = f"is not softmax over all edges, so it has no weights to give: {variant.summary}"
        raise ValueError(f"{type(conv).__name__}: the backend {variant.name} {why}")
    twin = _PLAIN[type(conv)](conv.in_channels, conv.out_channels, conv.heads)
    for name, linear in conv.named_children():
        setattr(twin, name, linear)
    return twin.train(conv.training)
