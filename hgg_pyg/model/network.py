"""The network: queries on the mesh, L blocks of message passing, a read-out, one avatar (Algorithm 2)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import cast, overload

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from graphs import REFINES
from hgg_pyg.attention import Edges
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.io.tensors import misfit
from hgg_pyg.io.weights import own_names
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import as_avatar, bound_gaussians
from hgg_pyg.model.feedback import FEEDBACK_DIM, InputImages, add_feedback
from hgg_pyg.model.poses.mender import Mended, PoseMender
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.model.residual import RESIDUAL_DIM, apply_residual
from hgg_pyg.model.saved import CONFIG_FILE, WEIGHTS_FILE, read_saved, write_saved
from hgg_pyg.nn import FusedReadoutConv, GraphBlock, ReadoutConv
from hgg_pyg.nn.block import EdgeType, reset_parameters
from hgg_pyg.nn.fused import FusedConv
from hgg_pyg.types import BodyPose, Gaussians, UserError


class HGGNet(nn.Module):
    r"""Refines one frame's Gaussians with what the Gaussians of all frames know.

    .. math::
        q &\leftarrow \mathrm{FFN}(\mathrm{Att}(q_n, B_n(\mathcal{G}))), \quad
        q \leftarrow \mathrm{FFN}(\mathrm{Att}(q_n, B_n(\mathcal{V}))) \qquad \text{L times, Eqs. 8--16} \\
        h_m &= \mathrm{Att}(g_m^{t_0}, q_n) + W g_m^{t_0} \qquad \text{Eq. 17} \\
        g_m^{smpl} &= g_m^{t_0} \oplus \mathrm{head}(h_m)

    The residual :math:`\oplus` shifts the mean, rotates the Gaussian about itself, multiplies its size, moves its
    opacity in logits and adds to its colour. The shift is in the axes of the rest pose, or with shift="surface" in
    those of the body's surface at the vertex that the Gaussian is bound to, :math:`\mu + [n\,t\,u]\,\delta`: clothes
    lie off the body along its normal, which is then one number, the same all around, and no direction to be learnt per
    vertex.
    With `feedback`, queries start at :math:`q_n + W_v x_n` and h_m has :math:`W_g x_m` added to it, where x is what
    `add_feedback` says of vertices and Gaussians. With R > 1 `rounds` the network looks at its own result again,

    .. math::
        \delta^{r+1} = \delta^r + \mathrm{head}(h(x(\delta^r)) + W_s \delta^r + e_r), \quad \delta^0 = 0, \quad
        g_m^{smpl} = g_m^{t_0} \oplus \delta^R

    as a fit does, in steps that are learnt (G3R, Chen et al. 2024); x is always without gradient. The head's last
    projection starts at zero, so an untrained network returns the frame's Gaussians bit for bit: the paper's baseline,
    `DirectBinding`.

    Each block passes messages along `config.relations`, in order; see `GraphBlock`. The read-out is always ours.

    Args:
        config: what the network is made of; `ModelConfig.for_graph` fits it to a graph.

    Input: a `HeteroData` as `graphs` builds it, with feedback if the configuration says so, or a `Batch` of them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.hidden_channels
        self.queries = nn.Parameter(torch.empty(config.num_vertices, config.num_tokens, channels))
        self.vertex_feedback = nn.Linear(FEEDBACK_DIM, channels) if config.feedback else None
        self.gaussian_feedback = nn.Linear(FEEDBACK_DIM, channels) if config.feedback else None
        self.rounds_so_far = nn.Linear(RESIDUAL_DIM, channels, bias=False) if config.rounds > 1 else None
        self.round_offsets = nn.Parameter(torch.empty(config.rounds, channels)) if config.rounds > 1 else None
        self.blocks = nn.ModuleList(
            GraphBlock(channels, _convs(config), config.ffn_ratio, config.dropout, config.norm)
            for _ in range(config.num_layers)
        )
        self.readout_norm = nn.LayerNorm(channels)
        between = (channels, config.in_channels)
        self.readout = (
            ReadoutConv(between, channels, config.heads)
            if config.conv == "attention"
            else FusedReadoutConv(between, channels, config.heads, config.backend)
        )
        self.residual = nn.Linear(config.in_channels, channels)
        self.head = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, config.ffn_ratio * channels),
            nn.GELU(),
            nn.Linear(config.ffn_ratio * channels, channels),
            nn.GELU(),
            nn.Linear(channels, RESIDUAL_DIM),
        )
        self.mender = _mender(config) if config.mend else None
        self.reset_parameters()

    @property
    def mend(self) -> int:
        """Rounds in which poses are corrected before anything is made of them; 0: none are."""
        return self.config.mend

    @torch.no_grad()
    def mended(self, body: BodyModel, poses: BodyPose, images: PoseImages) -> BodyPose:
        """Corrected poses and shape of T frames, see `PoseMender`; the same ones if the network corrects none.

        Args:
            body: whose poses.
            poses: T frames, on any device.
            images: squares around the person in these frames.

        Raises:
            ValueError: a body of another number of joints.
        """
        if self.mender is None:
            return poses
        if body.num_joints != self.config.num_joints:
            raise ValueError(f"expected a body of {self.config.num_joints} joints, found {body.num_joints}")
        device = self.mender.queries.device
        mended = self.mender(body.on(device), poses.to(device), images.to(device)).poses
        return mended.to(poses.transl.device)

    @property
    def feedback(self) -> int:
        """Input frames whose images the network is told about."""
        return self.config.feedback

    @property
    def rounds(self) -> int:
        """How often the network looks."""
        return self.config.rounds

    @property
    def shift(self) -> str:
        """Axes of the read-out's shift."""
        return self.config.shift

    def reset_parameters(self) -> None:
        """Draw all weights anew; the head's last projection becomes zero."""
        nn.init.normal_(self.queries, std=0.02)
        if self.round_offsets is not None:
            nn.init.zeros_(self.round_offsets)
        reset_parameters(self)
        last = cast(nn.Linear, self.head[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @overload
    def forward(self, graph: HeteroData) -> Gaussians: ...

    @overload
    def forward(self, graph: None, poses: tuple[BodyModel, BodyPose, PoseImages]) -> Mended: ...

    def forward(
        self, graph: HeteroData | None, poses: tuple[BodyModel, BodyPose, PoseImages] | None = None
    ) -> Gaussians | Mended:
        """The avatar's Gaussians of a graph, or corrected poses of what a graph is yet to be made of.

        Both are called as one module, so that what wraps it sees all that is learnt.

        Args:
            graph: as `graphs` builds it, see `refined`.
            poses: instead of a graph: body, T poses and squares around the person, see `PoseMender`.

        Raises:
            ValueError: as `refined`, or the network corrects no poses.
        """
        if poses is not None:
            if self.mender is None:
                raise ValueError("expected a network that corrects poses, found one with mend 0")
            return self.mender(*poses)
        assert graph is not None
        return self.refined(graph)

    def refined(self, graph: HeteroData) -> Gaussians:
        """Canonical Gaussians of the graph's reference frame, refined. -> Gaussians [M], without features

        Raises:
            ValueError: the graph's features, vertices or relations are not what the network was made for, or it lacks
                feedback.
        """
        if "avatar" not in graph.node_types or REFINES not in graph.edge_types:
            raise ValueError(
                "expected a graph with avatar nodes and their read-out's edges, see build_graph; found none"
            )
        surface = self.config.shift == "surface"
        delta = self._residuals(graph, 0, None)
        for round in range(1, self.config.rounds):
            graph = copy(graph)  # the caller's keeps its own feedback
            add_feedback(graph, _images_of(graph), surface, delta)
            delta = delta + self._residuals(graph, round, delta)
        return apply_residual(bound_gaussians(graph), delta, graph["avatar"].axes if surface else None)

    def _residuals(self, graph: HeteroData, round: int, so_far: Tensor | None) -> Tensor:
        """What one look adds to the residuals so far. -> [M, 13]"""
        start = graph["avatar"]
        queries = self.refine_queries(graph)
        context = self.readout((self.readout_norm(queries), start.x), graph[REFINES].edge_index)
        context = context + self.residual(start.x)
        if self.gaussian_feedback is not None:
            context = context + self.gaussian_feedback(start.feedback)
        if self.round_offsets is not None:
            context = context + self.round_offsets[round]
        if self.rounds_so_far is not None and so_far is not None:
            context = context + self.rounds_so_far(so_far)
        return self.head(context)

    def refine_queries(self, graph: HeteroData) -> Tensor:
        """The vertices' queries after L blocks. -> [N, S, D]"""
        self._check(graph)
        queries = self.queries[graph["vertex"].node_id]
        if self.vertex_feedback is not None:
            queries = queries + self.vertex_feedback(graph["vertex"].feedback)[:, None]
        sources, edges, edge_attr = self._relations(graph)
        for block in self.blocks:
            queries = block(queries, sources, edges, edge_attr)
        return queries

    def _check(self, graph: HeteroData) -> None:
        for kind, name in (("gaussian", "x"), ("vertex", "node_id")):
            if kind not in graph.node_types or name not in graph[kind]:
                raise ValueError(
                    f"expected a graph with {kind}.{name}, found {', '.join(graph.node_types) or 'nothing'}"
                )
        config, features, node_id = self.config, graph["gaussian"].x, graph["vertex"].node_id
        if features.shape[-1] != config.in_channels:
            raise ValueError(f"expected {config.in_channels} features per Gaussian, found {features.shape[-1]}")
        if config.feedback and "feedback" not in graph["vertex"]:
            raise ValueError("expected a graph with feedback of its input images, see add_feedback; found none")
        low, high = (int(x) for x in node_id.aminmax()) if node_id.numel() else (0, -1)
        if high >= config.num_vertices:
            raise ValueError(f"expected a body of {config.num_vertices} vertices, found {high + 1}")
        if low < 0:
            raise ValueError(f"vertex.node_id: expected 0 to {config.num_vertices - 1}, found {low}")
        for relation in config.edge_types:
            if relation not in graph.edge_types:
                there = ", ".join("-".join(found) for found in graph.edge_types)
                raise ValueError(f"expected a graph with the relation {'-'.join(relation)}, found {there}")

    def _relations(
        self, graph: HeteroData
    ) -> tuple[dict[EdgeType, Tensor], dict[EdgeType, Tensor | Edges], dict[EdgeType, Tensor]]:
        """By relation: features of sources that are not vertices, edges, and edge features.

        The edges of fused layers are sorted once for all of them, and their sources' features laid out in that order.
        """
        sources: dict[EdgeType, Tensor] = {}
        edges: dict[EdgeType, Tensor | Edges] = {}
        features: dict[EdgeType, Tensor] = {}
        for *names, edge_dim in self.config.relations:
            relation = cast(EdgeType, tuple(names))
            edges[relation] = graph[relation].edge_index
            if edge_dim:
                features[relation] = graph[relation].edge_attr
            if relation[0] != "vertex":
                x = graph[relation[0]].x
                sources[relation] = x.bfloat16() if self.config.storage == "bfloat16" else x
            if self.blocks and all(isinstance(cast(GraphBlock, b).conv(relation), FusedConv) for b in self.blocks):
                node_id: Tensor = graph["vertex"].node_id
                made = Edges.from_index(edges[relation], len(sources.get(relation, node_id)), len(node_id))
                edges[relation] = made
                if relation in sources and made.unique_sources:
                    sources[relation], edges[relation] = made.lay_out(sources[relation])
        return sources, edges, features

    @overload
    def avatar(self, graph: Batch) -> list[BoundAvatar]: ...  # pyright: ignore[reportOverlappingOverload]

    @overload
    def avatar(self, graph: HeteroData) -> BoundAvatar: ...

    def avatar(self, graph: HeteroData | Batch) -> BoundAvatar | list[BoundAvatar]:
        """One person's graph to an animatable avatar; a `Batch` to one avatar per person."""
        return as_avatar(self(graph), graph)

    def save(self, folder: Path, about: Mapping[str, str] = MappingProxyType({})) -> None:
        """Write `model.safetensors` and `model.json` into a folder, each at once or not at all.

        Args:
            folder: made if need be.
            about: texts to keep with the weights, which are under the file's digest as the weights are.
        """
        write_saved(folder, self.config, self.state_dict(), about)

    @classmethod
    def load(cls, folder: Path) -> HGGNet:
        """Read what `save` wrote; weights that are all in half precision become float32.

        Prefixes of DistributedDataParallel, torch.compile and trainers are understood.

        Raises:
            UserError: a file is missing or damaged, the weights are of another configuration, or one is not finite.
        """
        config, weights = read_saved(folder)
        model = cls(config)
        state = own_names(weights, model.state_dict())
        if wrong := misfit(model.state_dict(), state):
            raise UserError(f"{folder / WEIGHTS_FILE}: {wrong}, by {CONFIG_FILE}")
        model.load_state_dict(state)
        return model

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self.config).items())
        return f"{type(self).__name__}({settings})"


def _mender(config: ModelConfig) -> PoseMender:
    channels = config.hidden_channels

    def make_conv() -> nn.Module:
        return config.layer.make((channels, channels), channels, config.heads, same_nodes=True)

    return PoseMender(channels, config.num_joints, config.mend, make_conv, config.ffn_ratio)


def _images_of(graph: HeteroData) -> InputImages:
    images = graph.get("images")
    if not isinstance(images, InputImages):
        found = "a batch" if isinstance(graph, Batch) else "none"
        raise ValueError(f"rounds: expected one graph with its input images, see graph_for; found {found}")
    return images


def _convs(config: ModelConfig) -> Mapping[EdgeType, nn.Module]:
    """The layers of one block."""
    channels = {"vertex": config.hidden_channels}  # all other nodes have a Gaussian's features
    return {
        (source, name, target): config.layer.make(
            (channels.get(source, config.in_channels), config.hidden_channels),
            config.hidden_channels,
            config.heads,
            config.attention_dropout,
            edge_dim or None,
            same_nodes=source == target,
        )
        for source, name, target, edge_dim in config.relations
    }
