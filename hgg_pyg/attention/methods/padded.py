"""The padding of the paper's own public code: a fixed number of Gaussians per vertex, the rest dropped."""

from __future__ import annotations

from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._padding import PaddedRows, blocks_of, padded_attention
from hgg_pyg.attention.registry import HALF, SINGLE, Variant

LIMIT = 40
"""edges a target keeps: 5 a vertex and frame over 8 frames"""


def first_edges(edges: Edges) -> PaddedRows:
    """Every target that has an edge, with its first `LIMIT` edges."""
    return PaddedRows.of(blocks_of(edges, edges.degree.nonzero().flatten(), LIMIT), edges.num_targets)


def padded_first_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention over the first 40 edges of each target, in the order of the edges, padded to 40.

    The public code of Human Gaussian Graph keeps at most 5 Gaussians per vertex and frame and pads to 5 T for T frames,
    of which it evaluates 8. Edges carry no frame here, so that the limit holds for the 8 frames together: equal to
    `reference` where no target has more than 40 edges, and less of the graph elsewhere.
    """
    return padded_attention(query, key, value, edges.derive(first_edges))


VARIANT = Variant(
    "padded",
    "the public code's padding: the first 40 edges a target, dense",
    padded_first_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
    exact=False,
)
