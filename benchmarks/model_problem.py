"""The whole network with layers of one kind: blocks of message passing on the graph, and the read-out."""

from __future__ import annotations

from functools import cache
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from benchmarks import graphs
from benchmarks.check import worst
from benchmarks.layer_cases import LAYERS, Layer, LayerCase, checked_contestant, draw, freeze_unused, load_weights
from benchmarks.suite import Contestant
from graphs import BINDS, NEAR, REFINES
from hgg_pyg import HGGNet
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import bound_gaussians
from hgg_pyg.nn import AttentionConv, GraphBlock
from hgg_pyg.types import Gaussians


class ModelProblem:
    """The model of L blocks, from a graph to refined Gaussians: sorting, laying out and the read-out included.

    The read-out is ours and plain attention by the layer's backend, scatter's for layers of others: the Gaussians of
    the first frame ask the vertex that each of them binds to. What the network changes of them is checked; its
    gradients are not: those of the layers are, one by one.
    """

    def __init__(self, case: LayerCase) -> None:
        self.case, self.device = case, case.device
        binds = graphs.to_device(graphs.intra(case.edges, case.skew, case.targets, in_order=False), case.device)
        near = graphs.to_device(graphs.inter(case.hops, case.shuffled, case.targets), case.device)
        self.graph = HeteroData()
        self.graph["gaussian"].x = draw(case.edges, case.features, 3, case.device)
        self.graph["vertex"].node_id = torch.arange(case.targets, device=case.device)
        self.graph[BINDS].edge_index = binds.edge_index
        self.graph[NEAR].edge_index = near.edge_index
        vertex = torch.empty_like(binds.target)
        vertex[binds.source] = binds.target
        self._add_avatar(vertex[: case.readout])
        self.start = _channels(bound_gaussians(self.graph))
        self.grad = draw(case.readout, self.start.shape[1], 2, case.device)
        self.weights = {name: w.detach() for name, w in self._model(Layer()).named_parameters()}
        self.truth = cache(self._solve)

    def _add_avatar(self, vertex: Tensor) -> None:
        """The Gaussians of the first frame and the edges of their read-out. vertex [M]"""
        count, device = self.case.readout, self.device
        avatar = self.graph["avatar"]
        avatar.x = self.graph["gaussian"].x[:count]
        avatar.pos, avatar.colors = torch.zeros(2, count, 3, device=device)
        avatar.quats = torch.tensor([1.0, 0, 0, 0], device=device).repeat(count, 1)
        avatar.scales = torch.ones(count, 3, device=device)
        avatar.opacities = torch.full((count,), 0.5, device=device)
        self.graph[REFINES].edge_index = torch.stack([vertex, torch.arange(count, device=device)])

    def prepare(self) -> None:
        """Compute the truth."""
        self.truth("float32", True)

    def contestant(self, name: str) -> Contestant:
        """The model of one kind of layer, with the weights of the others."""
        layer = LAYERS[name]
        model = self._model(layer)
        if layer.known:
            load_weights(model, self.weights)
        parameters = [p for p in model.parameters() if p.requires_grad]

        def forward() -> Tensor:
            with torch.no_grad():
                return _channels(model(self.graph))

        def forward_backward() -> tuple[Tensor, ...]:
            out = _channels(model(self.graph))
            return out, *torch.autograd.grad(out, parameters, self.grad, materialize_grads=True)

        def compare(result: tuple[Tensor, ...], storage: str) -> float:
            truth = self.truth(storage, layer.projects)
            return worst([result[0] - self.start], [truth - self.start])

        return checked_contestant(forward, forward_backward, compare, layer)

    def _model(self, layer: Layer) -> HGGNet:
        case = self.case
        torch.manual_seed(0)
        config = ModelConfig(
            num_layers=case.num_layers, hidden_channels=case.hidden_channels, heads=case.heads,
            in_channels=case.features, num_vertices=case.targets, conv=layer.conv, conv_options=layer.options,
            backend=layer.backend, fold=layer.fold, storage=layer.storage,
        )  # fmt: skip
        model = HGGNet(config)
        nn.init.normal_(cast(nn.Linear, model.head[-1]).weight, std=0.1)  # at zero nothing before it would matter
        return freeze_unused(model.to(case.device))

    def _solve(self, storage: Literal["float32", "bfloat16"], projects: bool) -> Tensor:
        """The refined Gaussians, float64, with or without the output projections of the blocks' layers."""
        model = self._model(Layer(storage=storage))
        load_weights(model, self.weights)
        if not projects:
            for block in model.blocks:
                for conv in cast(GraphBlock, block).convs.values():
                    nn.init.eye_(cast(AttentionConv, conv).lin_out.weight)
        graph = self.graph.clone().apply(lambda x: x.double() if x.is_floating_point() else x)
        graph["gaussian"].x = graph["gaussian"].x.to(getattr(torch, storage)).double()
        with torch.no_grad():
            return _channels(model.double()(graph))


def _channels(g: Gaussians) -> Tensor:
    """All numbers of Gaussians side by side, [M, 14]"""
    return torch.cat([g.means, g.quats, g.scales, g.opacities[:, None], g.colors], 1)
