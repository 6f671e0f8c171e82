"""What attention along edges gives, in float64 and without N x M memory: the measure of all that is timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from hgg_pyg.attention import Edges

_AT_ONCE = 1 << 22  # numbers in an array with a row for each edge of a chunk
_SMALL = 1e-2  # rows shorter than this share of the longest are compared by the longest: they are mostly rounding
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}


class Sources(Protocol):
    """Keys and values of the sources, read some at a time, and where their gradients go."""

    def key(self, source: Tensor) -> Tensor:
        """Keys [e, H, C] of sources [e], float64."""
        ...

    def value(self, source: Tensor) -> Tensor:
        """Values [e, H, C] of sources [e], float64."""
        ...

    def add(self, source: Tensor, key: Tensor, value: Tensor) -> None:
        """Take gradients [e, H, C] with respect to keys and values."""
        ...


class GivenSources:
    """Keys and values that are there as tensors [M, H, C]. `gradients` holds theirs."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        self._key, self._value = key, value
        self.gradients = [torch.zeros_like(x, dtype=torch.float64) for x in (key, value)]

    def key(self, source: Tensor) -> Tensor:
        return self._key[source].double()

    def value(self, source: Tensor) -> Tensor:
        return self._value[source].double()

    def add(self, source: Tensor, key: Tensor, value: Tensor) -> None:
        for gradient, part in zip(self.gradients, (key, value), strict=True):
            gradient.index_add_(0, source, part)


class FrozenSources:
    """Features [M, F] that are keys and values of one head, and want no gradient."""

    def __init__(self, features: Tensor) -> None:
        self._features = features

    def key(self, source: Tensor) -> Tensor:
        return self._features[source].double()[:, None]

    value = key

    def add(self, source: Tensor, key: Tensor, value: Tensor) -> None:
        pass


class ProjectedSources:
    """Keys and values that a layer projects from its sources [M, F]: W x + b, split into H heads.

    Args:
        features: [M, F].
        weights: of keys and of values, [D, F] each.
        biases: [D] each.
        heads: H.
    """

    def __init__(
        self, features: Tensor, weights: tuple[Tensor, Tensor], biases: tuple[Tensor, Tensor], heads: int
    ) -> None:
        self._features, self._heads = features, heads
        self._weights, self._biases = [w.double() for w in weights], [b.double() for b in biases]
        self.weights = [torch.zeros_like(w) for w in self._weights]
        self.biases = [torch.zeros_like(b) for b in self._biases]
        self.features: Tensor | None = None
        """[M, F] gradient, kept where it is asked for by `want_features`"""

    def want_features(self) -> None:
        """Keep the gradient with respect to the features as well."""
        self.features = torch.zeros_like(self._features, dtype=torch.float64)

    def key(self, source: Tensor) -> Tensor:
        return self._project(source, 0)

    def value(self, source: Tensor) -> Tensor:
        return self._project(source, 1)

    def _project(self, source: Tensor, index: int) -> Tensor:
        rows = self._features[source].double()
        return torch.addmm(self._biases[index], rows, self._weights[index].T).view(len(rows), self._heads, -1)

    def add(self, source: Tensor, key: Tensor, value: Tensor) -> None:
        rows = self._features[source].double()
        for index, part in enumerate((key, value)):
            self.weights[index] += part.flatten(1).T @ rows
            self.biases[index] += part.flatten(1).sum(0)
            if self.features is not None:
                self.features.index_add_(0, source, part.flatten(1) @ self._weights[index])


def solve(query: Tensor, sources: Sources, grad: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    r"""Attention and its gradients in closed form, some edges at a time.

    With weights a_e, \partial L / \partial v_m = \sum_e a_e \bar o_n, and with
    \bar s_e = a_e (\bar o_n \cdot v_m - \bar o_n \cdot o_n) / \sqrt C the gradients of queries and keys are
    \sum_e \bar s_e k_m and \sum_e \bar s_e q_n.

    Args:
        query: [N, S, H, C].
        sources: keys and values, which receive their gradients.
        grad: [N, S, H, C] gradient of a loss with respect to the result.
        edges: between them.

    Returns:
        The result and the queries' gradient, [N, S, H, C] float64.
    """
    query, grad = query.detach().double(), grad.double()
    source, target = edges.source, edges.target
    scale = query.shape[-1] ** -0.5
    step = max(1, _AT_ONCE // query[0].numel())
    chunks = [slice(start, start + step) for start in range(0, len(source), step)]

    logits = torch.cat([(query[target[e]] * sources.key(source[e])[:, None]).sum(-1) * scale for e in chunks])
    index = target[:, None, None].expand_as(logits)  # [E, S, H]
    highest = logits.new_full(query.shape[:3], -torch.inf).scatter_reduce(0, index, logits, "amax")
    weights = (logits - highest[target]).exp_()
    total = torch.zeros_like(highest).index_add_(0, target, weights)
    weights /= total[target]

    out, slope_query = torch.zeros_like(query), torch.zeros_like(query)
    for e in chunks:
        out.index_add_(0, target[e], weights[e][..., None] * sources.value(source[e])[:, None])
    mean = (grad * out).sum(-1)
    for e in chunks:
        arriving = grad[target[e]]
        key, value = sources.key(source[e]), sources.value(source[e])
        slope = weights[e] * ((arriving * value[:, None]).sum(-1) - mean[target[e]]) * scale
        slope_query.index_add_(0, target[e], slope[..., None] * key[:, None])
        slope_key = (slope[..., None] * query[target[e]]).sum(1)
        sources.add(source[e], slope_key, (weights[e][..., None] * arriving).sum(1))
    return out, slope_query


def deviation(found: Tensor, truth: Tensor) -> float:
    """The largest relative error of a row, by Euclidean norms over the last dimension; infinite for any NaN.

    A row that should be zero and is not, or one that is short beside the longest, is held against a hundredth of the
    longest. Rows are compared one by one because those of targets with many sources are short: an error in one of
    these would not show beside the largest number of all.
    """
    truth = truth.detach()
    length = torch.linalg.vector_norm(truth, dim=-1)
    error = torch.linalg.vector_norm(found.detach().to(truth) - truth, dim=-1)
    if not bool(error.isfinite().all()):
        return float("inf")
    smallest = max(_SMALL * float(length.max()), torch.finfo(torch.float64).tiny) if length.numel() else 1.0
    return float((error / length.clamp_min(smallest)).max()) if length.numel() else 0.0


def worst(found: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """The largest deviation of several tensors."""
    return max(deviation(*pair) for pair in zip(found, truth, strict=True))
