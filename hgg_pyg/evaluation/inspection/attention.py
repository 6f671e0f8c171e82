"""The weights of every attention layer of a trained network on one graph, and what can be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphs import BINDS, NEAR, mesh_hop_edges
from hgg_pyg.attention import Edges
from hgg_pyg.model.network import HumanGaussianGraph
from hgg_pyg.nn import GraphBlock, InterConv, IntraConv, PyGConv

Layer = IntraConv | InterConv | PyGConv


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
    """The attention of a network on one graph, in the order of its blocks; none where it has no such layers."""

    intra: tuple[Attention, ...]
    inter: tuple[Attention, ...]


@torch.no_grad()
def attention_of(model: HumanGaussianGraph, graph: HeteroData) -> AttentionLayers:
    """Run a network and take from each attention layer the weights for the very input that the layer saw.

    Args:
        model: in evaluation mode.
        graph: as `hgg_pyg.data.clips.clip_graph` makes it.

    Returns:
        The layers; none for direct binding and L = 0.

    Raises:
        ValueError: the graph is not one for this model, or its variant of attention cannot run here.
    """
    if model.config.variant == "baseline":
        return AttentionLayers((), ())
    seen: dict[nn.Module, tuple[Tensor | tuple[Tensor, Tensor], Tensor | Edges]] = {}
    blocks = [cast(GraphBlock, block) for block in model.blocks]
    layers = [layer for block in blocks for layer in (block.intra, block.inter) if layer is not None]
    hooks = [layer.register_forward_pre_hook(lambda module, given: seen.update({module: given})) for layer in layers]
    try:
        model.refine_queries(graph)
    finally:
        for hook in hooks:
            hook.remove()

    count = len(graph["vertex"].node_id)
    # The network may have copied the Gaussians into the order of these edges; the edges' own order stays.
    binds = Edges.from_index(graph[BINDS].edge_index, len(graph["gaussian"].x), count)
    near = Edges.from_index(graph[NEAR].edge_index, count, count)

    def attention(number: int, layer: Layer, edges: Edges) -> Attention:
        return Attention(number, edges.source, edges.target, _weights(layer, *seen[layer]), count)

    numbered = list(enumerate(blocks, 1))
    return AttentionLayers(
        tuple(attention(i, block.intra, binds) for i, block in numbered if block.intra is not None),
        tuple(attention(i, block.inter, near) for i, block in numbered if block.inter is not None),
    )


def _weights(layer: Layer, x: Tensor | tuple[Tensor, Tensor], edges: Tensor | Edges) -> Tensor:
    """What a layer gives its edges. [E, S, H]"""
    queries = x[1] if isinstance(x, tuple) else x
    # One token after the other: they do not see one another, and twenty of them at once would not fit in memory.
    tokens = []
    for s in range(queries.shape[1]):
        if isinstance(layer, IntraConv):
            _, (_, weights) = layer.forward((x[0], x[1][:, s]), edges, return_attention_weights=True)
        elif isinstance(layer, InterConv):
            _, (_, weights) = layer.forward(queries[:, s], edges, return_attention_weights=True)
        else:
            source = (x[0] if isinstance(x, tuple) else x[:, s]).to(queries.dtype)
            edge_index = edges.edge_index if isinstance(edges, Edges) else edges
            _, (_, weights) = layer.conv((source, queries[:, s]), edge_index, return_attention_weights=True)
        tokens.append(weights)
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
