"""The intra-node operation: a vertex gathers from its Gaussians of all frames."""

from typing import Literal, overload

from torch import Tensor

from hgg_pyg.attention import Edges, attend_folded
from hgg_pyg.nn._attention import EdgeAttention, edge_index_of


class IntraConv(EdgeAttention):
    r"""Each vertex query attends to the Gaussians that bind to its vertex, of every frame (Eqs. 8-12).

    .. math::
        \tilde{q}_n = W_O \, \mathrm{softmax}_{g \in B_n(\mathcal{G})}
            \left( h_Q(q_n) \cdot h_K(g) / \sqrt{C} \right) h_V(g)

    per head. With `fold`, the same from the other side: keys and values are linear in a Gaussian's features, so

    .. math::
        h_Q(q_n) \cdot h_K(g) = (W_K^\top h_Q(q_n)) \cdot g + \text{const}_n, \qquad
        \sum_g \alpha_g h_V(g) = W_V \Big( \sum_g \alpha_g g \Big) + b_V

    where the constant cancels in the softmax and the second bias adds where a vertex has any Gaussian. The projections
    move from the Gaussians to the vertices, which are some 76 times fewer, and the edges carry raw features, once for
    all heads and, if these are frozen, without gradients. The weights are the same, so are the results but for
    rounding. It pays while a Gaussian has fewer edges than a head has channels; with more, the layer does not fold.

    (Eq. 12 prints h_K for the values; the sentence below it names h_V.) A vertex without Gaussians gets
    exactly zero: no bias reaches it, so its residual stays as it was.

    Args:
        source_dim: channels of a Gaussian's features.
        dim: channels D of a query.
        heads: H, a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.
        attention: the variant that computes it, a name from `hgg_pyg.attention.variants()`, or "auto".
        fold: project on the vertices' side, where that pays and no weights are asked for or dropped.

    Shapes:
        - **input:** Gaussian features [P, source_dim]; queries [N, D], or [N, S, D] for S slots that attend to the
          Gaussians independently; edge_index [2, E], Gaussians in row 0, vertices in row 1, or `Edges`
        - **output:** like the queries, and with `return_attention_weights` (edge_index, weights [E, H] or [E, S, H])

    Raises:
        ValueError: `heads` does not divide `dim`.
    """

    def __init__(
        self,
        source_dim: int,
        dim: int,
        heads: int = 4,
        dropout: float = 0.0,
        attention: str = "scatter",
        fold: bool = False,
    ) -> None:
        super().__init__(source_dim, dim, dim, heads, dropout, attention)
        self.fold = fold

    @overload
    def forward(
        self, x: tuple[Tensor, Tensor], edge_index: Tensor | Edges, return_attention_weights: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: tuple[Tensor, Tensor], edge_index: Tensor | Edges, return_attention_weights: Literal[True]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...

    def forward(
        self, x: tuple[Tensor, Tensor], edge_index: Tensor | Edges, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """(Gaussian features, queries) along (gaussian, binds, vertex) edges; see the class for shapes."""
        out, weights = self._attend(x[0], x[1], edge_index, return_attention_weights)
        return out if weights is None else (out, (edge_index_of(edge_index), weights))

    def _by_variant(self, source: Tensor, target: Tensor, edge_index: Tensor | Edges) -> Tensor:
        edges = Edges.from_index(edge_index, len(source), len(target))
        channels = self.dim // self.heads
        if not self.fold or len(edges.source) >= channels * max(len(source), 1):
            return super()._by_variant(source, target, edges)
        query = self.lin_query(target).unflatten(-1, (self.heads, channels))
        to_key, to_value = (
            linear.weight.unflatten(0, (self.heads, channels)) for linear in (self.lin_key, self.lin_value)
        )
        out = attend_folded(query, to_key, to_value, source, edges, variant=self.attention)
        # The key's bias has no effect; by zero it takes part, for processes that train together wait for its gradient.
        bias = (self.lin_value.bias + 0 * self.lin_key.bias).unflatten(0, (self.heads, channels))
        return out + (edges.degree > 0).to(out.dtype)[:, None, None, None] * bias.to(out.dtype)
