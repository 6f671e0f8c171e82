"""The uniform mean of a target's values: what attention costs when there is no attention."""

from __future__ import annotations

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.registry import HALF, SINGLE, Variant


def mean_of_sources(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Mean of the values of each target's edges, the same for all slots; query and key get no gradient."""
    wide = torch.promote_types(query.dtype, torch.float32)
    values = value.to(wide)
    values = values if edges.in_order else values.index_select(0, edges.source)
    summed = values.new_zeros(len(query), *value.shape[1:]).index_add(0, edges.target, values)
    mean = summed / edges.degree.clamp(min=1)[:, None, None]
    return mean.to(query.dtype)[:, None].expand(query.shape).contiguous()


VARIANT = Variant(
    "mean",
    "uniform mean of the values, no attention: the floor",
    mean_of_sources,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
    exact=False,
)
