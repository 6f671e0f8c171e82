"""Attention of targets over the sources that their edges name: one operation, one file per way of computing it."""

from hgg_pyg.attention.attend import attend
from hgg_pyg.attention.edges import AnyEdges, Edges
from hgg_pyg.attention.folded import attend_folded
from hgg_pyg.attention.methods.scatter import edge_softmax
from hgg_pyg.attention.registry import Variant, find_variant, get_variant, register, variants

__all__ = [
    "AnyEdges",
    "Edges",
    "Variant",
    "attend",
    "attend_folded",
    "edge_softmax",
    "find_variant",
    "get_variant",
    "register",
    "variants",
]
