"""Edge attention by degree: targets of similar degree are padded to one power of two and attended to densely."""

from __future__ import annotations

from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._padding import Block, PaddedRows, blocks_of, padded_attention
from hgg_pyg.attention.registry import HALF, SINGLE, Variant

NARROWEST = 8


def degree_buckets(edges: Edges) -> PaddedRows:
    """Targets by degree: up to 8 edges, up to 16, up to 32, ...; those without an edge are in none."""
    blocks: list[Block] = []
    low, high = 0, NARROWEST
    largest = int(edges.degree.max())
    while low < largest:
        target = ((edges.degree > low) & (edges.degree <= high)).nonzero().flatten()
        if len(target):
            blocks += blocks_of(edges, target, high)
        low, high = high, 2 * high
    return PaddedRows.of(blocks, edges.num_targets)


def bucket_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention bucket by bucket; see `attend` for the formula and `Variant` for the shapes."""
    return padded_attention(query, key, value, edges.derive(degree_buckets))


VARIANT = Variant(
    "buckets",
    "degree buckets padded to powers of two, scaled_dot_product_attention",
    bucket_attention,
    cpu=SINGLE + HALF,
    cuda=SINGLE + HALF,
)
