"""Which ways of computing attention there are: every file of `methods/` that defines a `VARIANT`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from hgg_pyg.attention.edges import Edges

Compute = Callable[[Tensor, Tensor, Tensor, Edges], Tensor]

SINGLE = (torch.float32, torch.float64)
HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Variant:
    """One way of computing attention along edges.

    `compute` gets a query [N, S, H, C], key and value [M, H, C], all of one device and type (but see `storage`), and
    edges that are not empty; it returns [N, S, H, C] of the query's type, accumulated in float32 at least.
    """

    name: str
    summary: str
    """what it computes with, in a line"""
    compute: Compute
    cpu: tuple[torch.dtype, ...] = ()
    """types it takes on a CPU; none: it does not run there"""
    cuda: tuple[torch.dtype, ...] = ()
    """types it takes on a CUDA device"""
    storage: tuple[torch.dtype, ...] = ()
    """types that key and value may have under a query of float32, converted as they are read"""
    backward: bool = True
    exact: bool = True
    """False: another operation, such as a mean or attention that drops edges"""
    deterministic: bool = True
    """on a CPU: the same inputs give the same bits again"""
    requires: tuple[str, ...] = ()
    """modules it needs besides torch and numpy, on any device"""
    requires_cuda: tuple[str, ...] = ()
    """modules it needs on a CUDA device only"""

    def dtypes(self, device: str) -> tuple[torch.dtype, ...]:
        """Types it takes on a kind of device, "cpu" or "cuda"."""
        return {"cpu": self.cpu, "cuda": self.cuda}.get(device, ())

    def missing(self, device: str = "cpu", dtype: torch.dtype | None = None) -> str | None:
        """Why it cannot run on a kind of device, or with a type there; None where it can."""
        types = self.dtypes(device)
        if not types:
            return f"does not run on {device}"
        needed = self.requires + (self.requires_cuda if device == "cuda" else ())
        absent = [module for module in needed if importlib.util.find_spec(module) is None]
        if absent:
            return f"needs {', '.join(absent)}: pip install {' '.join(absent)}"
        if device == "cuda" and not torch.cuda.is_available():
            return "needs a CUDA device"
        if dtype is not None and dtype not in types:
            return f"takes {', '.join(str(t).removeprefix('torch.') for t in types)} on {device}, not {dtype}"
        return None


@cache
def variants() -> dict[str, Variant]:
    """Every variant by name, the reference and the semantics of record first."""
    package = importlib.import_module("hgg_pyg.attention.methods")
    found: list[Variant] = []
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        if isinstance(variant := getattr(module, "VARIANT", None), Variant):
            found.append(variant)
    found.sort(key=lambda variant: (variant.name != "reference", variant.name != "scatter", variant.name))
    return {variant.name: variant for variant in found}


def get_variant(name: str, device: str, dtype: torch.dtype) -> Variant:
    """The variant of a name; "auto" is `fused` where that runs, and `scatter` elsewhere.

    Raises:
        ValueError: no variant has this name, or it cannot run on this device or with this type.
    """
    known = variants()
    if name == "auto":
        return known["scatter" if known["fused"].missing(device, dtype) else "fused"]
    if name not in known:
        listed = "; ".join(n + (f" ({why})" if (why := v.missing(device)) else "") for n, v in known.items())
        raise ValueError(f"attention: expected one of auto; {listed}; found {name!r}")
    if why := known[name].missing(device, dtype):
        raise ValueError(f"attention: expected a variant that runs here, found {name!r}, which {why}")
    return known[name]
