"""Attention of targets over the sources that their edges name: one operation, one file a way of computing it."""

from hgg_pyg.attention.attend import attend
from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.folded import attend_folded
from hgg_pyg.attention.methods.scatter import edge_softmax
from hgg_pyg.attention.registry import Variant, get_variant, variants

__all__ = ["Edges", "Variant", "attend", "attend_folded", "edge_softmax", "get_variant", "variants"]
