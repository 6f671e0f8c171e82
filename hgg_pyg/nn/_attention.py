"""Multi-head attention along edges: what the three layers of the Human Gaussian Graph share."""

import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MessagePassing

from hgg_pyg.attention import Edges, attend, edge_softmax


class EdgeAttention(MessagePassing):
    r"""Projections, softmax over each target's edges and weighted sum, with slots.

    .. math::
        \tilde{x}_n = W_O \, \Big\Vert_h \sum_{m \in B(n)} \alpha^h_{mn} h^h_V(x_m), \qquad
        \alpha^h_{mn} = \mathrm{softmax}_{m \in B(n)} \left( h^h_Q(x_n) \cdot h^h_K(x_m) / \sqrt{C} \right)

    over H heads of C = dim / H channels. W_O has no bias, so that a target without a source gets exactly zero.

    Args:
        source_dim: channels of the nodes that are attended to.
        target_dim: channels of the nodes that ask.
        dim: channels of the result.
        heads: H, a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.
        attention: the variant that computes it, a name from `hgg_pyg.attention.variants()`, or "auto".

    Raises:
        ValueError: `heads` does not divide `dim`; in `forward`, the variant is unknown or cannot run there.
    """

    def __init__(
        self,
        source_dim: int,
        target_dim: int,
        dim: int,
        heads: int = 4,
        dropout: float = 0.0,
        attention: str = "scatter",
    ) -> None:
        super().__init__(aggr="add", node_dim=0)
        if heads < 1 or dim % heads:
            raise ValueError(f"{type(self).__name__}: expected heads to divide dim = {dim}, found {heads}")
        self.source_dim = source_dim
        self.target_dim = target_dim
        self.dim = dim
        self.heads = heads
        self.dropout = dropout
        self.attention = attention
        self.lin_query = Linear(target_dim, dim)
        self.lin_key = Linear(source_dim, dim)
        self.lin_value = Linear(source_dim, dim)
        self.lin_out = Linear(dim, dim, bias=False)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        super().reset_parameters()
        for linear in (self.lin_query, self.lin_key, self.lin_value, self.lin_out):
            linear.reset_parameters()

    def _attend(
        self, source: Tensor, target: Tensor, edge_index: Tensor | Edges, with_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Let every target attend to its sources.

        Slots, the optional middle dimension, are independent of one another: slot s of a target sees slot s of its
        sources, or the sources themselves where only the targets have slots.

        Weights of edges exist where they are asked for or dropped: then PyG's message passing computes them, whatever
        `attention` says.

        Args:
            source: [M, source_dim] or [M, S, source_dim].
            target: [N, target_dim] or [N, S, target_dim].
            edge_index: [2, E] int64, sources in row 0, targets in row 1, in any order; or `Edges`.
            with_weights: whether to return the weights.

        Returns:
            The result, [N, dim] or [N, S, dim] like `target`, and the weights before dropout, [E, H] or [E, S, H].
        """
        slots = target if target.ndim == 3 else target.unsqueeze(1)
        weights = None
        if with_weights or (self.training and self.dropout > 0):
            out, weights = self._by_messages(source, slots, edge_index)
        else:
            out = self._by_variant(source, slots, edge_index)
        out = self.lin_out(out.flatten(2))
        weights = weights if with_weights else None
        if target.ndim == 3:
            return out, weights
        return out.squeeze(1), None if weights is None else weights.squeeze(1)

    def _by_messages(self, source: Tensor, target: Tensor, edge_index: Tensor | Edges) -> tuple[Tensor, Tensor]:
        """PyG's way: -> [N, S, H, C] and the weights [E, S, H]."""
        edge_index = edge_index_of(edge_index)
        source = source.to(self.lin_key.weight.dtype)  # features may be stored in bfloat16
        query = self._split(self.lin_query(target))
        key, value = self._split(self.lin_key(source)), self._split(self.lin_value(source))
        weights = self.edge_updater(edge_index, query=query, key=key)  # [E, S, H]
        dropped = F.dropout(weights, self.dropout, self.training)
        out = self.propagate(edge_index, value=value, weights=dropped, size=(len(source), len(target)))
        return out.to(value.dtype), weights

    def _by_variant(self, source: Tensor, target: Tensor, edge_index: Tensor | Edges) -> Tensor:
        """By the chosen variant: -> [N, S, H, C]"""
        source = source.to(self.lin_key.weight.dtype)  # features may be stored in bfloat16
        query = self._split(self.lin_query(target))
        key, value = self._split(self.lin_key(source)), self._split(self.lin_value(source))
        if source.ndim == 2:
            return attend(query, key.squeeze(1), value.squeeze(1), edge_index, variant=self.attention)
        # Slots that see their own sources only are as many more heads.
        out = attend(query.flatten(1, 2), key.flatten(1, 2), value.flatten(1, 2), edge_index, variant=self.attention)
        return out.view(query.shape)

    def edge_update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query_i: Tensor, key_j: Tensor, index: Tensor, size_i: int
    ) -> Tensor:
        """Attention weights of the edges. query_i [E, S, H, C], key_j [E, S or 1, H, C], index [E] -> [E, S, H]"""
        logits = (query_i * key_j).sum(-1) / query_i.shape[-1] ** 0.5
        return edge_softmax(logits, index, size_i)

    def message(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, value_j: Tensor, weights: Tensor
    ) -> Tensor:
        """What each edge carries. value_j [E, S or 1, H, C], weights [E, S, H] -> [E, S, H, C]"""
        return weights[..., None] * value_j

    def _split(self, x: Tensor) -> Tensor:
        """[n, dim] or [n, S, dim] -> [n, 1 or S, H, C]"""
        return x.view(len(x), -1 if x.ndim == 3 else 1, self.heads, self.dim // self.heads)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source_dim}, {self.dim}, heads={self.heads})"


def edge_index_of(edges: Tensor | Edges) -> Tensor:
    """[2, E] as PyG has it."""
    return edges.edge_index if isinstance(edges, Edges) else edges
