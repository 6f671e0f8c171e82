"""The weights of every attention layer of a trained network on one graph, and what can be said of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphs import BINDS, NEAR, mesh_hop_edges
from hgg_pyg.attention import Edges
from hgg_pyg.model.network import HGGNet
from hgg_pyg.nn import GraphBlock, plain
from hgg_pyg.nn.block import EdgeType
from hgg_pyg.nn.conv_choice import can_return_weights


@dataclass(frozen=True)
class Attention:
    """The weights of one layer: E edges, sorted by target, of N vertices, by S tokens and H heads."""

    block: int  # from 1
    source: Tensor  # [E] Gaussians of the graph for an intra layer, vertices for an inter layer
    target: Tensor  # [E] vertices, ascending
    weights: Tensor  # [E, S, H]; those of a vertex sum to 1, token by token and head by head
    num_targets: int  # N

    @property
    def degree(self) -> Tensor:
        """[N] sources of each vertex."""
        return torch.bincount(self.target, minlength=self.num_targets)

    def even(self) -> Attention:
        """The same edges, without any preference: every source of a vertex weighs alike. S = H = 1."""
        weights = (1 / self.degree.to(self.weights.dtype))[self.target]
        return Attention(self.block, self.source, self.target, weights[:, None, None], self.num_targets)


@dataclass(frozen=True)
class AttentionLayers:
    """The attention of a network on one graph, by relation and in the order of its blocks."""

    layers: Mapping[EdgeType, tuple[Attention, ...]]
    missing: Mapping[EdgeType, str]
    """why the layers of a relation cannot say what they attend to"""

    @property
    def intra(self) -> tuple[Attention, ...]:
        """Those from Gaussians to the vertices that they bind to."""
        return self.layers.get(BINDS, ())

    @property
    def inter(self) -> tuple[Attention, ...]:
        """Those among vertices near one another."""
        return self.layers.get(NEAR, ())


@torch.no_grad()
def attention_of(model: HGGNet, graph: HeteroData) -> AttentionLayers:
    """Run a network and take from each layer the weights for the very input that the layer saw.

    Args:
        model: in evaluation mode.
        graph: as the network takes it.

    Returns:
        The layers of each relation, and why where a layer cannot return weights; nothing for L = 0.

    Raises:
        ValueError: the graph is not one for this model, or its backend of attention cannot run here.
    """
    calls: dict[nn.Module, list[tuple[Any, ...]]] = defaultdict(list)
    blocks = [cast(GraphBlock, block) for block in model.blocks]
    convs = [block.conv(relation) for block in blocks for relation in block.relations]
    hooks = [conv.register_forward_pre_hook(lambda module, given: calls[module].append(given)) for conv in convs]
    try:
        model.refine_queries(graph)
    finally:
        for hook in hooks:
            hook.remove()
    layers: dict[EdgeType, tuple[Attention, ...]] = {}
    missing: dict[EdgeType, str] = {}
    count = graph["vertex"].num_nodes
    for relation in model.config.edge_types if blocks else ():
        edges = Edges.from_index(graph[relation].edge_index, graph[relation[0]].num_nodes, count)
        of_relation = [block.conv(relation) for block in blocks]
        try:
            weights = [_weights(conv, calls[conv], edges) for conv in of_relation]
        except ValueError as error:
            missing[relation] = str(error)
            continue
        layers[relation] = tuple(
            Attention(number, edges.source, edges.target, found, count) for number, found in enumerate(weights, 1)
        )
    return AttentionLayers(layers, missing)


def _weights(conv: nn.Module, calls: list[tuple[Any, ...]], edges: Edges) -> Tensor:
    """What a layer gives its edges, in the order of `edges`. [E, S, H]

    Raises:
        ValueError: the layer cannot say.
    """
    layer = plain(conv)
    if not can_return_weights(layer):
        raise ValueError(f"{type(layer).__name__} returns no attention weights")
    # One token after the other: they do not see one another, and twenty of them at once would not fit in memory.
    tokens = []
    for x, given, *features in calls:
        source, queries = x
        for s in range(queries.shape[1] if queries.ndim == 3 else 1):
            of_token = (source[:, s] if source.ndim == 3 else source, queries[:, s] if queries.ndim == 3 else queries)
            edge_attr = {"edge_attr": features[0]} if features else {}
            _, (_, weights) = layer(of_token, given, **edge_attr, return_attention_weights=True)
            weights = weights if weights.ndim == 2 else weights[:, None]
            in_graphs_order = not isinstance(given, Edges) and edges.order is not None
            tokens.append(weights[edges.order] if in_graphs_order else weights)
    return torch.stack(tokens, 1)


def mean_of_sources(attention: Attention, values: Tensor) -> Tensor:
    """The mean that a vertex takes of its sources' values, by attention, over tokens and heads.

    Args:
        attention: of one layer.
        values: [E] or [E, K], one or more of each edge.

    Returns:
        [N] or [N, K]; NaN for a vertex without sources.
    """
    weights = attention.weights.mean((1, 2))
    weighted = weights.view(-1, *[1] * (values.ndim - 1)) * values
    total = weighted.new_zeros(attention.num_targets, *values.shape[1:]).index_add_(0, attention.target, weighted)
    total[attention.degree == 0] = torch.nan
    return total


def frame_shares(attention: Attention, frame: Tensor, frames: int) -> Tensor:
    """How much of a vertex's intra attention goes to the Gaussians of each frame.

    Args:
        attention: of an intra layer.
        frame: [P] the frame of each Gaussian, 0..T - 1.
        frames: T.

    Returns:
        [N, T], rows that sum to 1; NaN for a vertex without Gaussians.
    """
    of_edge = torch.nn.functional.one_hot(frame[attention.source], frames)
    return mean_of_sources(attention, of_edge.to(attention.weights.dtype))


def relative_entropy(attention: Attention) -> Tensor:
    """How evenly a vertex attends to its D sources: -sum_e w_e ln w_e / ln D, 1 for all alike and 0 for a single one.

    Computed token by token and head by head, then averaged.

    Returns:
        [N]; NaN for a vertex with fewer than two sources, which has no choice.
    """
    weights, degree = attention.weights, attention.degree
    terms = torch.special.entr(weights)  # -w ln w, 0 at 0
    total = terms.new_zeros(attention.num_targets, *terms.shape[1:]).index_add_(0, attention.target, terms).mean((1, 2))
    return torch.where(degree > 1, total / degree.clamp_min(2).to(total.dtype).log(), torch.nan)


def hop_distances(edges: Attention, faces: Tensor, hops: int) -> Tensor:
    """How many edges of the mesh lie between the ends of each edge, 0 for a vertex and itself.

    Args:
        edges: of an inter layer.
        faces: [F, 3] of the body.
        hops: the largest distance there is.

    Returns:
        [E] float
    """
    count = edges.num_targets
    pairs = edges.target * count + edges.source
    distance = torch.zeros_like(pairs)
    for hop in range(hops, 0, -1):
        source, target = mesh_hop_edges(faces, hop, count)
        distance[torch.isin(pairs, target * count + source)] = hop
    return distance.to(edges.weights.dtype)
