"""The read-out: the Gaussians of one frame ask the vertices what was learnt."""

from typing import Literal, overload

import torch
from torch import Tensor

from hgg_pyg.attention import Edges
from hgg_pyg.nn._attention import EdgeAttention, edge_index_of


class ReadoutConv(EdgeAttention):
    r"""Each Gaussian of the chosen frame attends to all slots of its k nearest vertices (Eqs. 17, 18).

    .. math::
        \Delta g_m = W_O \, \mathrm{softmax}_{(n, s) \in B_m}
            \left( h_Q(g_m) \cdot h_K(q_{n,s}) / \sqrt{C} \right) h_V(q_{n,s}), \qquad B_m = \mathrm{NN}_k(m) \times S

    per head; the residual of Eq. 17 is the caller's to add. With k = 1 and one slot (S = 1), as in the paper, the
    softmax is over a single key: it is identically 1 and the layer degenerates to a value projection. Then the query
    and key weights get no gradient, and all Gaussians of a vertex receive the same. It is real attention with several
    slots a vertex (the authors' release) or k > 1. A Gaussian without a vertex gets exactly zero.

    Args:
        gaussian_dim: channels of a Gaussian's features.
        dim: channels D of a vertex's query, and of the result.
        heads: H, a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.
        attention: the variant that computes it, a name from `hgg_pyg.attention.variants()`, or "auto".

    Shapes:
        - **input:** queries [N, D] or [N, S, D]; Gaussian features [M, gaussian_dim]; edge_index [2, M*k], vertices in
          row 0, Gaussians in row 1
        - **output:** [M, D], and with `return_attention_weights` (edge_index, weights [M*k, H] or [M*k, S, H]), which
          sum to one over the edges *and slots* of a Gaussian

    Raises:
        ValueError: `heads` does not divide `dim`.
    """

    def __init__(
        self, gaussian_dim: int, dim: int, heads: int = 4, dropout: float = 0.0, attention: str = "scatter"
    ) -> None:
        super().__init__(dim, gaussian_dim, dim, heads, dropout, attention)

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
        """(queries, Gaussian features) along vertex-to-Gaussian edges; see the class for shapes."""
        queries, gaussians = x
        if queries.ndim == 2:
            out, weights = self._attend(queries, gaussians, edge_index, return_attention_weights)
        else:
            slots = queries.shape[1]
            to_slots = _edges_to_slots(edge_index_of(edge_index), slots)
            out, weights = self._attend(queries.flatten(0, 1), gaussians, to_slots, return_attention_weights)
            weights = None if weights is None else weights.view(-1, slots, self.heads)
        return out if weights is None else (out, (edge_index_of(edge_index), weights))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target_dim}, {self.dim}, heads={self.heads})"


def _edges_to_slots(edge_index: Tensor, slots: int) -> Tensor:
    """[2, E] from vertices -> [2, E*S] from the slots of each, with slot s of vertex n as source n*S + s."""
    source = edge_index[0, :, None] * slots + torch.arange(slots, device=edge_index.device)
    return torch.stack([source.flatten(), edge_index[1].repeat_interleave(slots)])
