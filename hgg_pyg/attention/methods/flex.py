"""Edge attention by FlexAttention: a mask of blocks, of edges laid out by target, says which tiles to compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.methods._compiling import many_kinds
from hgg_pyg.attention.methods._padding import gather
from hgg_pyg.attention.registry import HALF, Variant

BLOCK = 128
CHANNELS = 16
"""the fewest that FlexAttention takes on a CUDA device"""


@cache
def target_blocks(slots: int) -> Callable[[Edges], BlockMask]:
    """What makes the mask of a graph for this many slots, always the same function."""
    return lambda edges: _target_blocks(edges, slots)


def _target_blocks(edges: Edges, slots: int) -> BlockMask:
    """Tiles of `BLOCK` queries, the slots of a target side by side, and `BLOCK` edges that hold an edge of a target.

    The keys are the edges and not the sources, so that an edge given twice is two keys. Both the edges of a tile of
    queries and the queries of a tile of edges are consecutive: the lists have O(N + E) entries but where one target
    spans many tiles, and no N x E mask is made.
    """
    count, rows = len(edges.source), slots * edges.num_targets
    device = edges.ptr.device
    segment = edges.target.int()

    first = torch.arange(0, rows, BLOCK, device=device)
    last = (first + BLOCK).clamp(max=rows) - 1
    begin, end = edges.ptr[first // slots], edges.ptr[last // slots + 1]
    edge_tiles = _runs(begin // BLOCK, torch.where(end > begin, (end - 1) // BLOCK + 1, begin // BLOCK))

    first = torch.arange(0, count, BLOCK, device=device)
    last = (first + BLOCK).clamp(max=count) - 1
    begin, end = slots * edges.target[first], slots * (edges.target[last] + 1)
    query_tiles = _runs(begin // BLOCK, (end - 1) // BLOCK + 1)

    def same_target(batch: Tensor, head: Tensor, row: Tensor, edge: Tensor) -> Tensor:
        return segment[edge] == row // slots

    return BlockMask(
        seq_lengths=(rows, count),
        kv_num_blocks=edge_tiles[0],
        kv_indices=edge_tiles[1],
        full_kv_num_blocks=None,
        full_kv_indices=None,
        q_num_blocks=query_tiles[0],
        q_indices=query_tiles[1],
        full_q_num_blocks=None,
        full_q_indices=None,
        BLOCK_SIZE=(BLOCK, BLOCK),
        mask_mod=same_target,
    )


def _runs(begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths [1, 1, n] and padded members [1, 1, n, longest] of the runs begin..end - 1, int32."""
    length = end - begin
    column = torch.arange(max(int(length.max()), 1), device=begin.device)
    members = torch.where(column < length[:, None], begin[:, None] + column, 0)
    return length.int()[None, None], members.int()[None, None]


def flex_edge_attention(query: Tensor, key: Tensor, value: Tensor, edges: Edges) -> Tensor:
    """Attention tile by tile; see `attend` for the formula and `Variant` for the shapes. The first call compiles."""
    size, slots, _, channels = query.shape
    keys = key if edges.in_order else gather(key, edges.source)
    values = keys if value is key else value if edges.in_order else gather(value, edges.source)
    queries = query.transpose(1, 2).transpose(0, 1).flatten(1, 2)  # [H, N S, C]
    padding = (0, max(CHANNELS - channels, 0))
    arguments = (F.pad(x, padding)[None] for x in (queries, keys.transpose(0, 1), values.transpose(0, 1)))
    with many_kinds():
        out = compiled_flex()(
            *arguments,
            block_mask=edges.derive(target_blocks(slots)),
            scale=channels**-0.5,
            # The kernel for few queries, which it would choose by itself, reads block lists of full length.
            kernel_options={"FORCE_USE_FLEX_ATTENTION": True},
        )
    return out[0, ..., :channels].unflatten(1, (size, slots)).permute(1, 2, 0, 3)


@cache
def compiled_flex() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, fullgraph=True)


VARIANT = Variant(
    "flex",
    "FlexAttention over edges laid out by target; the first call compiles",
    flex_edge_attention,
    cuda=(torch.float32, *HALF),
)
