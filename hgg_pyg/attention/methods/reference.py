"""Edge attention written densely: slow, of any precision, and the measure of every other way of computing it."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.registry import SINGLE, Variant


def reference_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention by N x M matrices, masked where there is no edge and weighted by how often there is one.

    Gradients are finite, also of targets without a source. See `attend` for the formula and `Variant` for the shapes.
    """
    count = query.new_zeros(len(query), len(key))
    count.index_put_((edges.target, edges.source), query.new_ones(1), accumulate=True)
    count = count[:, None, None]  # [N, 1, 1, M]
    linked = count > 0

    logits = torch.einsum("nshc,mhc->nshm", query, key) / query.shape[-1] ** 0.5
    # The shift only keeps exp in range. Masked by finite values, else gradients of empty rows would be NaN.
    lowest = torch.finfo(query.dtype).min
    shift = logits.detach().masked_fill(~linked, lowest).amax(-1, keepdim=True)
    weights = count * (logits - shift).masked_fill(~linked, 0.0).exp()
    total = weights.sum(-1, keepdim=True)
    weights = weights / total.masked_fill(total == 0, 1.0)
    return torch.einsum("nshm,mhc->nshc", weights, value)


VARIANT = Variant("reference", "dense N x M matrices, masked", reference_attention, cpu=SINGLE, cuda=SINGLE)
