"""Layers of other projects with our weights, and what has to be installed for them."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from benchmarks.gpu_parts.needs import installed

ANEMOI = "benchmarks.peers:AnemoiConv"
"""As `ConvChoice.conv` has it."""

LEFT_OUT = {
    "DGL": "2.1.0, its newest wheel on PyPI, cannot be imported: it looks for a library built for the very torch that "
    "it runs under (libgraphbolt_pytorch_VERSION.so), and brings them for 2.0.0 to 2.2.1",
}
"""What is not measured on any machine, and why."""


class AnemoiConv(MessagePassing):
    r"""The attention of anemoi-models' graph transformer between our three projections.

    .. math::
        o_n = \sum_{j \to n} \mathrm{softmax}_j \left( q_n \cdot (k_j + e_{jn}) / \sqrt{C} \right) (v_j + e_{jn})

    anemoi adds the projected features e of an edge to its key and to its value, and cannot be told that there are none.
    They are zero here, which makes it our operation: on a CPU, where PyG passes the messages, one zero for all edges;
    on CUDA, whose Triton kernels read and differentiate e edge by edge, a zero [E, H, C]. The kernels' order of the
    edges and these zeros are made at the first call and kept while the edges are the same, so they are not timed.

    Args:
        in_channels: of sources and of targets, or of nodes that are both.
        out_channels: D, of all heads side by side.
        heads: H, heads of C = D / H channels.

    Shapes:
        - **input:** (sources [M, F], targets [N, D]) or nodes [N, D]; edges [2, E] from sources to targets
        - **output:** [N, D], without an output projection; zero for a target without edges

    Raises:
        ImportError: anemoi-models is not installed.
    """

    def __init__(self, in_channels: int | tuple[int, int], out_channels: int, heads: int) -> None:
        super().__init__(node_dim=0)
        source, target = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
        self.shape = (heads, out_channels // heads)
        self.lin_key = nn.Linear(source, out_channels)
        self.lin_query = nn.Linear(target, out_channels)
        self.lin_value = nn.Linear(source, out_channels)
        # Not `anemoi.models.layers.block`, which imports hydra and much else.
        self.attention = importlib.import_module("anemoi.models.layers.conv").GraphTransformerConv(self.shape[1])
        self._prepared: tuple[Tensor, tuple[Any, ...]] | None = None

    def forward(self, x: Tensor | tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        """See the class."""
        source, target = (x, x) if isinstance(x, Tensor) else x
        query, key, value = (
            linear(nodes).unflatten(-1, self.shape)
            for linear, nodes in ((self.lin_query, target), (self.lin_key, source), (self.lin_value, source))
        )
        if not query.is_cuda:
            return self.attention(query, key, value, query.new_zeros(1, 1, 1), edge_index).flatten(1)
        attend = importlib.import_module("anemoi.models.triton.gt").graph_transformer_attention_conv
        return attend(query, key, value, *self._for_kernels(edge_index, key, query)).flatten(1)

    def _for_kernels(self, edge_index: Tensor, key: Tensor, query: Tensor) -> tuple[Any, ...]:
        """Zeros for the edges, and their order by target and by source."""
        if self._prepared is None or self._prepared[0] is not edge_index:
            order = importlib.import_module("anemoi.models.triton.utils").edge_index_to_csc
            by_target, _, by_source = order(edge_index, (len(key), len(query)))
            zeros = torch.zeros(edge_index.shape[1], *self.shape, device=query.device, dtype=query.dtype)
            self._prepared = edge_index, (zeros, by_target, by_source)
        return self._prepared[1]


def missing(conv: str) -> str | None:
    """Why a layer cannot be made here; None where it can. anemoi-models asks for a torch older than ours."""
    if conv != ANEMOI or all(map(installed, ("anemoi-models", "anemoi-utils", "pyyaml"))):
        return None
    return "needs anemoi-models: pip install --no-deps anemoi-models==0.19.0 anemoi-utils pyyaml"
