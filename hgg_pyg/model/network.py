"""Human Gaussian Graph: queries on the mesh, L blocks of message passing, a read-out, one avatar (Algorithm 2)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphs import BINDS, NEAR
from hgg_pyg.attention import Edges
from hgg_pyg.avatar import Avatar
from hgg_pyg.config import ModelConfig, config_json
from hgg_pyg.io.files import write_atomically
from hgg_pyg.model.feedback import FEEDBACK_DIM
from hgg_pyg.model.residual import RESIDUAL_DIM, apply_residual
from hgg_pyg.nn import GraphBlock, ReadoutConv
from hgg_pyg.types import Gaussians, UserError


class HumanGaussianGraph(nn.Module):
    r"""Refines one frame's Gaussians with what the Gaussians of all frames know.

    .. math::
        q &\leftarrow \mathrm{FFN}(\mathrm{Att}(q_n, B_n(\mathcal{G}))), \quad
        q \leftarrow \mathrm{FFN}(\mathrm{Att}(q_n, B_n(\mathcal{V}))) \qquad \text{L times, Eqs. 8--16} \\
        h_m &= \mathrm{Att}(g_m^{t_0}, q_n) + W g_m^{t_0} \qquad \text{Eq. 17} \\
        g_m^{smpl} &= g_m^{t_0} \oplus \mathrm{head}(h_m)

    The residual :math:`\oplus` shifts the mean, turns the Gaussian about itself, multiplies its size, moves its opacity
    in logits and adds to its colour. The shift is in the axes of the rest pose, or with shift="surface" in those of the
    body's surface at the vertex that the Gaussian is bound to, :math:`\mu + [n\,t\,u]\,\delta`: clothes lie off the
    body along its normal, which is then one number, the same all around, and no direction to be learnt at each vertex.
    With `feedback`, queries start at :math:`q_n + \mathrm{MLP}(x_n)` and h_m has a linear map of x_m added to it, where
    x is what `add_feedback` says of vertices and Gaussians. The head's last projection starts at zero, so an untrained
    model returns the frame's Gaussians bit for bit: the paper's baseline, direct binding.

    Input: a `HeteroData` as `hgg_pyg.data.clip_graph` makes it, with feedback if the configuration says so (see
    `hgg_pyg.model.feedback.graph_for`), or a `Batch` of such graphs.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        if config.variant == "baseline":
            return
        self.queries = nn.Parameter(torch.empty(config.num_vertices, config.tokens, config.dim))
        self.vertex_feedback = self.gaussian_feedback = None
        if config.feedback_frames:
            self.vertex_feedback = nn.Linear(FEEDBACK_DIM, config.dim)
            self.gaussian_feedback = nn.Linear(FEEDBACK_DIM, config.dim)
        self.blocks = nn.ModuleList(
            GraphBlock(
                dim=config.dim,
                source_dim=config.feature_dim,
                heads=config.heads,
                ffn_ratio=config.ffn_ratio,
                dropout=config.dropout,
                norm=config.norm,
                intra=config.variant != "no_intra",
                inter=config.variant != "no_inter",
                attention=config.attention,
                fold=config.fold,
                layer=config.layer,
            )
            for _ in range(config.layers)
        )
        self.readout_norm = nn.LayerNorm(config.dim)
        self.readout = ReadoutConv(config.feature_dim, config.dim, config.heads, attention=config.attention)
        self.residual = nn.Linear(config.feature_dim, config.dim)
        self.head = nn.Sequential(
            nn.LayerNorm(config.dim),
            nn.Linear(config.dim, config.ffn_ratio * config.dim),
            nn.GELU(),
            nn.Linear(config.ffn_ratio * config.dim, config.dim),
            nn.GELU(),
            nn.Linear(config.dim, RESIDUAL_DIM),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew; the head's last projection becomes zero."""
        nn.init.normal_(self.queries, std=0.02)
        for block in self.blocks:
            cast(GraphBlock, block).reset_parameters()
        self.readout.reset_parameters()
        self.residual.reset_parameters()
        for part in (self.vertex_feedback, self.gaussian_feedback, self.readout_norm, self.head):
            for layer in () if part is None else part.modules():
                if isinstance(layer, nn.Linear | nn.LayerNorm):
                    layer.reset_parameters()
        last = cast(nn.Linear, self.head[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, graph: HeteroData) -> Gaussians:
        """Canonical Gaussians of the graph's chosen frame, refined. -> Gaussians [M], without features

        Raises:
            ValueError: the graph's features or vertices are not what the model was made for, or it lacks feedback.
        """
        start = graph["avatar"]
        gaussians = Gaussians(start.pos, start.quats, start.scales, start.opacities, start.colors)
        if self.config.variant == "baseline":
            return gaussians
        queries = self.refine_queries(graph)
        context = self.readout((self.readout_norm(queries), start.x), graph["vertex", "refines", "avatar"].edge_index)
        context = context + self.residual(start.x)
        if self.gaussian_feedback is not None:
            context = context + self.gaussian_feedback(start.feedback)
        return apply_residual(gaussians, self.head(context), start.axes if self.config.shift == "surface" else None)

    def refine_queries(self, graph: HeteroData) -> Tensor:
        """The vertices' queries after L blocks. -> [N, S, D]"""
        features, node_id = graph["gaussian"].x, graph["vertex"].node_id
        if features.shape[-1] != self.config.feature_dim:
            raise ValueError(f"expected {self.config.feature_dim} features a Gaussian, found {features.shape[-1]}")
        if self.config.feedback_frames and "feedback" not in graph["vertex"]:
            raise ValueError("expected a graph with feedback of its input images, see add_feedback; found none")
        if node_id.numel() and int(node_id.max()) >= self.config.num_vertices:
            raise ValueError(f"expected a body of {self.config.num_vertices} vertices, found {int(node_id.max()) + 1}")
        queries = self.queries[node_id]
        count = len(queries)
        binds, near = (
            Edges.from_index(graph[relation].edge_index, sources, count)
            for relation, sources in ((BINDS, len(features)), (NEAR, count))
        )
        if self.config.storage == "bfloat16":
            features = features.bfloat16()
        if binds.unique_sources:  # sorted once, features are read in a line by all L layers
            features, binds = binds.lay_out(features)
        if self.vertex_feedback is not None:
            queries = queries + self.vertex_feedback(graph["vertex"].feedback)[:, None]
        for block in self.blocks:
            queries = block(queries, features, binds, near)
        return queries

    def avatar(self, graph: HeteroData) -> Avatar:
        """One person's graph to an animatable avatar."""
        return Avatar(self(graph), graph["avatar"].binding, graph["betas"])

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `model.json` into a folder, each at once or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "model.json", lambda path: path.write_text(config_json(self.config)))
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        write_atomically(folder / "model.safetensors", lambda path: save_file(state, path))

    @classmethod
    def load(cls, folder: Path) -> HumanGaussianGraph:
        """Read what `save` wrote.

        Raises:
            UserError: a file is missing or damaged, or the weights are of another configuration.
        """
        config_path, weights_path = folder / "model.json", folder / "model.safetensors"
        for path in (config_path, weights_path):
            if not path.is_file():
                raise UserError(f"{path}: expected a saved model, found nothing")
        try:
            model = cls(ModelConfig(**json.loads(config_path.read_text())))
        except (ValueError, TypeError) as error:
            raise UserError(f"{config_path}: expected a model configuration ({error})") from None
        try:
            state = load_file(weights_path)
        except SafetensorError as error:
            raise UserError(f"{weights_path}: expected a safetensors file ({error})") from None
        expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        for name in sorted(expected | found):
            if expected.get(name) != found.get(name):
                raise UserError(
                    f"{weights_path}: {name}: expected {expected.get(name, 'no such weight')} by {config_path.name}, "
                    f"found {found.get(name, 'nothing')}"
                )
        model.load_state_dict(state)
        return model

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self.config).items())
        return f"{type(self).__name__}({settings})"
