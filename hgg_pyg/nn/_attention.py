"""Multi-head attention along edges: what the three layers of the Human Gaussian Graph share."""

import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MessagePassing

from hgg_pyg.attention import edge_softmax


class EdgeAttention(MessagePassing):
    r"""Projections, softmax over each target's edges and weighted sum, with slots.

    .. math::
        \tilde{x}_n = W_O \, \Big\Vert_h \sum_{m \in B(n)} \alpha^h_{mn} h^h_V(x_m), \qquad
        \alpha^h_{mn} = \mathrm{softmax}_{m \in B(n)} \left( h^h_Q(x_n) \cdot h^h_K(x_m) / \sqrt{C} \right)

    over H heads of C = dim / H channels. W_O has no bias, so that a target without a source gets exactly zero.
    Projections are computed once a node; only their gathered rows live on the edges.

    Args:
        source_dim: channels of the nodes that are attended to.
        target_dim: channels of the nodes that ask.
        dim: channels of the result.
        heads: H, a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.

    Raises:
        ValueError: `heads` does not divide `dim`.
    """

    def __init__(self, source_dim: int, target_dim: int, dim: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(aggr="add", node_dim=0)
        if heads < 1 or dim % heads:
            raise ValueError(f"{type(self).__name__}: expected heads to divide dim = {dim}, found {heads}")
        self.source_dim = source_dim
        self.target_dim = target_dim
        self.dim = dim
        self.heads = heads
        self.dropout = dropout
        self.lin_query = Linear(target_dim, dim)
        self.lin_key = Linear(source_dim, dim)
        self.lin_value = Linear(source_dim, dim)
        self.lin_out = Linear(dim, dim, bias=False)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        super().reset_parameters()
        for linear in (self.lin_query, self.lin_key, self.lin_value, self.lin_out):
            linear.reset_parameters()

    def attend(self, source: Tensor, target: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Let every target attend to its sources.

        Slots, the optional middle dimension, are independent of one another: slot s of a target sees slot s of its
        sources, or the sources themselves where only the targets have slots.

        Args:
            source: [M, source_dim] or [M, S, source_dim].
            target: [N, target_dim] or [N, S, target_dim].
            edge_index: [2, E] int64, sources in row 0, targets in row 1, in any order.

        Returns:
            The result, [N, dim] or [N, S, dim] like `target`, and the weights before dropout, [E, H] or [E, S, H].
        """
        query = self._split(self.lin_query(target))
        key, value = self._split(self.lin_key(source)), self._split(self.lin_value(source))
        weights = self.edge_updater(edge_index, query=query, key=key)  # [E, S, H]
        dropped = F.dropout(weights, self.dropout, self.training)
        size = (len(source), len(target))
        out = self.propagate(edge_index, value=value, weights=dropped, size=size)  # [N, S, H, C]
        out = self.lin_out(out.flatten(2).to(value.dtype))
        return (out, weights) if target.ndim == 3 else (out[:, 0], weights[:, 0])

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
