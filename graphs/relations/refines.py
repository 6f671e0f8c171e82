"""The read-out's edges of Eq. 18. Not among the relations that blocks loop over: they end in the avatar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphs.names import AVATAR, VERTEX
from graphs.relations.relation import Relation

if TYPE_CHECKING:
    from graphs.nodes import ClipNodes


def refines(nodes: ClipNodes) -> Relation:
    """The `spec.readout_k` nearest vertices to each Gaussian that the avatar starts from. M * readout_k edges."""
    vertex = nodes.anchor_nearest
    avatar = torch.arange(len(vertex), device=vertex.device).repeat_interleave(vertex.shape[1])
    return Relation(VERTEX, AVATAR, torch.stack([vertex.flatten(), avatar]))
