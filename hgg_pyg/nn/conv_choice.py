"""Which layer passes the messages along a relation: ours, one of PyG's, or one from a file of yours."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from dataclasses import dataclass
from typing import Any

import torch
import torch_geometric.nn
from torch_geometric.nn import MessagePassing

from hgg_pyg.attention import Variant, find_variant
from hgg_pyg.nn.attention_conv import AttentionConv
from hgg_pyg.nn.fused import FusedConv, FusedInterConv, FusedIntraConv
from hgg_pyg.nn.inter import InterConv
from hgg_pyg.nn.intra import IntraConv

OURS = ("auto", "attention", "fused")
# Arguments that the network's configuration and its graph decide, and self loops, which are edges of the graph.
_OF_THE_NETWORK = (
    *("in_channels", "out_channels", "heads", "dropout", "edge_dim", "in_edge_channels"),
    "add_self_loops",
)


@dataclass(frozen=True)
class ConvChoice:
    """A layer by name, and how it is made.

    Raises:
        ValueError: there is no such layer or backend, or options that the layer does not take.
    """

    conv: str = "auto"
    """attention: `IntraConv` from other nodes and `InterConv` among vertices, as messages; fused: their fast twins;
    auto: fused, or attention where edges have features or attention weights are dropped; else a `MessagePassing` of
    torch_geometric.nn by its name, or "module:Class" of one of yours"""
    options: tuple[str, ...] = ()
    """NAME=VALUE of further arguments of the layer, VALUE a Python literal or plain text"""
    backend: str | Variant = "auto"
    """how our fused layers compute attention"""
    fold: bool = True
    """whether `FusedIntraConv` may project on the vertices' side"""

    def __post_init__(self) -> None:
        kinds = {"conv": str, "options": tuple, "backend": str | Variant, "fold": bool}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"ConvChoice.{name}: expected {kind}, found {getattr(self, name)!r}")
        find_variant(self.backend)
        arguments = _arguments(self.options)
        if self.conv in OURS:
            if self.conv == "attention" and self.backend not in ("auto", "scatter"):
                raise ValueError(f"conv attention: expected backend auto or scatter, found {self.backend!r}")
            if arguments:
                raise ValueError(f"conv {self.conv}: expected no options, found {', '.join(arguments)}")
            return
        _check_options(self.conv, find_conv(self.conv), arguments)

    def make(
        self,
        in_channels: tuple[int, int],
        out_channels: int,
        heads: int,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        same_nodes: bool = False,
    ) -> MessagePassing:
        """A layer, tried on a few random nodes.

        PyG's layers that put heads side by side (`concat`) get out_channels / heads channels for each; layers that can
        add self loops are told not to: the graph says which edges there are.

        Args:
            in_channels: channels of sources and targets.
            out_channels: channels of the result.
            heads: attention heads, for a layer that has any.
            dropout: of attention weights.
            edge_dim: channels of edge features.
            same_nodes: sources and targets are the same nodes.

        Raises:
            ValueError: the layer cannot do what is asked for.
        """
        if self.conv in OURS:
            return self._make_ours(in_channels, out_channels, heads, dropout, edge_dim, same_nodes)
        cls: Any = find_conv(self.conv)  # whose arguments are its own
        names = inspect.signature(cls).parameters
        arguments: dict[str, Any] = {"heads": heads} if "heads" in names else {}
        if "add_self_loops" in names:
            arguments["add_self_loops"] = False
        for needed, spellings, value in (
            ("dropout of attention weights", ("dropout",), dropout),
            ("edge features", ("edge_dim", "in_edge_channels"), edge_dim),
        ):
            if value:
                spelling = next((name for name in spellings if name in names), None)
                if spelling is None:
                    expected = f"expected a layer that takes {needed} ({' or '.join(spellings)})"
                    raise ValueError(f"conv {self.conv}: {expected}, found one of {', '.join(names)}")
                arguments[spelling] = value
        arguments |= _arguments(self.options)
        side_by_side = "heads" in names and arguments.get("concat", "concat" in names)
        width = out_channels // heads if side_by_side else out_channels
        try:
            layer = cls(in_channels, width, **arguments)
            _try_out(layer, in_channels, out_channels, edge_dim)
        except (Exception, SystemExit) as error:  # a layer of somebody else's may fail in any way
            said = " ".join(str(error).split())[:300]
            raise ValueError(
                f"conv {self.conv}: expected a layer (in_channels, out_channels, heads=..., **options) that is called "
                f"((x_src, x_dst), edge_index{', edge_attr' * bool(edge_dim)}) and gives [N, {out_channels}]: {said}"
            ) from error
        return layer

    def _make_ours(
        self,
        in_channels: tuple[int, int],
        out_channels: int,
        heads: int,
        dropout: float,
        edge_dim: int | None,
        same_nodes: bool,
    ) -> AttentionConv:
        by_messages = self.conv == "attention" or (self.conv == "auto" and bool(dropout or edge_dim))
        if not by_messages:
            rest: dict[str, Any] = {"dropout": dropout, "edge_dim": edge_dim}
            if same_nodes:
                layer = FusedInterConv(in_channels, out_channels, heads, self.backend, **rest)
            else:
                layer = FusedIntraConv(in_channels, out_channels, heads, self.backend, self.fold, **rest)
            self._try_backend(layer, in_channels, out_channels)
            return layer
        if self.backend not in ("auto", "scatter"):
            raise ValueError(
                f"conv {self.conv}: edge features and dropout of attention weights take messages, whose backend is "
                f"scatter; found {self.backend!r}"
            )
        return (InterConv if same_nodes else IntraConv)(in_channels, out_channels, heads, dropout, edge_dim)

    def _try_backend(self, layer: FusedConv, in_channels: tuple[int, int], out_channels: int) -> None:
        """Try a way of computing attention that is not ours, where it runs on a CPU at all."""
        variant = find_variant(self.backend)
        own = isinstance(self.backend, Variant) or ":" in self.backend
        if variant is None or not own or variant.missing("cpu", torch.float32):
            return
        try:
            _try_out(layer, in_channels, out_channels, None)
        except (Exception, SystemExit) as error:
            raise ValueError(f"attention backend {variant.name!r}: it fails on a few random edges: {error}") from error


def find_conv(name: str) -> type[MessagePassing]:
    """A layer's class: of torch_geometric.nn by its name, else "module:Class".

    Raises:
        ValueError: there is none.
    """
    if ":" in name:
        try:
            found = pkgutil.resolve_name(name)
        except (Exception, SystemExit) as error:  # a module of somebody else's may fail in any way
            raise ValueError(f"conv: {name!r} cannot be imported from here ({error})") from error
    else:
        found = getattr(torch_geometric.nn, name, None)
    if not (isinstance(found, type) and issubclass(found, MessagePassing)):
        raise ValueError(
            f"conv: expected one of {', '.join(OURS)}, the name of a MessagePassing layer of torch_geometric.nn such "
            f"as GATv2Conv, or module:Class of one of yours; found {name!r}"
        )
    return found


def can_return_weights(layer: torch.nn.Module) -> bool:
    """Whether a layer gives attention weights when it is asked to."""
    return (
        not isinstance(layer, FusedConv) and "return_attention_weights" in inspect.signature(layer.forward).parameters
    )


def _arguments(options: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE strings as keyword arguments."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"conv options: expected NAME=VALUE, found {option!r}")
        if name in found:
            raise ValueError(f"conv options: expected each name once, found {name!r} twice")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text
    return found


def _check_options(name: str, cls: type[MessagePassing], arguments: dict[str, Any]) -> None:
    """Refuse names that the class does not know, also where it would swallow them by **kwargs."""
    known: dict[str, None] = {}
    for base in cls.__mro__:
        if issubclass(base, MessagePassing) and "__init__" in vars(base):
            known |= dict.fromkeys(
                p.name for p in inspect.signature(base.__init__).parameters.values() if p.kind not in (2, 4)
            )
    for reserved in ("self", *_OF_THE_NETWORK):
        known.pop(reserved, None)
    unknown = [option for option in arguments if option not in known]
    if unknown:
        raise ValueError(f"conv {name}: expected options among {', '.join(known)}; found {', '.join(unknown)}")


@torch.no_grad()
def _try_out(layer: MessagePassing, in_channels: tuple[int, int], out_channels: int, edge_dim: int | None) -> None:
    """Call a layer on two sources and three targets, without touching the random numbers of others."""
    with torch.random.fork_rng(devices=[]):
        x = torch.randn(2, in_channels[0]), torch.randn(3, in_channels[1])
        edges = torch.tensor([[0, 1, 1], [0, 0, 2]])
        features = () if edge_dim is None else (torch.randn(3, edge_dim),)
        was_training = layer.training
        out = layer.eval()(x, edges, *features)
        layer.train(was_training)
    shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    if shape != (3, out_channels):
        raise ValueError(f"three targets gave {shape}")
    if out.dtype != torch.float32 or not bool(out.isfinite().all()):
        raise ValueError(f"finite float32 inputs gave {out.dtype}{'' if out.isfinite().all() else ', not finite'}")
