"""One block of the network: for each relation of the graph in turn, messages and a feed-forward network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from hgg_pyg.attention import Edges
from hgg_pyg.attention.edges import as_edge_index
from hgg_pyg.nn.attention_conv import AttentionConv

Norm = Literal["pre", "post"]
EdgeType: TypeAlias = tuple[str, str, str]


class GraphBlock(nn.Module):
    r"""One turn of Algorithm 2's outer loop (Eqs. 8-16), every step with its residual.

    .. math::
        q \leftarrow q + \mathrm{Conv}_r(\mathrm{LN}(q), x_r), \quad q \leftarrow q + \mathrm{FFN}_r(\mathrm{LN}(q))
        \qquad \text{for each relation } r \text{ in order}

    with norm="pre"; norm="post" is q <- LN(q + step(q)), as in the authors' release. With the relations of the paper,
    r is first (gaussian, binds, vertex), the intra-node operation, then (vertex, near, vertex), the inter-node one.

    Args:
        channels: D, of a query.
        convs: a layer per relation, in order; each ends at the nodes that have the queries.
        ffn_ratio: hidden channels of the feed-forward networks, as a multiple of D.
        dropout: probability of dropping the output of a feed-forward network in training.
        norm: where the layer norms stand.

    Shapes:
        - **input:** queries [N, S, D] with S tokens per vertex; by relation, the features of its sources [M, F] where
          these are not the queries, its edges and its edge features
        - **output:** like the queries

    Raises:
        ValueError: `norm` is unknown.
    """

    def __init__(
        self,
        channels: int,
        convs: Mapping[EdgeType, nn.Module],
        ffn_ratio: int = 2,
        dropout: float = 0.0,
        norm: Norm = "pre",
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"GraphBlock.norm: expected one of {', '.join(get_args(Norm))}, found {norm!r}")
        self.norm: Norm = norm
        self.relations = tuple(convs)
        self.convs = nn.ModuleDict({"__".join(relation): conv for relation, conv in convs.items()})
        self.ffns = nn.ModuleDict({name: _feed_forward(channels, ffn_ratio, dropout) for name in self.convs})
        self.norms = nn.ModuleDict(
            {name: nn.ModuleList(nn.LayerNorm(channels) for _ in range(2)) for name in self.convs}
        )

    def conv(self, relation: EdgeType) -> nn.Module:
        """The layer of a relation."""
        return self.convs["__".join(relation)]

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        reset_parameters(self)

    def forward(
        self,
        q: Tensor,
        x: Mapping[EdgeType, Tensor],
        edges: Mapping[EdgeType, Tensor | Edges],
        edge_attr: Mapping[EdgeType, Tensor] | None = None,
    ) -> Tensor:
        """Update the queries; see the class for shapes. Sources of a relation that is not in `x` are the queries."""
        for relation, name in zip(self.relations, self.convs, strict=True):
            before, between = cast(nn.ModuleList, self.norms[name])
            messages = partial(self._messages, relation, x, edges, edge_attr or {})
            for norm, step in ((before, messages), (between, self.ffns[name])):
                q = q + step(norm(q)) if self.norm == "pre" else norm(q + step(q))
        return q

    def _messages(
        self,
        relation: EdgeType,
        x: Mapping[EdgeType, Tensor],
        edges: Mapping[EdgeType, Tensor | Edges],
        edge_attr: Mapping[EdgeType, Tensor],
        h: Tensor,
    ) -> Tensor:
        return pass_messages(self.conv(relation), x.get(relation, h), h, edges[relation], edge_attr.get(relation))


def pass_messages(
    conv: nn.Module, source: Tensor, queries: Tensor, edges: Tensor | Edges, edge_attr: Tensor | None = None
) -> Tensor:
    """Call a layer for S tokens per vertex: ours take them all at once, any other layer takes one after the other.

    Args:
        conv: the layer.
        source: [M, F], or [M, S, F] where sources have tokens too.
        queries: [N, S, D].
        edges: sources to targets.
        edge_attr: [E, edge_dim].

    Returns:
        [N, S, out_channels]
    """
    features = () if edge_attr is None else (edge_attr,)
    if isinstance(conv, AttentionConv):
        return conv((source, queries), edges, *features)
    edge_index = as_edge_index(edges)
    source = source.to(queries.dtype)  # features may be stored in bfloat16
    tokens = [
        conv((source if source.ndim == 2 else source[:, s], queries[:, s]), edge_index, *features)
        for s in range(queries.shape[1])
    ]
    out = torch.stack(tokens, 1)
    if out.shape[:2] != queries.shape[:2] or not out.is_floating_point():  # a residual would broadcast in silence
        found = f"[{', '.join(map(str, tokens[0].shape))}] {out.dtype}"
        raise ValueError(f"{type(conv).__name__}: expected [{len(queries)}, D] of floating point, found {found}")
    return out


def reset_parameters(module: nn.Module) -> None:
    """Draw the weights of all layers within a module anew."""
    for child in module.children():
        reset = getattr(child, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            reset_parameters(child)


def _feed_forward(channels: int, ratio: int, dropout: float) -> nn.Sequential:
    """The transformer's feed-forward network of Eqs. 13 and 16."""
    hidden = channels * ratio
    return nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels), nn.Dropout(dropout))
