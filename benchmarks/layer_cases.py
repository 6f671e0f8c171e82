"""The layers that are compared, what they are compared on, and what makes it fair: weights, gradients, truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from benchmarks import graphs, peers
from benchmarks.check import TOLERANCE
from benchmarks.suite import Contestant
from benchmarks.timing import Work
from hgg_pyg.attention import variants

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
    compiled: bool = False
    """under torch.compile, one layer only"""

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
    "TransformerConv, compiled": Layer("TransformerConv", options=("root_weight=False",), compiled=True),
    "anemoi": Layer(peers.ANEMOI),
    "GATv2Conv": Layer("GATv2Conv", options=("bias=False",)),
}


@dataclass(frozen=True)
class LayerCase:
    """One point of the benchmark. Features of Gaussians are frozen; queries and weights get gradients."""

    kind: Kind = "intra"
    """one layer, or a model: L times intra, feed-forward, inter, feed-forward, then the read-out"""
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

    @property
    def readout(self) -> int:
        """M, Gaussians of the frame that a model reads out: the first of eight."""
        return max(1, self.edges // graphs.FRAMES)


def runnable(device: str, names: Sequence[str]) -> list[str]:
    """Those of LAYERS that run on a device and are installed."""
    return [name for name in names if LAYERS[name].missing(device) is None]


def checked_contestant(
    forward: Work, forward_backward: Work, compare: Callable[[Any, str], float], layer: Layer
) -> Contestant:
    """Checked against the truth for features as they are stored, with the error against that for float32 ones."""
    if not layer.known:
        return Contestant(forward, forward_backward, check=None)

    def check(result: Any) -> float:
        return compare(result, layer.storage)

    def error(result: Any) -> float:
        return compare(result, "float32")

    return Contestant(forward, forward_backward, check, TOLERANCE[torch.float32], error)


def load_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a module the weights of ours, but for those that it has no place for."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(weights[name])


def freeze_unused(module: Module) -> Module:
    """Take the root weight from those that get gradients: `TransformerConv` makes one that it does not use."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_("lin_skip." not in name)
    return module


def draw(rows: int, columns: int, seed: int, device: str) -> Tensor:
    """Normal numbers [rows, columns], drawn on the device."""
    return torch.randn(rows, columns, generator=torch.Generator(device).manual_seed(seed), device=device)
