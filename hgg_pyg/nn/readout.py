"""The read-out: the Gaussians of one frame ask the vertices what was learnt."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.nn.attention_conv import AttentionConv


class ReadoutConv(AttentionConv):
    r"""Each Gaussian of the reference frame attends to all slots of its k nearest vertices (Eqs. 17, 18).

    .. math::
        \Delta g_m = W_O \, \mathrm{softmax}_{(n, s) \in B_m}
            \left( h_Q(g_m) \cdot h_K(q_{n,s}) / \sqrt{C} \right) h_V(q_{n,s}), \qquad B_m = \mathrm{NN}_k(m) \times S

    per head; the residual of Eq. 17 is the caller's to add. With k = 1 and one slot (S = 1), as in the paper, the
    softmax is over a single key: it is identically 1 and the layer degenerates to a value projection. Then the query
    and key weights get no gradient, and all Gaussians of a vertex receive the same. It is real attention with several
    slots per vertex (the authors' release) or k > 1. A Gaussian without a vertex gets exactly zero.

    Arguments are those of `AttentionConv`.

    Shapes:
        - **input:** (queries [N, D] or [N, S, D], Gaussian features [M, F]); edges from vertices to Gaussians
        - **output:** [M, out_channels]; weights are [E, H] or [E, S, H] and sum to one over the edges *and slots* of a
          Gaussian
    """

    def _attend(self, source: Tensor, target: Tensor, edges: Tensor, edge_attr: Tensor | None) -> tuple[Tensor, Tensor]:
        if source.ndim == 2:
            return super()._attend(source, target, edges, edge_attr)
        slots = source.shape[1]
        edge_attr = None if edge_attr is None else edge_attr.repeat_interleave(slots, 0)
        out, weights = super()._attend(source.flatten(0, 1), target, self._edges_to_slots(edges, slots), edge_attr)
        return out, weights.view(-1, 1, slots, self.heads)

    def explain_message(self, inputs: Tensor, dim_size: int | None) -> Tensor:
        """An explainer's mask of the edges, the same for all slots of a vertex. inputs [E * S, ...]"""
        if self._edge_mask is None or len(inputs) % max(len(self._edge_mask), 1):
            return super().explain_message(inputs, dim_size)
        by_edge = inputs.view(len(self._edge_mask), -1, *inputs.shape[1:])
        return super().explain_message(by_edge, dim_size).view_as(inputs)

    def _edges_to_slots(self, edges: Tensor, slots: int) -> Tensor:
        """Edges from vertices [2, E] -> [2, E * S] from the slots of each: slot s of vertex n is source n * S + s."""
        backwards = self.flow == "target_to_source"
        vertex, gaussian = edges.flip(0) if backwards else edges
        slot = vertex[:, None] * slots + torch.arange(slots, device=vertex.device)
        expanded = torch.stack([slot.flatten(), gaussian.repeat_interleave(slots)])
        return expanded.flip(0) if backwards else expanded
