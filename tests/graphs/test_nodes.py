"""Nodes refuse shapes that do not fit, and search for nearest vertices once."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import graphs.nodes
from graphs import ClipNodes, GraphSpec, build_graph, nearest_vertices_ragged
from tests.graphs.graph_cases import FACES, C, N, avatar, clip


def test_frames_become_one_node_set() -> None:
    pos, x, vertices = torch.randn(3, 9, 3), torch.randn(3, 9, C), torch.randn(3, N, 3)
    dense = ClipNodes.from_frames(pos, x, vertices, FACES, ref_frame=1)
    ragged = ClipNodes.from_frames(list(pos), tuple(x), vertices, FACES)
    for nodes in (dense, ragged):
        assert torch.equal(nodes.pos, pos.view(-1, 3))
        assert torch.equal(nodes.x, x.view(-1, C))
        assert torch.equal(nodes.frame, torch.arange(3).repeat_interleave(9))
    assert torch.equal(dense.ref_pos, pos[1])
    assert torch.equal(ragged.ref_pos, pos[0])
    assert dense.num_vertices == N


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Points and k of each search."""
    made: list[tuple[int, int]] = []

    def search(points: Tensor, frame: Tensor, vertices: Tensor, k: int) -> Tensor:
        made.append((len(points), k))
        return nearest_vertices_ragged(points, frame, vertices, k)

    monkeypatch.setattr(graphs.nodes, "nearest_vertices_ragged", search)
    return made


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (GraphSpec(), [(11, 1)]),
        (GraphSpec(k=3, readout_k=2), [(11, 3)]),
        (GraphSpec(k=1, readout_k=2), [(7, 2), (11, 1)]),  # more than binds looks for
        (GraphSpec(relations=("near",), k=3), [(7, 1)]),  # binds is not there to search for all frames
    ],
)
def test_nothing_is_searched_for_twice(spec: GraphSpec, expected: list, searches: list) -> None:
    nodes = clip([4, 7], spec=spec, ref_frame=1)
    alone = nearest_vertices_ragged(nodes.ref_pos, torch.zeros(7).long(), nodes.vertices[1:], spec.readout_k)
    assert torch.equal(nodes.anchor_nearest, alone)
    build_graph(nodes, avatar(nodes))
    assert searches == expected


def test_a_changed_copy_searches_anew() -> None:
    nodes = clip([4, 7])
    assert nodes.nearest.shape == (11, 1)
    assert replace(nodes, spec=GraphSpec(k=2)).nearest.shape == (11, 2)
    assert not torch.equal(replace(nodes, pos=nodes.pos.flip(0)).nearest, nodes.nearest)


@pytest.mark.parametrize(
    ("pos", "x", "vertices", "message"),
    [
        (torch.zeros(2, 4, 3), torch.zeros(3, 4, 5), torch.zeros(2, N, 3), "same number of frames, found 2, 3 and 2"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 4, 5), torch.zeros(1, N, 3), "same number of frames"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 5, 5), torch.zeros(2, N, 3), r"frame 0: expected .* \[4, 3\] and \[5, 5"),
        (torch.zeros(0, 4, 3), torch.zeros(0, 4, 5), torch.zeros(0, N, 3), "at least one frame"),
        (torch.zeros(2, 4, 2), torch.zeros(2, 4, 5), torch.zeros(2, N, 3), r"pos: expected \[8, 3\], found \[8, 2\]"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 4, 5), torch.zeros(2, N), r"vertices: expected \[T, N, 3\], found"),
    ],
)
def test_wrong_frames(pos: Tensor, x: Tensor, vertices: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipNodes.from_frames(pos, x, vertices, FACES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": torch.zeros(10).long()}, r"frame: expected \[11\], found \[10\]"),
        ({"x": torch.zeros(10, C)}, r"x: expected \[11, C\], found \[10, 5\]"),
        ({"x": torch.zeros(11)}, r"x: expected \[11, C\], found \[11\]"),
        ({"vertices": torch.zeros(0, N, 3)}, "vertices: expected at least one frame, found none"),
        ({"faces": FACES[:, :2]}, r"faces: expected \[F, 3\], found \[18, 2\]"),
        ({"v_shaped": torch.zeros(N - 1, 3)}, r"v_shaped: expected \[20, 3\] as the vertices, found \[19, 3\]"),
        ({"ref_frame": 2}, "ref_frame: expected 0 to 1, found 2"),
        ({"ref_frame": -1}, "ref_frame: expected 0 to 1, found -1"),
    ],
)
def test_wrong_nodes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(clip([4, 7]), **change)


def test_too_few_vertices_for_the_faces() -> None:
    nodes = ClipNodes.from_frames(torch.zeros(2, 4, 3), torch.zeros(2, 4, 5), torch.zeros(2, N - 1, 3), FACES)
    with pytest.raises(ValueError, match="below num_vertices = 19"):
        build_graph(nodes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quats": torch.zeros(7, 3)}, r"AvatarNodes\.quats: expected \[7, 4\], found \[7, 3\]"),
        ({"opacities": torch.zeros(7, 1)}, r"AvatarNodes\.opacities: expected \[7\], found \[7, 1\]"),
        ({"axes": torch.zeros(6, 3, 3)}, r"AvatarNodes\.axes: expected \[7, 3, 3\], found"),
        ({"x": torch.zeros(6, C)}, r"AvatarNodes\.x: expected \[7, ...\], found \[6, 5\]"),
        ({"betas": torch.zeros(1, 10)}, r"AvatarNodes\.betas: expected \[B\], found \[1, 10\]"),
    ],
)
def test_wrong_avatars(change: dict[str, Any], message: str) -> None:
    start = avatar(clip([4, 7], ref_frame=1))
    with pytest.raises(ValueError, match=message):
        replace(start, **change)
