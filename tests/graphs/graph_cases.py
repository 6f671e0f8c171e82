"""Small random clips, and relations of one's own for tests to name as "tests.graphs.graph_cases:..."."""

from typing import Any

import torch
from torch import Tensor

from graphs import VERTEX, AvatarNodes, ClipNodes, GraphSpec, Relation

FACES = torch.tensor([[i, i + 1, i + 2] for i in range(18)])  # a strip of N = 20 vertices
N, C, B = 20, 5, 4


def clip(counts: list[int], seed: int = 0, spec: GraphSpec = GraphSpec(), **options: Any) -> ClipNodes:  # noqa: B008
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    pos, x = ([draw(m, c) for m in counts] for c in (3, C))
    return ClipNodes.from_frames(pos, x, draw(len(counts), N, 3), FACES, draw(N, 3), spec=spec, **options)


def avatar(nodes: ClipNodes) -> AvatarNodes:
    """Of the reference frame's Gaussians; every number differs from every other."""
    pos = nodes.ref_pos
    generator = torch.Generator().manual_seed(len(pos))
    shapes = {"quats": (4,), "scales": (3,), "opacities": (), "colors": (3,), "axes": (3, 3)}
    drawn = {name: torch.rand(len(pos), *shape, generator=generator) for name, shape in shapes.items()}
    betas = torch.randn(B, generator=generator)
    return AvatarNodes(x=nodes.x[nodes.is_ref], pos=pos, binding=nodes.anchor_nearest[:, 0], betas=betas, **drawn)


def upside_down(nodes: ClipNodes) -> Relation:
    """Every vertex hears from the one at the other end of the strip; edges come unsorted, with their sources."""
    source = torch.arange(nodes.num_vertices)
    return Relation(VERTEX, VERTEX, torch.stack([source, source.flip(0)]), source[:, None] / 2)


NOT_A_FUNCTION = 7
