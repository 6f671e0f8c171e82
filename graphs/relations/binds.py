"""The Gaussian-mesh edges of Eq. 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphs.names import GAUSSIAN, VERTEX
from graphs.relations.relation import Relation

if TYPE_CHECKING:
    from graphs.nodes import ClipNodes


def binds(nodes: ClipNodes) -> Relation:
    """Every Gaussian to its `spec.k` nearest vertices of its own frame; none is capped away. P * k edges."""
    vertex = nodes.nearest
    gaussian = torch.arange(len(vertex), device=vertex.device).repeat_interleave(vertex.shape[1])
    return Relation(GAUSSIAN, VERTEX, torch.stack([gaussian, vertex.flatten()]))
