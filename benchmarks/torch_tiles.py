"""A tile rasteriser in plain torch under autograd: what one writes before writing kernels. A yardstick, no more."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.tile_lists import TILE, tile_lists
from hgg_pyg.render.projection import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project
from hgg_pyg.render.scene import Rendered, Scene

_MOST_SAMPLES = 4_000_000  # of Gaussians at pixels at a time: large enough to be efficient, small enough for the cache


def render_scene(scene: Scene) -> Rendered:
    """Blend tile by tile, tiles with lists of about one length together; reference.py has the formulas."""
    splats = project(scene)
    scenes, views, height, width = scene.image_shape
    means2d, conics, depths, radii = (
        x.flatten(0, 1) for x in (splats.means2d, splats.conics, splats.depths, splats.radii)
    )
    payload = torch.cat([scene.colors.expand(-1, views, -1, -1).flatten(0, 1), depths[..., None]], -1)
    opacities = splats.opacities.expand(-1, views, -1).flatten()
    starts, order = tile_lists(means2d, radii, depths, width, height)
    flat = means2d.flatten(0, 1), conics.flatten(0, 1), opacities, payload.flatten(0, 1)
    across, down = -(-width // TILE), -(-height // TILE)
    tiles, blended = [], []
    for group, longest in _groups(starts):
        place = starts[group, None] + torch.arange(longest)
        there = place < starts[group + 1, None]
        members = order[place.clamp(max=len(order) - 1)]  # [g, K]
        blended.append(_blend(group, members, there, across, down, *flat))
        tiles.append(group)
    images = payload.new_zeros(scenes * views * down * across, TILE * TILE, payload.shape[-1] + 1)
    if tiles:
        images = images.index_copy(0, torch.cat(tiles), torch.cat(blended))
    images = images.view(scenes, views, down, across, TILE, TILE, -1).transpose(3, 4)
    images = images.reshape(scenes, views, down * TILE, across * TILE, -1)[:, :, :height, :width]
    return Rendered(images[..., :-2], images[..., -1:], images[..., -2:-1] if scene.with_depth else None)


def _groups(starts: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Tiles that are not empty, and the length of the longest list among each group of them."""
    lengths = starts.diff()
    tiles = torch.argsort(lengths)
    tiles = tiles[lengths[tiles] > 0]
    sizes, first = lengths[tiles].tolist(), 0
    while first < len(sizes):
        end = first + 1
        while (
            end < len(sizes)
            and sizes[end] <= 1.25 * sizes[first] + TILE
            and (end + 1 - first) * sizes[end] * TILE**2 <= _MOST_SAMPLES
        ):
            end += 1
        yield tiles[first:end], sizes[end - 1]
        first = end


def _blend(
    tiles: Tensor,  # [g]
    members: Tensor,  # [g, K]
    there: Tensor,  # [g, K]
    across: int,
    down: int,
    means2d: Tensor,  # [P * N, 2]
    conics: Tensor,  # [P * N, 3]
    opacities: Tensor,  # [P * N]
    payload: Tensor,  # [P * N, D + 1]
) -> Tensor:
    """[g, TILE^2, D + 2] blended payload, and alpha."""
    pixel = torch.arange(TILE * TILE)
    x = (tiles % across * TILE)[:, None] + pixel % TILE + 0.5  # [g, TILE^2]
    y = (tiles // across % down * TILE)[:, None] + pixel // TILE + 0.5
    center, (a, b, c) = means2d[members], conics[members].unbind(-1)
    dx, dy = center[..., :1] - x[:, None], center[..., 1:] - y[:, None]  # [g, K, TILE^2]
    exponent = 0.5 * (a[..., None] * dx * dx + c[..., None] * dy * dy) + b[..., None] * dx * dy
    alpha = (opacities[members][..., None] * torch.exp(-exponent)).clamp(max=ALPHA_MAX)
    alpha = torch.where((exponent >= 0) & (alpha >= ALPHA_MIN) & there[..., None], alpha, 0.0)
    after = torch.cumprod(1 - alpha, 1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], 1)
    weights = torch.where(after > TRANSMITTANCE_MIN, before * alpha, 0.0)
    return torch.cat([torch.einsum("gkp,gkd->gpd", weights, payload[members]), weights.sum(1)[..., None]], -1)
