"""Multi-head attention along edges as PyG message passing: what the three layers of the graph share."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.utils import is_torch_sparse_tensor

from hgg_pyg.attention import AnyEdges, Edges, edge_softmax
from hgg_pyg.attention.edges import as_edge_index


class AttentionConv(MessagePassing):
    r"""Projections, softmax over each target's edges by torch_scatter, and the weighted sum.

    .. math::
        x'_n = W_O \, \Big\Vert_h \sum_{m \in B(n)} \alpha^h_{mn} \, (W^h_V x_m + W^h_E e_{mn}), \qquad
        \alpha^h_{mn} = \mathrm{softmax}_{m \in B(n)}
            \frac{(W^h_Q x_n)^\top (W^h_K x_m + W^h_E e_{mn})}{\sqrt{C}}

    over H heads of C = out_channels / H channels; W_Q, W_K and W_V have biases. W_O has none, so that a target without
    a source gets exactly zero. Without edge features, and with W_O the identity, this is `TransformerConv` of PyG
    without its root weight.

    Args:
        in_channels: channels of the sources and of the targets, or one number for both; -1 takes them from the first
            input.
        out_channels: channels of the result, all heads together.
        heads: H, a divisor of `out_channels`.
        dropout: probability of dropping an attention weight in training.
        edge_dim: channels of edge features; None: there are none.
        **kwargs: what `MessagePassing` takes, `flow` for example.

    Shapes:
        - **input:** (sources [M, F_source], targets [N, F_target]), or [N, F] for both; edges, see `forward`; edge
          features [E, edge_dim]. Sources and targets may have slots, [.., S, F], independent of one another: slot s of
          a target sees slot s of its sources, or the sources themselves where only the targets have slots.
        - **output:** [N, out_channels] or [N, S, out_channels]; with `return_attention_weights` also
          (edges, weights [E, H] or [E, S, H])

    Raises:
        ValueError: `heads` does not divide `out_channels`.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 4,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"aggr": "add", "node_dim": 0, **kwargs})
        if heads < 1 or out_channels % heads:
            expected = f"expected heads to divide out_channels = {out_channels}"
            raise ValueError(f"{type(self).__name__}: {expected}, found {heads}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.dropout = dropout
        self.edge_dim = edge_dim
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels, in_channels)
        self.lin_query = Linear(target, out_channels)
        self.lin_key = Linear(source, out_channels)
        self.lin_value = Linear(source, out_channels)
        self.lin_edge = None if edge_dim is None else Linear(edge_dim, out_channels, bias=False)
        self.lin_out = Linear(out_channels, out_channels, bias=False)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        super().reset_parameters()
        for linear in (self.lin_query, self.lin_key, self.lin_value, self.lin_edge, self.lin_out):
            if linear is not None:
                linear.reset_parameters()

    @overload
    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: AnyEdges,
        edge_attr: Tensor | None = None,
        return_attention_weights: Literal[False] | None = None,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: AnyEdges,
        edge_attr: Tensor | None = None,
        *,
        return_attention_weights: Literal[True],
    ) -> tuple[Tensor, tuple[AnyEdges, Tensor]]: ...

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: AnyEdges,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Tensor | tuple[Tensor, tuple[AnyEdges, Tensor]]:
        """Pass messages along the edges.

        Args:
            x: see the class for shapes.
            edge_index: [2, E] int64 or int32, sources in row 0 and targets in row 1 (the other way around under
                flow="target_to_source"), in any order; an `EdgeIndex`; the adjacency of targets (rows) by sources,
                PyG's `adj_t`, as `SparseTensor` or torch.sparse tensor; or `Edges`.
            edge_attr: [E, edge_dim] in the order of the edges; a sparse adjacency's values if None.
            return_attention_weights: whether to return the weights too, as they are before dropout.

        Returns:
            See the class. The edges come back as they were given, a `SparseTensor` with the weights as its values.

        Raises:
            ValueError: edge features are missing, or were not announced by `edge_dim`.
        """
        source, target = (x, x) if isinstance(x, Tensor) else x
        has_slots = target.ndim == 3
        edges = self._in_flow(edge_index)
        edge_attr = self._check_features(edge_index, edge_attr, edges.shape[1])
        out, weights = self._attend(source, target if has_slots else target.unsqueeze(1), edges, edge_attr)
        out = out if has_slots else out.squeeze(1)
        if not return_attention_weights:
            return out
        weights = weights if has_slots else weights.squeeze(1)
        edges = edge_index if isinstance(edge_index, Tensor | Edges) else edge_index.set_value(weights, layout="coo")
        return out, (edges, weights)

    def _attend(self, source: Tensor, target: Tensor, edges: Tensor, edge_attr: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sources [M, F] or [M, S, F], targets [N, S, F] -> [N, S, out_channels] and the weights [E, S, H]."""
        edge = None if self.lin_edge is None else self._split(self.lin_edge(edge_attr))
        source = source.to(self.lin_key.weight.dtype)  # features may be stored in bfloat16
        query = self._split(self.lin_query(target))
        key, value = self._split(self.lin_key(source)), self._split(self.lin_value(source))
        size = (len(source), len(target)) if self.flow == "source_to_target" else (len(target), len(source))
        weights = self.edge_updater(edges, size=size, query=query, key=key, edge=edge)
        dropped = F.dropout(weights, self.dropout, self.training)
        out = self.propagate(edges, size=size, value=value, weights=dropped, edge=edge)
        return self.lin_out(out.to(value.dtype).flatten(2)), weights

    def _in_flow(self, edge_index: AnyEdges) -> Tensor:
        """[2, E] int64 with sources and targets in the rows in which the flow has them."""
        edges = as_edge_index(edge_index)
        if isinstance(edges, EdgeIndex) and (not edges.is_sorted or None in edges.sparse_size()):
            edges = edges.as_tensor()  # PyG would take the largest indices for the numbers of nodes
        plain = isinstance(edge_index, Tensor) and not is_torch_sparse_tensor(edge_index)
        return edges if plain or self.flow == "source_to_target" else edges.flip(0)

    def _check_features(self, edge_index: AnyEdges, edge_attr: Tensor | None, count: int) -> Tensor | None:
        """The features of the edges, [E, edge_dim]."""
        if self.lin_edge is None:
            if edge_attr is not None:
                raise ValueError(f"{type(self).__name__}: expected no edge features without edge_dim, found some")
            return None
        edge_attr = _values_of(edge_index) if edge_attr is None else edge_attr
        if edge_attr is None:
            raise ValueError(f"{type(self).__name__}: expected {self.edge_dim} edge features, found none")
        edge_attr = edge_attr if edge_attr.ndim > 1 else edge_attr[:, None]
        width = edge_attr.shape[-1] if self.edge_dim == -1 else self.edge_dim
        if edge_attr.shape != (count, width):
            expected, found = f"[{count}, {width}]", list(edge_attr.shape)
            raise ValueError(f"{type(self).__name__}: expected edge features {expected}, found {found}")
        return edge_attr

    def edge_update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query_i: Tensor, key_j: Tensor, edge: Tensor | None, index: Tensor, size_i: int
    ) -> Tensor:
        """Attention weights. query_i [E, S, H, C], key_j and edge [E, S or 1, H, C], index [E] -> [E, S, H]"""
        key = key_j if edge is None else key_j + edge
        logits = (query_i * key).sum(-1) / query_i.shape[-1] ** 0.5
        return edge_softmax(logits, torch.as_tensor(index), size_i)

    def message(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, value_j: Tensor, weights: Tensor, edge: Tensor | None
    ) -> Tensor:
        """What each edge carries. value_j and edge [E, S or 1, H, C], weights [E, S, H] -> [E, S, H, C]"""
        value = value_j if edge is None else value_j + edge
        return weights[..., None] * value

    def _split(self, x: Tensor) -> Tensor:
        """[n, out_channels] or [n, S, out_channels] -> [n, 1 or S, H, C]"""
        slots = x.shape[1] if x.ndim == 3 else 1
        return x.view(len(x), slots, self.heads, self.out_channels // self.heads)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, heads={self.heads})"


def _values_of(edge_index: AnyEdges) -> Tensor | None:
    """The values of a sparse adjacency, in the order of its edges."""
    if isinstance(edge_index, Tensor):
        if not is_torch_sparse_tensor(edge_index):
            return None
        return edge_index._values() if edge_index.layout == torch.sparse_coo else edge_index.values()
    return None if isinstance(edge_index, Edges) else edge_index.storage.value()
