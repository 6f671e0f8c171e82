"""Attention over rows of keys that are padded to one width, as dense kernels want them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.attention.edges import Edges
from hgg_pyg.attention.registry import HALF

# CUDA kernels of scaled_dot_product_attention take fewer than 65,536 rows.
ROWS = 32_768


@dataclass(frozen=True)
class Block:
    """Targets whose edges are padded to one width."""

    target: Tensor  # [n] int64
    source: Tensor  # [n, width] int64; the target's first source where it has no more
    filled: Tensor  # [n, width] bool


@dataclass(frozen=True)
class PaddedRows:
    """Blocks that share one gathering of their rows and one scattering of their results."""

    target: Tensor  # [R] int64: the targets of all blocks, in turn
    source: Tensor  # [P] int64: their padded sources
    place: Tensor  # [N] int64: where in `target` each target is, or R
    filled: tuple[Tensor, ...]  # [n, width] bool of each block

    @classmethod
    def of(cls, blocks: list[Block], num_targets: int) -> PaddedRows:
        """Of blocks no two of which hold the same target."""
        target = torch.cat([block.target for block in blocks])
        place = torch.full((num_targets,), len(target), device=target.device)
        place[target] = torch.arange(len(target), device=target.device)
        source = torch.cat([block.source.flatten() for block in blocks])
        return cls(target, source, place, tuple(block.filled for block in blocks))


def blocks_of(edges: Edges, target: Tensor, width: int) -> list[Block]:
    """The first `width` edges at most of targets [n] that all have one at least, in blocks of at most ROWS targets."""
    blocks = []
    for some in target.split(ROWS):
        column = torch.arange(width, device=target.device)
        filled = column < edges.degree[some, None]
        edge = edges.ptr[some, None] + torch.where(filled, column, 0)
        blocks.append(Block(some, edges.source[edge], filled))
    return blocks


def gather(x: Tensor, index: Tensor) -> Tensor:
    """Rows of x, of its type; gradients of half precision are summed in float32, which CUDA devices would not do."""
    if x.dtype in HALF and x.requires_grad:
        return x.float().index_select(0, index).to(x.dtype)
    return x.index_select(0, index)


def padded_attention(query: Tensor, key: Tensor, value: Tensor, padded: PaddedRows) -> Tensor:
    """Scaled dot-product attention block by block: slots are the queries of a row, so that they share its keys.

    Args:
        query: [N, S, H, C].
        key: [M, H, C].
        value: [M, H, C].
        padded: blocks of some of the N targets; the others get zero.

    Returns:
        [N, S, H, C].
    """
    rows = [len(filled) for filled in padded.filled]
    cells = [filled.numel() for filled in padded.filled]
    keys = gather(key, padded.source)
    values = keys if value is key else gather(value, padded.source)
    queries = query.index_select(0, padded.target)
    out = []
    for filled, q, k, v in zip(padded.filled, queries.split(rows), keys.split(cells), values.split(cells), strict=True):
        k, v = (x.unflatten(0, filled.shape).transpose(1, 2) for x in (k, v))  # [n, H, width, C]
        block = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=filled[:, None, None])
        out.append(block.transpose(1, 2))
    out.append(query.new_zeros(1, *query.shape[1:]))
    return torch.cat(out).index_select(0, padded.place)
