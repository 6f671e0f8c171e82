"""The Human Gaussian Graph as PyG data (Section 3.2, Algorithm 1): nodes and relations to `HeteroData`."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs.anchors import seen_features
from graphs.names import AVATAR, FEEDBACK, GAUSSIAN, REFINES, VERTEX
from graphs.nodes import AvatarNodes, ClipNodes
from graphs.relations import Relation, checked_and_sorted, find_relation, refines


def build_graph(nodes: ClipNodes, avatar: AvatarNodes | None = None) -> HeteroData:
    """Build the graph of one person over T frames: the relations of `nodes.spec` in order, then the read-out's.

    `node_id` and `binding` are vertices of the body: they stay what they are in a batch or a subgraph, where the places
    of nodes change. Without `avatar` the graph has neither avatar nodes nor read-out: enough for the blocks.

    Args:
        nodes: what the relations are functions of.
        avatar: the M Gaussians that it starts from in the rest pose, see `ClipNodes.anchors`.

    Returns:
        HeteroData, on the device of `nodes.pos`:
            gaussian: x [P, C], frame [P] int64; C has the four of `seen_features` in it where `spec.tell_seen` says so
            vertex: node_id [N] int64, the vertex of the body
            (source, relation, target) for each relation: edge_index [2, E] int64, sorted by target, then source, and
                edge_attr [E, K] where the relation has features
            avatar: x, pos, quats, scales, opacities, colors, binding, axes, as the fields of `AvatarNodes`
            (vertex, refines, avatar): edge_index [2, M * readout_k] (Eq. 18)
            betas [1, B], so that a `Batch` has a row per person

    Raises:
        ValueError: the avatar is not of the nodes' anchors; what a relation returned is wrong, see
            `graphs.relations.checked_and_sorted`; a relation does not end at vertices; or what it raises.
    """
    data = HeteroData()
    told = seen_features(nodes) if nodes.spec.tell_seen else None
    data[GAUSSIAN].x = nodes.x if told is None else torch.cat([nodes.x, told[0].to(nodes.x)], 1)
    data[GAUSSIAN].frame = nodes.frame
    data[VERTEX].node_id = torch.arange(nodes.num_vertices, device=nodes.pos.device)
    if avatar is not None:
        expected = len(nodes.anchors)
        if len(avatar.pos) != expected:
            whose = f"those of frame {nodes.ref_frame}" if nodes.spec.is_papers else "the anchors of its nodes"
            raise ValueError(f"avatar: expected {expected} Gaussians, {whose}, found {len(avatar.pos)}")
        for field in fields(avatar):
            if field.name != "betas":
                data[AVATAR][field.name] = getattr(avatar, field.name)
        if told is not None:
            data[AVATAR].x = torch.cat([avatar.x, told[1].to(avatar.x)], 1)
        data.betas = avatar.betas[None]
    for name in nodes.spec.relations:
        edge_name, function = find_relation(name)
        try:
            relation = function(nodes)
        except Exception as error:
            error.add_note(f"in the relation {name!r}")
            raise
        _connect(data, edge_name, relation, nodes.pos.device)
        if relation.target != VERTEX:
            raise ValueError(
                f"relation {name!r}: expected edges that end at vertices, whose queries a block updates; found edges "
                f"that end at {relation.target}"
            )
    if avatar is not None:
        _connect(data, REFINES[1], refines(nodes), nodes.pos.device)
    return data


def add_feedback(graph: HeteroData, avatar_feedback: Tensor, vertex_feedback: Tensor) -> None:
    """Give the avatar's Gaussians and the vertices what the input images say of each of them.

    Args:
        graph: of one clip, with avatar nodes; gets `avatar.feedback` and `vertex.feedback`.
        avatar_feedback: [M, K]
        vertex_feedback: [N, K]

    Raises:
        ValueError: there is not a row for each node, or the numbers of columns differ.
    """
    columns = vertex_feedback.shape[-1]
    for kind, feedback in ((AVATAR, avatar_feedback), (VERTEX, vertex_feedback)):
        if kind not in graph.node_types:
            raise ValueError(f"feedback: expected a graph with {kind} nodes, found {', '.join(graph.node_types)}")
        expected = (graph[kind].num_nodes, columns)
        if feedback.shape != expected:
            raise ValueError(f"feedback of {kind}: expected {list(expected)}, found {list(feedback.shape)}")
        graph[kind][FEEDBACK] = feedback


def _connect(data: HeteroData, name: str, relation: Relation, device: torch.device) -> None:
    sizes = {kind: int(data[kind].num_nodes or 0) for kind in data.node_types}
    relation = checked_and_sorted(name, relation, sizes, device)
    edge_type = (relation.source, name, relation.target)
    data[edge_type].edge_index = relation.edge_index
    if relation.edge_attr is not None:
        data[edge_type].edge_attr = relation.edge_attr
