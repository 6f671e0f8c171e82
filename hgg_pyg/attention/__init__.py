"""Attention of targets over the sources that their edges name: one operation, one file a way of computing it."""

from hgg_pyg.attention.reference import reference_attention
from hgg_pyg.attention.scatter import edge_softmax, scatter_attention

__all__ = ["edge_softmax", "reference_attention", "scatter_attention"]
