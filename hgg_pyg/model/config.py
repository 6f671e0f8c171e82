"""What the network is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import tyro
from torch_geometric.data import HeteroData

from hgg_pyg.config import Bounds, Channels, Layers, VertexCount, check_choices
from hgg_pyg.nn import ConvChoice
from hgg_pyg.nn.block import EdgeType, Norm

_MOST_EDGE_FEATURES = 65_536
_Dropped = Annotated[float, Bounds(0, 1, below=True)]
PAPERS_RELATIONS = (("gaussian", "binds", "vertex", 0), ("vertex", "near", "vertex", 0))


@dataclass(frozen=True)
class ModelConfig:
    """The network. `num_layers` gives the rows of the paper's Table 2 (b); those of (a) are relations of the graph.

    Raises:
        ValueError: a value is refused; the message names the field and what it can be.
    """

    conv: str = "auto"
    """layer that passes messages along each relation: auto (ours, fused where that is possible), attention, fused, a
    MessagePassing of torch_geometric.nn such as GATv2Conv, or module:Class of yours"""
    backend: str = "auto"
    """how our layers compute attention: a name that `python -m hgg_pyg` lists, or module:NAME of a Variant of yours;
    auto: fused where it runs, else scatter"""
    num_layers: Layers = 2
    """L, blocks of the network (the paper: 6)"""
    hidden_channels: Channels = 64
    """D, channels of a vertex query (the paper: 128)"""
    heads: Channels = 4
    """attention heads; a divisor of hidden_channels"""
    num_tokens: Annotated[int, Bounds(1, 10_000)] = 1
    """S, learnable queries per vertex (the paper: 1, its release: 20)"""
    feedback: Annotated[int, Bounds(0, 10_000)] = 0
    """number of input frames in whose images, two of each, the network is told what direct binding gets wrong"""
    rounds: Annotated[int, Bounds(1, 100)] = 1
    """how often the network looks: after the first time it is told what its own result gets wrong, and goes on from
    there; more than 1 needs feedback"""
    mend: Annotated[int, Bounds(0, 100)] = 0
    """rounds in which poses and shape are corrected by the input images before anything is made of them; 0: they are
    taken as they are"""
    shift: Literal["rest", "surface"] = "rest"
    """axes of the read-out's shift: those of the rest pose (the paper), or the body's normal and tangents"""
    conv_options: tuple[str, ...] = ()
    """NAME=VALUE, further arguments of a layer that is not ours"""
    ffn_ratio: Annotated[int, Bounds(1, 1000)] = 2
    """hidden channels of a feed-forward network, in units of hidden_channels"""
    norm: Norm = "pre"
    """LayerNorm before each operation, or after its residual (post)"""
    dropout: _Dropped = 0.0
    """probability of dropping an output of a feed-forward network"""
    attention_dropout: _Dropped = 0.0
    """probability of dropping an attention weight"""
    fold: bool = True
    """project on the vertices' side where that is cheaper; the results are the same"""
    storage: Literal["float32", "bfloat16"] = "float32"
    """how the Gaussians' features are kept for attention; sums are float32 either way"""

    in_channels: tyro.conf.Suppress[Channels] = 1
    """C, features per Gaussian: the per-frame network decides"""
    num_vertices: tyro.conf.Suppress[VertexCount] = 6890
    """N, vertices of the body: the body decides"""
    num_joints: tyro.conf.Suppress[Annotated[int, Bounds(1, 10_000)]] = 24
    """J, joints of the body: the body decides"""
    relations: tyro.conf.Suppress[tuple[tuple[str, str, str, int], ...]] = PAPERS_RELATIONS
    """source, name, target and edge features of each relation that ends at vertices, in order: the graph decides"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.hidden_channels % self.heads:
            found = f"expected a divisor of hidden_channels {self.hidden_channels}, found {self.heads}"
            raise ValueError(f"ModelConfig.heads: {found}")
        if self.conv == "fused" and self.attention_dropout:
            raise ValueError(
                f"ModelConfig.attention_dropout: expected 0 with conv fused, found {self.attention_dropout}: the fused "
                "layers keep no weights; conv attention drops them"
            )
        if self.rounds > 1 and not self.feedback:
            raise ValueError(f"ModelConfig.rounds: expected 1 without feedback, found {self.rounds}")
        self._check_relations()
        _ = self.layer

    def _check_relations(self) -> None:
        if not self.relations or len(set(self.edge_types)) < len(self.relations):
            raise ValueError(f"ModelConfig.relations: expected some, each once, found {self.relations!r}")
        for source, name, target, edge_dim in self.relations:
            plain = all(part and "." not in part and "__" not in part for part in (source, name))
            if not plain or target != "vertex" or not 0 <= edge_dim <= _MOST_EDGE_FEATURES:
                expected = "expected (source, name, vertex, number of edge features)"
                raise ValueError(f"ModelConfig.relations: {expected}, found {(source, name, target, edge_dim)!r}")

    @property
    def layer(self) -> ConvChoice:
        """The layer of every relation."""
        return ConvChoice(self.conv, self.conv_options, self.backend, self.fold)

    @property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """The relations as PyG names them."""
        return tuple(relation[:3] for relation in self.relations)

    def for_graph(self, graph: HeteroData, num_joints: int | None = None) -> ModelConfig:
        """The same network for graphs like this one: its features, vertices, and relations that end at vertices.

        Args:
            graph: as the network will be given.
            num_joints: J, of the body; as before if None.
        """
        relations = []
        for relation in graph.edge_types:
            if relation[2] == "vertex":
                features = graph[relation].get("edge_attr")
                relations.append((*relation, 0 if features is None else features.shape[1]))
        return replace(
            self,
            in_channels=graph["gaussian"].x.shape[1],
            num_vertices=graph["vertex"].num_nodes,
            num_joints=self.num_joints if num_joints is None else num_joints,
            relations=tuple(relations),
        )
