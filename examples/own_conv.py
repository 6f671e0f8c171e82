"""A conv of your own in the network, by its name.

Any `MessagePassing` will do that is made by `(in_channels, out_channels, **options)`, with `heads` if it has any, and
called by `((x_src, x_dst), edge_index)`. This one takes the mean of the sources instead of attending to them.

python own_conv.py                                                     tries it on a random graph
python -m hgg_pyg.train --name mean --model.conv own_conv:MeanConv     trains with it, this folder on PYTHONPATH

An argument of its own is given by `--model.conv-options aggr=max`.
"""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.nn import Linear, MessagePassing

from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet


class MeanConv(MessagePassing):
    """x'_n = W_root x_n + W mean of the sources of n. (sources [M, F], targets [N, D]) -> [N, out_channels]"""

    def __init__(self, in_channels: tuple[int, int], out_channels: int, aggr: str = "mean") -> None:
        super().__init__(aggr=aggr)
        source, target = in_channels
        self.lin, self.lin_root = Linear(source, out_channels), Linear(target, out_channels)

    def forward(self, x: tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        source, target = x
        return self.lin_root(target) + self.propagate(edge_index, x=self.lin(source), size=(len(source), len(target)))


def random_graph(gaussians: int = 900, vertices: int = 50) -> HeteroData:
    """What the blocks read of a Human Gaussian Graph, with random features and edges."""
    graph = HeteroData()
    graph["gaussian"].x = torch.randn(gaussians, 32)
    graph["vertex"].node_id = torch.arange(vertices)
    binds = torch.stack([torch.arange(gaussians), torch.randint(vertices, (gaussians,))])
    graph["gaussian", "binds", "vertex"].edge_index = binds
    graph["vertex", "near", "vertex"].edge_index = torch.randint(vertices, (2, 8 * vertices))
    return graph


if __name__ == "__main__":
    graph = random_graph()
    for conv in ("auto", "GATv2Conv", "own_conv:MeanConv"):  # ours, PyG's and yours are chosen alike
        network = HGGNet(ModelConfig(conv=conv).for_graph(graph))
        queries = network.refine_queries(graph)
        queries.square().mean().backward()
        weights = sum(p.numel() for p in network.blocks.parameters() if p.grad is not None)
        print(f"{conv}: queries {tuple(queries.shape)}, {weights:,} weights of the blocks with a gradient")
