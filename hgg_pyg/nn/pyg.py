"""PyG's own attention layers in the place of ours, to compare with."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, TransformerConv

from hgg_pyg.attention import Edges
from hgg_pyg.nn._attention import edge_index_of

PyGLayer = Literal["transformer_conv", "gatv2_conv"]


class PyGConv(nn.Module):
    """A PyG layer called as `IntraConv`, with a pair, or as `InterConv`, with one tensor.

    Neither has a root weight or a bias behind the attention, so a target without a source gets exactly zero. With the
    weights of ours, `TransformerConv` gives the numbers of ours before its output projection, which this adds.

    Args:
        layer: "transformer_conv", or "gatv2_conv", whose attention is additive.
        source_dim: channels of the nodes that are attended to.
        dim: channels D of a query and of the result.
        heads: a divisor of `dim`.
        dropout: probability of dropping an attention weight in training.

    Shapes:
        - **input:** (sources [M, source_dim], queries [N, D] or [N, S, D]), or queries alone; edge_index [2, E] or
          `Edges`. Slots go through one after another.
        - **output:** like the queries

    Raises:
        ValueError: `heads` does not divide `dim`.
    """

    def __init__(self, layer: PyGLayer, source_dim: int, dim: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"PyGConv: expected heads to divide dim = {dim}, found {heads}")
        if layer == "transformer_conv":
            self.conv = TransformerConv((source_dim, dim), dim // heads, heads, dropout=dropout, root_weight=False)
            self.conv.lin_skip.requires_grad_(False)  # it is made all the same, and not used
        else:
            channels = dim // heads
            self.conv = GATv2Conv((source_dim, dim), channels, heads, dropout=dropout, add_self_loops=False, bias=False)
        self.lin_out = nn.Linear(dim, dim, bias=False)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.conv.reset_parameters()
        self.lin_out.reset_parameters()

    def forward(self, x: Tensor | tuple[Tensor, Tensor], edge_index: Tensor | Edges) -> Tensor:
        """See the class for shapes."""
        source, target = x if isinstance(x, tuple) else (x, x)
        edges = edge_index_of(edge_index)
        source = source.to(self.lin_out.weight.dtype)
        if target.ndim == 2:
            return self.lin_out(self.conv((source, target), edges))
        slots = [
            self.conv((source if source.ndim == 2 else source[:, s], target[:, s]), edges)
            for s in range(target.shape[1])
        ]
        return self.lin_out(torch.stack(slots, dim=1))
