"""Edge attention written densely: slow, of any precision, and the measure of every other way of computing it."""

from __future__ import annotations

import torch
from torch import Tensor


def reference_attention(query: Tensor, key: Tensor, value: Tensor, edge_index: Tensor) -> Tensor:
    r"""Attention of N targets over their sources (Eqs. 9-12 after the projections), by dense masked matrices.

    .. math::
        o_n = \sum_{m \in B(n)} \frac{\exp(q_n \cdot k_m / \sqrt{C})}
                                     {\sum_{m' \in B(n)} \exp(q_n \cdot k_{m'} / \sqrt{C})} v_m

    B(n) is a multiset: an edge given twice counts twice. Where it is empty the result is exactly zero, and gradients
    are finite. Computed in the type of the inputs.

    Args:
        query: [N, H, C], or [N, S, H, C] for S slots that attend to the same keys independently.
        key: [M, H, C].
        value: [M, H, C].
        edge_index: [2, E] sources in row 0, targets in row 1, in any order.

    Returns:
        Of the shape of `query`.
    """
    num_targets, num_sources, channels = len(query), len(key), query.shape[-1]
    source, target = edge_index
    count = query.new_zeros(num_targets, num_sources)
    count.index_put_((target, source), query.new_ones(1), accumulate=True)
    count = count[:, None, None]  # [N, 1, 1, M]
    linked = count > 0

    slots = query if query.ndim == 4 else query[:, None]
    logits = torch.einsum("nshc,mhc->nshm", slots, key) / channels**0.5
    # The shift only keeps exp in range. Masked by finite values, else gradients of empty rows would be NaN.
    lowest = torch.finfo(query.dtype).min
    shift = logits.detach().masked_fill(~linked, lowest).amax(-1, keepdim=True) if num_sources else 0.0
    weights = count * (logits - shift).masked_fill(~linked, 0.0).exp()
    total = weights.sum(-1, keepdim=True)
    weights = weights / total.masked_fill(total == 0, 1.0)
    return torch.einsum("nshm,mhc->nshc", weights, value).view_as(query)
