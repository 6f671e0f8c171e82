"""The inter-node operation: a vertex gathers from its neighbours on the mesh."""

from typing import Literal, overload

from torch import Tensor

from hgg_pyg.attention import Edges
from hgg_pyg.nn._attention import EdgeAttention, edge_index_of


class InterConv(EdgeAttention):
    r"""Each vertex query attends to the queries of the vertices near it on the mesh (Eqs. 14, 15).

    .. math::
        \tilde{q}_n = W_O \, \mathrm{softmax}_{s \in B_n(\mathcal{V})}
            \left( h_Q(q_n) \cdot h_K(q_s) / \sqrt{C} \right) h_V(q_s)

    per head. With S slots a vertex, slot i attends to slot i of the neighbours, as in the authors' release: the cost
    grows with S, not S squared, and slots mix in the read-out. A vertex without neighbours gets exactly zero.

    Args:
        dim: channels D of a query.
        heads: H, a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.
        attention: the variant that computes it, a name from `hgg_pyg.attention.variants()`, or "auto".

    Shapes:
        - **input:** queries [N, D] or [N, S, D]; edge_index [2, E], sources in row 0, targets in row 1
        - **output:** like the queries, and with `return_attention_weights` (edge_index, weights [E, H] or [E, S, H])

    Raises:
        ValueError: `heads` does not divide `dim`.
    """

    def __init__(self, dim: int, heads: int = 4, dropout: float = 0.0, attention: str = "scatter") -> None:
        super().__init__(dim, dim, dim, heads, dropout, attention)

    @overload
    def forward(
        self, x: Tensor, edge_index: Tensor | Edges, return_attention_weights: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor, edge_index: Tensor | Edges, return_attention_weights: Literal[True]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...

    def forward(
        self, x: Tensor, edge_index: Tensor | Edges, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Queries along (vertex, near, vertex) edges; see the class for shapes."""
        out, weights = self._attend(x, x, edge_index, return_attention_weights)
        return out if weights is None else (out, (edge_index_of(edge_index), weights))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dim}, heads={self.heads})"
