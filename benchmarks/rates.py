"""The least time that work can take on this machine: its bytes as fast as a copy, its products as fast as a GEMM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import HeteroData

from benchmarks.floors import Work
from benchmarks.timing import median_ms

_COPIED = 2**26  # bytes, more than any cache close to a core
_SIDE = 2048  # of the matrices whose product is timed


@dataclass(frozen=True)
class Rates:
    """What this machine does at its best, with the threads that torch has."""

    bytes_per_s: float
    """read or written while a large tensor is copied"""
    flops_per_s: float
    """of a product of large float32 matrices"""

    @classmethod
    def measure(cls, repeats: int = 5) -> Rates:
        """Time a copy and a product; medians."""
        source = torch.rand(_COPIED // 4)
        target, a, b = torch.empty_like(source), torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
        copying, multiplying = (
            median_ms(work, repeats) for work in (partial(target.copy_, source), partial(torch.mm, a, b))
        )
        return cls(2e3 * _COPIED / copying, 2e3 * _SIDE**3 / multiplying)

    def floor_ms(self, work: Work) -> float:
        """The larger of both times: they may pass side by side."""
        return 1e3 * max(work.bytes / self.bytes_per_s, work.flops / self.flops_per_s)


def num_bytes(found: object) -> int:
    """Bytes of the tensors within tensors, graphs, dataclasses, mappings and sequences; a number once."""
    if isinstance(found, Tensor):
        return min(found.nbytes, found.untyped_storage().nbytes())
    if isinstance(found, HeteroData):
        return num_bytes([dict(store) for store in found.stores])
    if is_dataclass(found):
        return num_bytes([getattr(found, field.name) for field in fields(found)])
    if isinstance(found, Mapping):
        return num_bytes(list(found.values()))
    return sum(map(num_bytes, found)) if isinstance(found, Iterable) and not isinstance(found, str) else 0


def count_flops(work: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions that torch sees in some work; our kernels' are not among them."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops()
