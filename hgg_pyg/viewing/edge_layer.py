"""The edges of the graph that end at one vertex, in the pose of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch_geometric.data import HeteroData

from graphs import GAUSSIAN, VERTEX
from hgg_pyg.evaluation.inspection import AttentionLayers
from hgg_pyg.viewing.palette import by_value
from hgg_pyg.viewing.text import node_name

if TYPE_CHECKING:
    from viser import LineSegmentsHandle, ViserServer

_BALL, _LINE = 0.2, 0.06  # radius of the vertex and thickness of lines, in median lengths of edges
_SHORTEST, _LONGEST = 0.001, 0.03  # metres, of what these are shares of: fingers have edges of millimetres
_PLAIN = (220, 60, 20)
EdgeType = tuple[str, str, str]


class EdgeLayer:
    """Lines from a vertex's sources to it, one node of the scene a relation; brighter, the more it attends to them."""

    def __init__(self, server: ViserServer) -> None:
        self._server = server
        self._lines: dict[str, LineSegmentsHandle] = {}
        self._ball = server.scene.add_icosphere("/edges/vertex", 0.005, color=_PLAIN, visible=False)

    def show(self, lines: Mapping[str, tuple[np.ndarray, np.ndarray]], vertex: np.ndarray) -> None:
        """Draw these.

        Args:
            lines: by relation, where its sources are [E, 3] and the colours of its lines [E, 3] uint8.
            vertex: [3] where they end.
        """
        for name, handle in self._lines.items():
            handle.visible = name in lines
        lengths = [np.linalg.norm(sources - vertex, axis=1) for sources, _ in lines.values()]
        usual = float(np.median(np.concatenate(lengths))) if lengths else _LONGEST
        usual = min(max(usual, _SHORTEST), _LONGEST)
        for name, (sources, colors) in lines.items():
            points = np.stack([sources, np.broadcast_to(vertex, sources.shape)], 1)
            self._lines[name] = self._server.scene.add_line_segments(
                f"/edges/{node_name(name)}", points, np.repeat(colors[:, None], 2, 1), thickness=_LINE * usual
            )
        self._ball.position, self._ball.radius = vertex, _BALL * usual
        self._ball.visible = True

    def hide(self) -> None:
        """Draw none."""
        self._ball.visible = False
        for handle in self._lines.values():
            handle.visible = False


def edges_at(
    graph: HeteroData, vertex: int, places: Mapping[str, np.ndarray], clip_frame: int | None, layers: AttentionLayers
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The edges that end at a vertex, as `EdgeLayer.show` takes them.

    Args:
        graph: of T frames.
        vertex: a node.
        places: of the nodes of each type in the pose that is shown; of Gaussians, those of one frame, in their order.
        clip_frame: which of the T frames is shown, whose Gaussians are drawn; None for none.
        layers: by whose last block lines are coloured; those of a relation without attention are red.
    """
    lines = {}
    for relation in graph.edge_types:
        source, name, target = relation
        if target != VERTEX or source not in places:
            continue
        sources, targets = graph[relation].edge_index
        chosen = (targets == vertex).nonzero()[:, 0]
        strength = _strength(layers, relation, vertex)
        if source == GAUSSIAN:
            frame = graph[GAUSSIAN].frame
            here = frame[sources[chosen]] == (-1 if clip_frame is None else clip_frame)
            chosen, strength = chosen[here], None if strength is None else strength[here.numpy()]
            first = 0 if clip_frame is None else int((frame < clip_frame).sum())
            rows = sources[chosen] - first
        else:
            rows = sources[chosen]
        if not len(rows):
            continue
        lines[name] = (places[source][rows.numpy()], _colors(strength, len(rows)))
    return lines


def _strength(layers: AttentionLayers, relation: EdgeType, vertex: int) -> np.ndarray | None:
    """How much the vertex attends to each of its sources in the last block, mean over tokens and heads."""
    found = layers.layers.get(relation)
    if not found:
        return None
    last = found[-1]
    return last.weights[last.target == vertex].mean((1, 2)).numpy()


def _colors(strength: np.ndarray | None, count: int) -> np.ndarray:
    if strength is None or not len(strength):
        return np.tile(np.array(_PLAIN, np.uint8), (count, 1))
    return (255 * by_value(strength, 0.0, float(strength.max()) or 1.0, "plasma")).astype(np.uint8)


def sources_by_frame(graph: HeteroData, relation: EdgeType, vertex: int, frames: int) -> np.ndarray:
    """How many Gaussians of each frame bind to a vertex. [T]"""
    if relation not in graph.edge_types:
        return np.zeros(frames, np.int64)
    sources, targets = graph[relation].edge_index
    return torch.bincount(graph[GAUSSIAN].frame[sources[targets == vertex]], minlength=frames).numpy()
