"""The Human Gaussian Graph (Section 3.2, Algorithm 1): Gaussians of all frames and the vertices that they share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs.mesh_hops import mesh_hop_edges
from graphs.nearest import nearest_vertices_ragged
from graphs.spec import GraphSpec

BINDS = ("gaussian", "binds", "vertex")
"""The Gaussian-mesh edges of Eq. 6."""

NEAR = ("vertex", "near", "vertex")
"""The mesh-level edges of Eq. 7."""


def build_human_graph(
    positions: Tensor | Sequence[Tensor],  # [T, M, 3], or T times [M_t, 3]
    features: Tensor | Sequence[Tensor],  # [T, M, C], or T times [M_t, C]
    vertices: Tensor,  # [T, N, 3]
    faces: Tensor,  # [F, 3]
    spec: GraphSpec = GraphSpec(),  # noqa: B008  (frozen)
) -> HeteroData:
    """Build the graph of one subject over T frames; every Gaussian is kept, none is capped away.

    Frames may hold different numbers of Gaussians: all of them become one node set, in the order given, frame after
    frame. Edges are sorted by target, then source. Row pointers are kept as each target's number of edges, `degree`:
    pointers themselves would not survive `Batch.from_data_list`, degrees simply concatenate; see `row_pointers`.

    Args:
        positions: Gaussian centres in world metres.
        features: what the per-frame network knows of each Gaussian.
        vertices: the posed vertices in world metres (Eq. 5).
        faces: the triangles of the body.
        spec: k, hops and self loops.

    Returns:
        HeteroData, P = sum of M_t:
            gaussian: x [P, C], pos [P, 3], frame [P] int64
            vertex: num_nodes N, node_id [N] int64 (the vertex on the body, also within a batch)
            (gaussian, binds, vertex): edge_index [2, P*k], degree [N] int64
            (vertex, near, vertex): edge_index [2, E], degree [N] int64

    Raises:
        ValueError: shapes do not fit one another, or what `nearest_vertices_ragged` and `mesh_hop_edges` refuse.
    """
    if vertices.ndim != 3 or len(positions) != len(vertices) or len(features) != len(vertices):
        raise ValueError(
            f"positions, features, vertices: expected the same number of frames, found {len(positions)}, "
            f"{len(features)} and {list(vertices.shape)}"
        )
    if len(vertices) == 0:
        raise ValueError("positions, features, vertices: expected at least one frame, found none")
    for t, (pos, x) in enumerate(zip(positions, features, strict=True)):
        if pos.ndim != 2 or x.ndim != 2 or len(pos) != len(x):
            raise ValueError(f"frame {t}: expected [M, 3] and [M, C], found {list(pos.shape)} and {list(x.shape)}")
    pos, x = (torch.cat(list(frames)) for frames in (positions, features))
    counts = torch.tensor([len(frame) for frame in positions], device=pos.device)
    frame = torch.arange(len(counts), device=pos.device).repeat_interleave(counts)
    num_vertices = vertices.shape[1]

    data = HeteroData()
    data["gaussian"].x = x
    data["gaussian"].pos = pos
    data["gaussian"].frame = frame
    data["vertex"].num_nodes = num_vertices
    data["vertex"].node_id = torch.arange(num_vertices, device=pos.device)

    for name in spec.relations:
        if name == "binds":
            bound = nearest_vertices_ragged(pos, frame, vertices, spec.k)
            gaussian = torch.arange(len(pos), device=pos.device).repeat_interleave(spec.k)
            order = bound.flatten().argsort(stable=True)  # stable: Gaussians ascend, so sources ascend within a target
            relation, edges = BINDS, torch.stack([gaussian[order], bound.flatten()[order]])
        elif name == "near":
            relation, edges = NEAR, mesh_hop_edges(faces, spec.hops, num_vertices, spec.self_loops).to(pos.device)
        else:
            raise ValueError(f"GraphSpec.relations: expected binds, near; found {name!r}")
        data[relation].edge_index = edges
        data[relation].degree = torch.bincount(edges[1], minlength=num_vertices)
    return data


def readout_edges(positions: Tensor, vertices: Tensor, k: int = 1) -> Tensor:
    """Edges from the k nearest vertices to each Gaussian of the chosen frame (Eq. 18), sorted by target.

    Args:
        positions: [M, 3] Gaussian centres of frame t0 in metres.
        vertices: [N, 3] posed vertices of frame t0 in metres.
        k: how many, at most N.

    Returns:
        [2, M*k] int64: vertex ids in row 0, nearest first, Gaussian ids in row 1.

    Raises:
        ValueError: as `nearest_vertices_ragged`.
    """
    frame = torch.zeros(len(positions), dtype=torch.int64, device=positions.device)
    source = nearest_vertices_ragged(positions, frame, vertices[None], k)
    target = torch.arange(len(positions), device=positions.device).repeat_interleave(k)
    return torch.stack([source.flatten(), target])


def row_pointers(degree: Tensor) -> Tensor:
    """[N + 1] CSR row pointers from the degrees [N] of targets in order: row n holds edges ptr[n] to ptr[n + 1]."""
    return torch.cat([degree.new_zeros(1), degree.cumsum(0)])
