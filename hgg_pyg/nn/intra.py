"""The intra-node operation: a vertex gathers from its Gaussians of all frames."""

from typing import Literal, overload

from torch import Tensor

from hgg_pyg.nn._attention import EdgeAttention


class IntraConv(EdgeAttention):
    r"""Each vertex query attends to the Gaussians that bind to its vertex, of every frame (Eqs. 8-12).

    .. math::
        \tilde{q}_n = W_O \, \mathrm{softmax}_{g \in B_n(\mathcal{G})}
            \left( h_Q(q_n) \cdot h_K(g) / \sqrt{C} \right) h_V(g)

    per head. (Eq. 12 prints h_K for the values; the sentence below it names h_V.) A vertex without Gaussians gets
    exactly zero: no bias reaches it, so its residual stays as it was.

    Args:
        source_dim: channels of a Gaussian's features.
        dim: channels D of a query.
        heads: H, a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.

    Shapes:
        - **input:** Gaussian features [P, source_dim]; queries [N, D], or [N, S, D] for S slots that attend to the
          Gaussians independently; edge_index [2, E], Gaussians in row 0, vertices in row 1
        - **output:** like the queries, and with `return_attention_weights` (edge_index, weights [E, H] or [E, S, H])

    Raises:
        ValueError: `heads` does not divide `dim`.
    """

    def __init__(self, source_dim: int, dim: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(source_dim, dim, dim, heads, dropout)

    @overload
    def forward(
        self, x: tuple[Tensor, Tensor], edge_index: Tensor, return_attention_weights: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: tuple[Tensor, Tensor], edge_index: Tensor, return_attention_weights: Literal[True]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...

    def forward(
        self, x: tuple[Tensor, Tensor], edge_index: Tensor, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """(Gaussian features, queries) along (gaussian, binds, vertex) edges; see the class for shapes."""
        out, weights = self.attend(x[0], x[1], edge_index)
        return (out, (edge_index, weights)) if return_attention_weights else out
