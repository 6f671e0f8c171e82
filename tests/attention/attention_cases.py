"""Graphs, inputs and comparisons for the tests of attention, and every variant on every device and in every type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from hgg_pyg.attention import Edges, Variant, attend, variants

S, H, C = 4, 2, 8
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
# These take seconds for each kind of input that they have not seen. All graphs here are of one kind.
COMPILING = ("compiled", "flex")


@dataclass(frozen=True)
class Run:
    """A variant on a device in a type."""

    variant: Variant
    device: str
    dtype: torch.dtype

    def attend(self, query: Tensor, key: Tensor, value: Tensor, edge_index: Tensor | Edges) -> Tensor:
        return attend(query, key, value, edge_index, backend=self.variant.name)

    def inputs(self, graph: Tensor, *shape: int, seed: int = 0) -> tuple[list[Tensor], Tensor]:
        """Query [N, *shape], key and value [M, H, C], all with gradients, and the graph, on the device."""
        generator = torch.Generator().manual_seed(seed)
        num_sources, num_targets = (int(x) + 1 for x in graph.amax(1))
        sizes = [(num_targets + 1, *shape), *[(num_sources, *shape[-2:])] * 2]  # the last target has no source
        drawn = [torch.randn(size, generator=generator, dtype=torch.float64).to(self.dtype) for size in sizes]
        return [x.to(self.device).requires_grad_() for x in drawn], graph.to(self.device)

    def close(self, found: Tensor, expected: Tensor, added: int = 1) -> None:
        """Equal but for rounding that is small against the largest value, and grows where many numbers are added."""
        assert found.dtype == self.dtype
        assert found.shape == expected.shape
        error = (found.detach().double() - expected.detach().double()).abs().max()
        largest = expected.detach().abs().max().double().clamp(min=1)
        tolerance = max(
            TOLERANCE[self.dtype], added * torch.finfo(torch.promote_types(self.dtype, torch.float32)).eps / 2
        )
        assert error <= tolerance * largest, f"off by {error:.2e} of {largest:.2e}"

    def check(self, inputs: list[Tensor], edge_index: Tensor | Edges, backward: bool = True) -> Tensor:
        """Values, and gradients of all inputs that have one, against the reference in float64; returns the values."""
        double = [x.detach().double().requires_grad_(x.requires_grad) for x in inputs]
        if inputs[1] is inputs[2]:
            double[2] = double[1]
        found = self.attend(inputs[0], inputs[1], inputs[2], edge_index)
        expected = attend(double[0], double[1], double[2], edge_index, backend="reference")
        self.close(found, expected)
        if backward and self.variant.backward:
            generator = torch.Generator().manual_seed(1)
            upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64).to(found)
            leaves = [i for i, x in enumerate(inputs) if x.requires_grad and not (i == 2 and x is inputs[1])]
            gradients = torch.autograd.grad(found, [inputs[i] for i in leaves], upstream)
            wanted = torch.autograd.grad(expected, [double[i] for i in leaves], upstream.double())
            for gradient, other in zip(gradients, wanted, strict=True):
                self.close(gradient, other)
        return found


def runs(
    keep: Callable[[Variant], bool] = lambda variant: variant.exact,
    dtypes: int | None = None,
    devices: tuple[str, ...] = ("cpu", "cuda"),
) -> pytest.MarkDecorator:
    """Parametrise a test by `run`: all variants to keep, in their first `dtypes` types or in all."""
    parameters = []
    for name, variant in variants().items():
        for device in devices:
            for dtype in variant.dtypes(device)[:dtypes] if keep(variant) else ():
                why = variant.missing(device, dtype)
                marks = [pytest.mark.skipif(why is not None, reason=f"{name} {why}")]
                if device == "cuda":
                    marks.append(pytest.mark.gpu)
                if name in COMPILING:
                    marks.append(pytest.mark.slow)
                label = f"{name}-{device}-{str(dtype).removeprefix('torch.')}"
                parameters.append(pytest.param(Run(variant, device, dtype), id=label, marks=marks))
    return pytest.mark.parametrize("run", parameters)


def graph(name: str) -> Tensor:
    """[2, E] edges in no order, with targets of no source."""
    generator = torch.Generator().manual_seed(2)

    def integers(below: int, count: int, power: float = 1.0) -> Tensor:
        return (torch.rand(count, generator=generator) ** power * below).long()

    if name == "intra":  # each source once, few targets hold most of them
        targets = integers(40, 1100, 4)
        source = torch.randperm(1200, generator=generator)[:1100]
    else:  # sources shared by neighbours
        source, targets = integers(60, 400), integers(50, 400)
    targets = torch.where(targets % 7 == 3, targets - 1, targets)
    if name == "one target":
        targets = torch.full_like(targets, 5)
    if name == "duplicates":
        source, targets = source % 6, targets % 9
    return torch.stack([source, targets])


GRAPHS = ("intra", "inter", "one target", "duplicates")


def loop_attention(query: Tensor, key: Tensor, value: Tensor, edge_index: Tensor) -> Tensor:
    """One target at a time, by torch.softmax over its list of sources."""
    source, target = edge_index
    rows = []
    for n in range(len(query)):
        mine = source[target == n]
        logits = torch.einsum("...hc,mhc->...hm", query[n], key[mine]) / query.shape[-1] ** 0.5
        rows.append(torch.einsum("...hm,mhc->...hc", logits.softmax(-1), value[mine]))
    return torch.stack(rows)
