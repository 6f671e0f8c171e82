"""Which ways of computing attention there are: each file of `methods/` that defines a `VARIANT`, and yours."""

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


_registered: dict[str, Variant] = {}


def register(variant: Variant) -> Variant:
    """Make a variant of yours known by its name, to `attend`, the layers, the tests and the benchmarks.

    Returns:
        The variant, so that a module can say `VARIANT = register(Variant(...))`.

    Raises:
        ValueError: the name is taken by another variant, or cannot be told from "auto" or "module:NAME".
    """
    known = variants().get(variant.name)
    if known is not None and known != variant:
        raise ValueError(f"attention: expected a name that is free, found {variant.name!r}: {known.summary}")
    if variant.name == "auto" or ":" in variant.name or not variant.name:
        raise ValueError(f"attention: expected a plain name other than auto, found {variant.name!r}")
    _registered[variant.name] = variant
    return variant


def variants() -> dict[str, Variant]:
    """Every variant by name: the reference, the semantics of record, our others, then what was registered."""
    return {**_shipped(), **_registered}


@cache
def _shipped() -> dict[str, Variant]:
    package = importlib.import_module("hgg_pyg.attention.methods")
    found: list[Variant] = []
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        if isinstance(variant := getattr(module, "VARIANT", None), Variant):
            found.append(variant)
    found.sort(key=lambda variant: (variant.name != "reference", variant.name != "scatter", variant.name))
    return {variant.name: variant for variant in found}


def find_variant(backend: str | Variant) -> Variant | None:
    """The variant that is meant, wherever it may run; None for "auto".

    Raises:
        ValueError: no variant has this name, or "module:NAME" cannot be imported or is no `Variant`.
    """
    if isinstance(backend, Variant):
        return backend
    if backend == "auto":
        return None
    known = variants()
    if backend in known:
        return known[backend]
    if ":" not in backend:
        raise ValueError(
            f"attention backend: expected one of auto, {', '.join(known)}, or module:NAME of a Variant of yours; "
            f"found {backend!r}"
        )
    try:
        found = pkgutil.resolve_name(backend)
    except (Exception, SystemExit) as error:  # a module of somebody else's may fail in any way
        raise ValueError(f"attention backend: {backend!r} cannot be imported from here ({error})") from error
    if not isinstance(found, Variant):
        raise ValueError(f"attention backend: expected {backend!r} to be a Variant, found {type(found).__name__}")
    return found


def get_variant(backend: str | Variant, device: str, dtype: torch.dtype) -> Variant:
    """The variant that is meant, for a device and a type; "auto" is `fused` where that runs, and `scatter` elsewhere.

    Raises:
        ValueError: what `find_variant` refuses, or the variant cannot run on this device or with this type.
    """
    chosen = find_variant(backend)
    if chosen is None:
        known = variants()
        return known["scatter" if known["fused"].missing(device, dtype) else "fused"]
    if why := chosen.missing(device, dtype):
        raise ValueError(f"attention backend: expected one that runs here, found {chosen.name!r}, which {why}")
    return chosen
