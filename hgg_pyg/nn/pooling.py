"""What a vertex's Gaussians are like on the whole, before any attention."""

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import MultiAggregation

from hgg_pyg.attention import Edges

_USUAL_COUNT = 20  # Gaussians a vertex, from 8 frames of 4 small images


class PooledConv(nn.Module):
    r"""Each vertex hears the statistics of the Gaussians that bind to it, of every frame at once.

    .. math::
        p_n = \mathrm{MLP}\left( \Big[ \operatorname{mean} \Vert \operatorname{std} \Vert \min \Vert \max
            \Big]_{g \in B_n(\mathcal{G})} \;\Vert\; \log (1 + |B_n(\mathcal{G})|) \right)

    after Principal Neighbourhood Aggregation (Corso et al. 2020). Attention with its softmax returns a weighted mean of
    the Gaussians; how far out the outermost one is, and how much they differ, no mean can say. A vertex without
    Gaussians gets exactly zero.

    Args:
        source_dim: channels C of a Gaussian's features.
        dim: channels D of the result.

    Shapes:
        - **input:** Gaussian features [P, C]; `Edges` from P Gaussians to N vertices
        - **output:** [N, D]
    """

    def __init__(self, source_dim: int, dim: int) -> None:
        super().__init__()
        self.statistics = MultiAggregation(["mean", "std", "min", "max"], mode="cat")
        self.mix = nn.Sequential(nn.Linear(4 * source_dim + 1, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, features: Tensor, edges: Edges) -> Tensor:
        """Features along (gaussian, binds, vertex) edges; see the class for shapes."""
        features = features.to(next(self.parameters()).dtype)  # they may be stored in bfloat16
        x = features if edges.in_order else features.index_select(0, edges.source)
        pooled = self.statistics(x, ptr=edges.ptr, dim_size=edges.num_targets)
        count = edges.degree[:, None].to(x.dtype)
        many = count.log1p() - math.log1p(_USUAL_COUNT)
        return self.mix(torch.cat([pooled, many], 1)) * (count > 0)
