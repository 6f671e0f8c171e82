"""One graph, queries, keys and values on it, and the contestants: every variant of attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks import graphs
from benchmarks.check import TOLERANCE, FrozenSources, GivenSources, solve, worst
from benchmarks.suite import Contestant
from hgg_pyg.attention import attend, variants

Task = Literal["intra", "inter"]
Form = Literal["given", "folded"]

COPY = "copy"
"""A yardstick: key and value, read and written to memory that is there already; once, and twice beside forward +
backward. Attention has to read as much; if it has gradients for keys and values, to read it twice and write it once."""


@dataclass(frozen=True)
class Case:
    """One point of the benchmark."""

    task: Task = "intra"
    form: Form = "given"
    """keys and values given, gradients for all; or folded: H queries of width D on frozen features that are both"""
    edges: int = 524_288
    """E, Gaussians; an inter graph's edges follow from its mesh"""
    targets: int = graphs.VERTICES
    """N, vertices"""
    skew: graphs.Skew = "body"
    """degrees of an intra graph"""
    hops: int = 2
    """largest distance of an inter graph's edges"""
    shuffled: bool = False
    """sources in the order of maps and pixels, or vertices under random ids; else laid out as they are read"""
    heads: int = 8
    """H"""
    hidden_channels: int = 128
    """D: heads of D / H channels; or, folded, the features' width"""
    dtype: str = "float32"
    """type of queries"""
    storage: str = "float32"
    """type of keys and values"""
    device: str = "cpu"
    """"cpu" or "cuda\""""


class AttentionProblem:
    """Random queries, keys and values on a case's graph. See `Case`."""

    def __init__(self, case: Case) -> None:
        self.case, self.device = case, case.device
        if case.task == "intra":
            edges = graphs.intra(case.edges, case.skew, case.targets, in_order=not case.shuffled)
        else:
            edges = graphs.inter(case.hops, case.shuffled, case.targets)
        self.edges = graphs.to_device(edges, case.device)
        slots, heads, channels = (case.heads, 1, case.hidden_channels) if case.form == "folded" else (
            1, case.heads, case.hidden_channels // case.heads)  # fmt: skip
        generator = torch.Generator(case.device).manual_seed(0)

        def draw(count: int, *shape: int, dtype: str) -> Tensor:
            numbers = torch.randn(count, *shape, generator=generator, device=case.device)
            return numbers.to(getattr(torch, dtype))

        self.query = draw(edges.num_targets, slots, heads, channels, dtype=case.dtype)
        self.grad = draw(edges.num_targets, slots, heads, channels, dtype=case.dtype)
        self.key = draw(edges.num_sources, heads, channels, dtype=case.storage)
        self.value = self.key if case.form == "folded" else draw(edges.num_sources, heads, channels, dtype=case.storage)

    @cached_property
    def truth(self) -> list[Tensor]:
        """What every exact variant must give: the result, then the gradients that are asked for."""
        given = GivenSources(self.key, self.value) if self.case.form == "given" else None
        found = solve(self.query, given or FrozenSources(self.key[:, 0]), self.grad, self.edges)
        return [*found, *(given.gradients if given else [])]

    def prepare(self) -> None:
        """Compute the truth."""
        _ = self.truth

    def contestant(self, name: str) -> Contestant:
        """A variant, or COPY."""
        if name == COPY:
            return self._copy()
        variant = variants()[name]

        def forward() -> Tensor:
            with torch.no_grad():
                return attend(self.query, self.key, self.value, self.edges, backend=name)

        def forward_backward() -> tuple[Tensor, ...]:
            given = self.case.form == "given"
            asked = [x.detach().requires_grad_() for x in (self.query, self.key, self.value)[: 3 if given else 1]]
            key, value = asked[1:] if given else (self.key, self.value)
            out = attend(asked[0], key, value, self.edges, backend=name)
            if not out.requires_grad:  # a mean of frozen features
                return out, *(torch.zeros_like(x) for x in asked)
            return out, *torch.autograd.grad(out, asked, self.grad, materialize_grads=True)

        def check(result: Any) -> float:
            return worst(result, self.truth) if variant.backward else worst([result], self.truth[:1])

        return Contestant(
            forward,
            forward_backward if variant.backward else None,
            check if variant.exact else None,
            TOLERANCE[self.query.dtype],
        )

    def _copy(self) -> Contestant:
        given = [self.key] if self.key is self.value else [self.key, self.value]
        places = [torch.zeros_like(x) for x in given]

        def copy() -> None:
            for place, x in zip(places, given, strict=True):
                place.copy_(x)

        return Contestant(copy, _twice(copy), check=None)


def runnable(case: Case) -> dict[str, str | None]:
    """Why a variant cannot run a case, by variant; None where it can."""
    query, storage = (getattr(torch, name) for name in (case.dtype, case.storage))
    reasons: dict[str, str | None] = {}
    for name, variant in variants().items():
        why = variant.missing(case.device, query)
        if why is None and storage != query and storage not in variant.storage:
            why = f"does not read {case.storage}"
        reasons[name] = why
    return reasons


def _twice(work: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        work()
        work()

    return both
