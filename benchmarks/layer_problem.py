"""Whole layers of the Human Gaussian Graph, projections included, ours and PyG's with the same weights.

Layers of others are as they have them: they end with the heads side by side, without the output projection W_O that
ours have (one of vertices, not of edges). `TransformerConv` and anemoi's attention are checked against a truth with the
identity for W_O, all of whose other weights are those of ours; `TransformerConv`'s root weight is left out, as a vertex
without edges has to get zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from benchmarks import graphs, peers
from benchmarks.check import TOLERANCE, ProjectedSources, solve, worst
from benchmarks.suite import Contestant
from graphs import BINDS, NEAR
from hgg_pyg import HGGNet
from hgg_pyg.attention import variants
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.nn import AttentionConv, ConvChoice, GraphBlock

Module = TypeVar("Module", bound=nn.Module)
Kind = Literal["intra", "inter", "model"]


@dataclass(frozen=True)
class Layer:
    """A way of computing a layer."""

    conv: str = "attention"
    """as `ModelConfig.conv` has it"""
    backend: str = "scatter"
    fold: bool = False
    options: tuple[str, ...] = ()
    storage: Literal["float32", "bfloat16"] = "float32"
    """of the Gaussians' features"""

    @property
    def known(self) -> bool:
        """Whether there is a truth to compare with: GATv2's attention is another operation."""
        return self.conv != "GATv2Conv"

    def missing(self, device: str) -> str | None:
        """Why it does not run on a kind of device, or is not installed; None where it runs."""
        if self.conv in ("attention", "fused"):
            return variants()[self.backend].missing(device)
        return peers.missing(self.conv)

    @property
    def projects(self) -> bool:
        """Whether it ends with an output projection."""
        return self.conv in ("attention", "fused")


LAYERS = {
    "scatter": Layer(),
    "fused": Layer("fused", "fused"),
    "fold + fused": Layer("fused", "fused", fold=True),
    "fold + fused, bf16": Layer("fused", "fused", fold=True, storage="bfloat16"),
    "fold + buckets": Layer("fused", "buckets", fold=True),
    "TransformerConv": Layer("TransformerConv", options=("root_weight=False",)),
    "anemoi": Layer(peers.ANEMOI),
    "GATv2Conv": Layer("GATv2Conv", options=("bias=False",)),
}


@dataclass(frozen=True)
class LayerCase:
    """One point of the benchmark. Features of Gaussians are frozen; queries and weights get gradients."""

    kind: Kind = "intra"
    """one layer, or a model of L times intra, feed-forward, inter, feed-forward"""
    edges: int = 524_288
    """E, Gaussians"""
    targets: int = graphs.VERTICES
    """N, vertices"""
    skew: graphs.Skew = "body"
    """degrees of the Gaussians' edges"""
    shuffled: bool = False
    """intra: Gaussians in the order of maps and pixels, else laid out by vertex; inter: vertices under random ids"""
    hops: int = 2
    """largest distance of two vertices that are neighbours"""
    features: int = 128
    """C, features of a Gaussian"""
    heads: int = 8
    """H"""
    hidden_channels: int = 128
    """D, width of queries"""
    num_layers: int = 6
    """L, of a model"""
    device: str = "cpu"
    """"cpu" or "cuda\""""


def runnable(device: str, names: Sequence[str]) -> list[str]:
    """Those of LAYERS that run on a device and are installed."""
    return [name for name in names if LAYERS[name].missing(device) is None]


def build(case: LayerCase) -> LayerProblem | ModelProblem:
    """The problem of a case."""
    return ModelProblem(case) if case.kind == "model" else LayerProblem(case)


class SeveralProblems:
    """Cases side by side, so that they are timed by turns; `label` names their contestants."""

    def __init__(self, cases: tuple[LayerCase, ...]) -> None:
        self._problems = [build(case) for case in cases]
        self.device = cases[0].device

    def prepare(self) -> None:
        """Nothing: each truth is computed when it is first needed."""

    def contestant(self, name: str) -> Contestant:
        """A way of computing the layer of one case."""
        index, _, layer = name.partition(" ")
        return self._problems[int(index)].contestant(layer)


def label(index: int, name: str) -> str:
    """The name of a way of computing the layer of a case among several."""
    return f"{index} {name}"


class LayerProblem:
    """One intra or inter layer."""

    def __init__(self, case: LayerCase) -> None:
        self.case, self.device = case, case.device
        self.intra = case.kind == "intra"
        edges = (
            graphs.intra(case.edges, case.skew, case.targets, in_order=not case.shuffled)
            if self.intra
            else graphs.inter(case.hops, case.shuffled, case.targets)
        )
        self.edges = graphs.to_device(edges, case.device)
        self.query, self.grad = (_draw(case.targets, case.hidden_channels, seed, case.device) for seed in (1, 2))
        self.features = _draw(case.edges, case.features, 3, case.device) if self.intra else self.query
        self.weights = {name: w.detach() for name, w in self._module(Layer()).named_parameters()}
        self.truth = cache(self._solve)

    def prepare(self) -> None:
        """Compute the truth."""
        self.truth("float32", True)

    def contestant(self, name: str) -> Contestant:
        """A way of computing the layer, with the weights of the others."""
        layer = LAYERS[name]
        module = self._module(layer)
        if layer.known:
            load_weights(module, self.weights)
        features = self.features.to(getattr(torch, layer.storage))
        edges = self.edges if isinstance(module, AttentionConv) else self.edges.edge_index
        parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}

        def run(query: Tensor) -> Tensor:
            return module((features, query) if self.intra else query, edges)

        def forward() -> Tensor:
            with torch.no_grad():
                return run(self.query)

        def forward_backward() -> tuple[Tensor, dict[str, Tensor]]:
            query = self.query.detach().requires_grad_()
            out = run(query)
            grads = torch.autograd.grad(out, [query, *parameters.values()], self.grad)
            return out, dict(zip(["query", *parameters], grads, strict=True))

        def check(result: tuple[Tensor, dict[str, Tensor]]) -> float:
            out, grads = result
            truth, expected = self.truth(layer.storage, layer.projects)
            return worst([out, *(grads[name] for name in expected)], [truth, *expected.values()])

        return Contestant(forward, forward_backward, check if layer.known else None, TOLERANCE[torch.float32])

    def _module(self, layer: Layer) -> nn.Module:
        case = self.case
        torch.manual_seed(0)
        channels = (self.features.shape[1], case.hidden_channels)
        choice = ConvChoice(layer.conv, layer.options, layer.backend, layer.fold)
        module = choice.make(channels, case.hidden_channels, case.heads, same_nodes=not self.intra).to(case.device)
        return _freeze_unused(module)

    def _solve(self, storage: str, projects: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The result and the gradients, float64, with or without the output projection.

        The gradient of the key's bias is zero and left out.
        """
        w = {name: x.double() for name, x in self.weights.items()}
        features = self.features.to(getattr(torch, storage))
        sources = ProjectedSources(
            features,
            (w["lin_key.weight"], w["lin_value.weight"]),
            (w["lin_key.bias"], w["lin_value.bias"]),
            self.case.heads,
        )
        if not self.intra:
            sources.want_features()
        target, grad = self.query.double(), self.grad.double()
        shape = (len(target), 1, self.case.heads, -1)
        query = torch.addmm(w["lin_query.bias"], target, w["lin_query.weight"].T)
        to_sums = grad @ w["lin_out.weight"] if projects else grad
        sums, slope = solve(query.view(shape), sources, to_sums.view(shape), self.edges)
        sums, slope = sums.flatten(1), slope.flatten(1)
        to_query = slope @ w["lin_query.weight"]
        expected = {
            "query": to_query if sources.features is None else to_query + sources.features,
            "lin_query.weight": slope.T @ target,
            "lin_query.bias": slope.sum(0),
            "lin_key.weight": sources.weights[0],
            "lin_value.weight": sources.weights[1],
            "lin_value.bias": sources.biases[1],
        }
        return (sums @ w["lin_out.weight"].T, expected | {"lin_out.weight": grad.T @ sums}) if projects else (
            sums, expected)  # fmt: skip


class ModelProblem:
    """The model's L blocks, from a graph to refined queries: sorting and laying out included, read-out left out.

    Results are checked, gradients are not: those of the layers are, one by one.
    """

    def __init__(self, case: LayerCase) -> None:
        self.case, self.device = case, case.device
        binds = graphs.to_device(graphs.intra(case.edges, case.skew, case.targets, in_order=False), case.device)
        near = graphs.to_device(graphs.inter(case.hops, case.shuffled, case.targets), case.device)
        self.graph = HeteroData()
        self.graph["gaussian"].x = _draw(case.edges, case.features, 3, case.device)
        self.graph["vertex"].node_id = torch.arange(case.targets, device=case.device)
        self.graph[BINDS].edge_index = binds.edge_index
        self.graph[NEAR].edge_index = near.edge_index
        self.grad = _draw(case.targets, case.hidden_channels, 2, case.device)[:, None]
        self.weights = {name: w.detach() for name, w in self._model(Layer()).named_parameters()}
        self.truth = cache(self._solve)

    def prepare(self) -> None:
        """Compute the truth."""
        self.truth("float32", True)

    def contestant(self, name: str) -> Contestant:
        """The model of one kind of layer, with the weights of the others."""
        layer = LAYERS[name]
        model = self._model(layer)
        if layer.known:
            load_weights(model, self.weights)
        parameters = [p for p in (model.queries, *model.blocks.parameters()) if p.requires_grad]

        def forward() -> Tensor:
            with torch.no_grad():
                return model.refine_queries(self.graph)

        def forward_backward() -> tuple[Tensor, ...]:
            out = model.refine_queries(self.graph)
            return out, *torch.autograd.grad(out, parameters, self.grad)

        def check(result: tuple[Tensor, ...]) -> float:
            return worst(result[:1], [self.truth(layer.storage, layer.projects)])

        return Contestant(forward, forward_backward, check if layer.known else None, TOLERANCE[torch.float32])

    def _model(self, layer: Layer) -> HGGNet:
        case = self.case
        torch.manual_seed(0)
        config = ModelConfig(
            num_layers=case.num_layers, hidden_channels=case.hidden_channels, heads=case.heads,
            in_channels=case.features, num_vertices=case.targets, conv=layer.conv, conv_options=layer.options,
            backend=layer.backend, fold=layer.fold, storage=layer.storage,
        )  # fmt: skip
        return _freeze_unused(HGGNet(config).to(case.device))

    def _solve(self, storage: Literal["float32", "bfloat16"], projects: bool) -> Tensor:
        """The refined queries, float64, with or without the output projections of the blocks' layers."""
        model = self._model(Layer(storage=storage))
        load_weights(model, self.weights)
        if not projects:
            for block in model.blocks:
                for conv in cast(GraphBlock, block).convs.values():
                    nn.init.eye_(cast(AttentionConv, conv).lin_out.weight)
        graph = self.graph.clone()
        graph["gaussian"].x = graph["gaussian"].x.to(getattr(torch, storage)).double()
        with torch.no_grad():
            return model.double().refine_queries(graph)


def load_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a module the weights of ours, but for those that it has no place for."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(weights[name])


def _freeze_unused(module: Module) -> Module:
    """Take the root weight from those that get gradients: `TransformerConv` makes one that it does not use."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_("lin_skip." not in name)
    return module


def _draw(rows: int, columns: int, seed: int, device: str) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator(device).manual_seed(seed), device=device)
