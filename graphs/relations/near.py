"""The mesh-level edges of Eq. 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphs.mesh_hops import mesh_hop_edges
from graphs.names import VERTEX
from graphs.relations.relation import Relation

if TYPE_CHECKING:
    from graphs.nodes import ClipNodes


def near(nodes: ClipNodes) -> Relation:
    """Every vertex to those within `spec.hops` edges of the mesh, and to itself if `spec.self_loops` says so."""
    spec = nodes.spec
    edges = mesh_hop_edges(nodes.faces, spec.hops, nodes.num_vertices, spec.self_loops)
    return Relation(VERTEX, VERTEX, edges.to(nodes.pos.device))
