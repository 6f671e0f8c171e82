"""Whole layers of the Human Gaussian Graph, projections included, ours and PyG's with the same weights.

Layers of others are as they have them: they end with the heads side by side, without the output projection W_O that
ours have (one of vertices, not of edges). `TransformerConv` and anemoi's attention are checked against a truth with the
identity for W_O, all of whose other weights are those of ours; `TransformerConv`'s root weight is left out, as a vertex
without edges has to get zero.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from benchmarks import graphs
from benchmarks.check import ProjectedSources, solve, worst
from benchmarks.layer_cases import LAYERS, Layer, LayerCase, checked_contestant, draw, freeze_unused, load_weights
from benchmarks.model_problem import ModelProblem
from benchmarks.suite import Contestant
from hgg_pyg.nn import AttentionConv, ConvChoice


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
        self.query, self.grad = (draw(case.targets, case.hidden_channels, seed, case.device) for seed in (1, 2))
        self.features = draw(case.edges, case.features, 3, case.device) if self.intra else self.query
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
        call = torch.compile(module, dynamic=False) if layer.compiled else module

        def run(query: Tensor) -> Tensor:
            return call((features, query) if self.intra else query, edges)

        def forward() -> Tensor:
            with torch.no_grad():
                return run(self.query)

        def forward_backward() -> tuple[Tensor, dict[str, Tensor]]:
            query = self.query.detach().requires_grad_()
            out = run(query)
            grads = torch.autograd.grad(out, [query, *parameters.values()], self.grad)
            return out, dict(zip(["query", *parameters], grads, strict=True))

        def compare(result: tuple[Tensor, dict[str, Tensor]], storage: str) -> float:
            out, grads = result
            truth, expected = self.truth(storage, layer.projects)
            return worst([out, *(grads[name] for name in expected)], [truth, *expected.values()])

        return checked_contestant(forward, forward_backward, compare, layer)

    def _module(self, layer: Layer) -> nn.Module:
        case = self.case
        torch.manual_seed(0)
        channels = (self.features.shape[1], case.hidden_channels)
        choice = ConvChoice(layer.conv, layer.options, layer.backend, layer.fold)
        module = choice.make(channels, case.hidden_channels, case.heads, same_nodes=not self.intra).to(case.device)
        return freeze_unused(module)

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
