"""Attention whose keys and values are linear in features of the sources, with the projections on the targets' side."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.attend import attend
from hgg_pyg.attention.edges import AnyEdges, Edges
from hgg_pyg.attention.registry import Variant


def attend_folded(
    query: Tensor,
    key_weight: Tensor,
    value_weight: Tensor,
    features: Tensor,
    edge_index: AnyEdges,
    backend: str | Variant = "scatter",
) -> Tensor:
    r"""`attend` of keys W_K x and values W_V x, without ever making them.

    .. math::
        q \cdot (W_K x) = (W_K^\top q) \cdot x, \qquad \sum_e \alpha_e W_V x_e = W_V \sum_e \alpha_e x_e

    per head: N x H queries as wide as the features attend to the features themselves, which all heads share as key and
    value. The cost of projecting M sources becomes that of projecting N targets twice as often, and frozen features get
    no gradients. A bias of the keys would cancel in the softmax; one of the values is for the caller to add where a
    target has an edge.

    Any variant can do it: to it, the S x H queries of a target are slots that attend with one head.

    Args:
        query: [N, S, H, C].
        key_weight: [H, C, F].
        value_weight: [H, C, F].
        features: [M, F], of the query's type, or of half precision under a float32 query.
        edge_index: as `attend` takes it.
        backend: as `attend` takes it.

    Returns:
        [N, S, H, C] of the query's type; exactly zero for a target without a source.

    Raises:
        ValueError: what `attend` refuses.
    """
    num_targets, slots, heads, channels = query.shape
    edges = Edges.from_index(edge_index, len(features), num_targets)
    wide = torch.promote_types(query.dtype, features.dtype)  # under autocast queries are narrower than features
    with torch.autocast(query.device.type, enabled=False):
        asked, to_key, to_value = query.to(wide), key_weight.to(wide), value_weight.to(wide)
        to_key = to_key * (features.shape[1] / channels) ** 0.5  # `attend` divides by the root of a query's width, F
        # One product for all heads, [H, N * S, C] by [H, C, F], whose order in memory variants may take as it is.
        asked = asked.permute(2, 0, 1, 3).flatten(1, 2)
        asked = torch.bmm(asked, to_key).view(heads, num_targets, slots, -1).permute(1, 2, 0, 3).flatten(1, 2)
        shared = features.unsqueeze(1)
        sums = attend(asked.unsqueeze(2), shared, shared, edges, backend=backend).squeeze(2)  # [N, S * H, F]
        sums = sums.unflatten(1, (slots, heads)).permute(2, 0, 1, 3).flatten(1, 2)
        out = torch.bmm(sums, to_value.transpose(1, 2)).view(heads, num_targets, slots, channels)
        return out.permute(1, 2, 0, 3).to(query.dtype)
