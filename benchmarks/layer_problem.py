"""Whole layers of the Human Gaussian Graph, projections included, ours and PyG's with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from benchmarks import graphs
from benchmarks.check import TOLERANCE, ProjectedSources, solve, worst
from benchmarks.suite import Contestant
from graphs import BINDS, NEAR
from hgg_pyg import HGGNet
from hgg_pyg.attention import variants
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.nn import InterConv, IntraConv, PyGConv

Kind = Literal["intra", "inter", "model"]


@dataclass(frozen=True)
class Layer:
    """A way of computing a layer."""

    layer: Literal["ours", "transformer_conv", "gatv2_conv"] = "ours"
    attention: str = "scatter"
    fold: bool = False
    storage: Literal["float32", "bfloat16"] = "float32"
    """of the Gaussians' features"""


LAYERS = {
    "scatter": Layer(),
    "fused": Layer(attention="fused"),
    "fold + fused": Layer(attention="fused", fold=True),
    "fold + fused, bf16": Layer(attention="fused", fold=True, storage="bfloat16"),
    "fold + buckets": Layer(attention="buckets", fold=True),
    "TransformerConv": Layer("transformer_conv"),
    "GATv2Conv": Layer("gatv2_conv"),
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
    dim: int = 128
    """D, width of queries"""
    layers: int = 6
    """L, of a model"""
    device: str = "cpu"
    """"cpu" or "cuda\""""


def runnable(device: str, names: Sequence[str]) -> list[str]:
    """Those of LAYERS whose variant of attention runs on a device."""
    return [name for name in names if variants()[LAYERS[name].attention].missing(device) is None]


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
        self.query, self.grad = (_draw(case.targets, case.dim, seed, case.device) for seed in (1, 2))
        self.features = _draw(case.edges, case.features, 3, case.device) if self.intra else self.query
        self.weights = {name: w.detach() for name, w in self._module(Layer()).named_parameters()}
        self.truth = cache(self._solve)

    def prepare(self) -> None:
        """Compute the truth."""
        self.truth("float32")

    def contestant(self, name: str) -> Contestant:
        """A way of computing the layer, with the weights of the others. GATv2's attention is another operation."""
        layer = LAYERS[name]
        module = self._module(layer)
        if layer.layer != "gatv2_conv":
            load_weights(module, self.weights)
        features = self.features.to(getattr(torch, layer.storage))
        parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}

        def run(query: Tensor) -> Tensor:
            return module((features, query) if self.intra else query, self.edges)

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
            named = {name.replace("conv.", ""): grad for name, grad in grads.items()}
            truth, expected = self.truth(layer.storage)
            return worst([out, *(named[name] for name in expected)], [truth, *expected.values()])

        known = layer.layer != "gatv2_conv"
        return Contestant(forward, forward_backward, check if known else None, TOLERANCE[torch.float32])

    def _module(self, layer: Layer) -> nn.Module:
        case = self.case
        torch.manual_seed(0)
        if layer.layer != "ours":
            module = PyGConv(layer.layer, self.features.shape[1], case.dim, case.heads)
        elif self.intra:
            module = IntraConv(case.features, case.dim, case.heads, attention=layer.attention, fold=layer.fold)
        else:
            module = InterConv(case.dim, case.heads, attention=layer.attention)
        return module.to(case.device)

    def _solve(self, storage: str) -> tuple[Tensor, dict[str, Tensor]]:
        """The result and the gradients, float64. That of the key's bias is zero and left out."""
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
        sums, slope = solve(query.view(shape), sources, (grad @ w["lin_out.weight"]).view(shape), self.edges)
        sums, slope = sums.flatten(1), slope.flatten(1)
        to_query = slope @ w["lin_query.weight"]
        return sums @ w["lin_out.weight"].T, {
            "query": to_query if sources.features is None else to_query + sources.features,
            "lin_query.weight": slope.T @ target,
            "lin_query.bias": slope.sum(0),
            "lin_key.weight": sources.weights[0],
            "lin_value.weight": sources.weights[1],
            "lin_value.bias": sources.biases[1],
            "lin_out.weight": grad.T @ sums,
        }


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
        self.grad = _draw(case.targets, case.dim, 2, case.device)[:, None]
        self.weights = {name: w.detach() for name, w in self._model(Layer()).named_parameters()}
        self.truth = cache(self._solve)

    def prepare(self) -> None:
        """Compute the truth."""
        self.truth("float32")

    def contestant(self, name: str) -> Contestant:
        """The model of one kind of layer, with the weights of the others."""
        layer = LAYERS[name]
        model = self._model(layer)
        if layer.layer != "gatv2_conv":
            load_weights(model, self.weights)
        parameters = [p for p in (model.queries, *model.blocks.parameters()) if p.requires_grad]

        def forward() -> Tensor:
            with torch.no_grad():
                return model.refine_queries(self.graph)

        def forward_backward() -> tuple[Tensor, ...]:
            out = model.refine_queries(self.graph)
            return out, *torch.autograd.grad(out, parameters, self.grad)

        def check(result: tuple[Tensor, ...]) -> float:
            return worst(result[:1], [self.truth(layer.storage)])

        known = layer.layer != "gatv2_conv"
        tolerance = TOLERANCE[torch.float32]
        return Contestant(forward, forward_backward, check if known else None, tolerance)

    def _model(self, layer: Layer) -> HGGNet:
        case = self.case
        torch.manual_seed(0)
        config = ModelConfig(
            layers=case.layers, dim=case.dim, heads=case.heads, feature_dim=case.features, num_vertices=case.targets,
            attention=layer.attention, fold=layer.fold, storage=layer.storage, layer=layer.layer,
        )  # fmt: skip
        return HGGNet(config).to(case.device)

    def _solve(self, storage: Literal["float32", "bfloat16"]) -> Tensor:
        """The refined queries, float64."""
        model = self._model(Layer(storage=storage))
        load_weights(model, self.weights)
        graph = self.graph.clone()
        graph["gaussian"].x = graph["gaussian"].x.to(getattr(torch, storage)).double()
        with torch.no_grad():
            return model.double().refine_queries(graph)


def load_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a module the weights of ours; PyG's layers have the same ones under names of their own."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            stem, lin, rest = name.rpartition("lin_")
            inner = f"{stem}conv.{lin}{rest}"
            parameters[inner if inner in parameters else name].copy_(weight)


def _draw(rows: int, columns: int, seed: int, device: str) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).to(device)
