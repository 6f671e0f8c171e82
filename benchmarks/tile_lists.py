"""Which Gaussians touch which tiles, in plain torch: the list that gsplat's torch code makes in a loop of Python."""

from __future__ import annotations

import torch
from torch import Tensor

TILE = 16


@torch.no_grad()
def tile_lists(means2d: Tensor, radii: Tensor, depths: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Entries of P views' tiles, tile by tile, each front to back.

    Args:
        means2d: [P, N, 2] pixels
        radii: [P, N, 2] pixels, 0 where culled
        depths: [P, N]
        width, height: of the image.

    Returns:
        [P * tiles + 1] first entry of each tile, and [E] the entries, indices into P * N.
    """
    across, down = -(-width // TILE), -(-height // TILE)
    most = torch.tensor([across, down], device=means2d.device)
    first = ((means2d - radii) / TILE).floor().long().clamp(min=0).minimum(most)
    last = ((means2d + radii) / TILE).ceil().long().clamp(min=0).minimum(most)
    span = ((last - first) * (radii > 0).all(-1, keepdim=True)).flatten(0, 1)  # [P * N, 2]
    counts = span.prod(-1)
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    place = torch.arange(len(owner), device=counts.device) - (counts.cumsum(0) - counts)[owner]
    column = first.flatten(0, 1)[owner, 0] + place % span[owner, 0]
    row = first.flatten(0, 1)[owner, 1] + torch.div(place, span[owner, 0], rounding_mode="floor")
    tile = (owner // means2d.shape[1] * down + row) * across + column
    by_depth = torch.argsort(depths.flatten()[owner], stable=True)
    order = by_depth[torch.argsort(tile[by_depth], stable=True)]
    starts = torch.zeros(means2d.shape[0] * down * across + 1, dtype=torch.long, device=tile.device)
    starts[1:] = torch.bincount(tile, minlength=len(starts) - 1).cumsum(0)
    return starts, owner[order]
