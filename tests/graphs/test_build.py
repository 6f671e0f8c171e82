"""The graph's nodes and edges: what is in it, in which order, and what is refused."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch_geometric.data import HeteroData

from graphs import (
    AVATAR,
    BINDS,
    GAUSSIAN,
    NEAR,
    REFINES,
    VERTEX,
    AvatarNodes,
    ClipNodes,
    GraphSpec,
    Relation,
    add_feedback,
    build_graph,
    mesh_hop_edges,
    nearest_vertices,
    register_relation,
)
from graphs.relations import registry
from tests.graphs.graph_cases import FACES, B, C, N, avatar, clip

OWN = "tests.graphs.graph_cases:upside_down"
UPSIDE_DOWN = (VERTEX, "upside_down", VERTEX)


def assert_sorted(data: HeteroData) -> None:
    """Edges ascend by target, then source."""
    for kind in data.edge_types:
        source, target = data[kind].edge_index
        keys = target * data[kind[0]].num_nodes + source
        assert bool((keys.diff() > 0).all())


@pytest.mark.parametrize("spec", [GraphSpec(), GraphSpec(k=3, hops=1, self_loops=False)])
def test_gaussians_vertices_and_our_relations(spec: GraphSpec) -> None:
    nodes = clip([50] * 4, spec=spec)
    data = build_graph(nodes)
    assert data.validate()
    assert_sorted(data)
    assert data.node_types == [GAUSSIAN, VERTEX]
    assert data.edge_types == [BINDS, NEAR]
    assert "betas" not in data
    assert torch.equal(data[GAUSSIAN].x, nodes.x)
    assert torch.equal(data[GAUSSIAN].frame, torch.arange(4).repeat_interleave(50))
    assert torch.equal(data[VERTEX].node_id, torch.arange(N))
    assert data[VERTEX].num_nodes == N
    # every Gaussian is kept, k times, and bound to what the search says
    gaussian, vertex = data[BINDS].edge_index
    bound = nearest_vertices(nodes.pos.view(4, 50, 3), nodes.vertices, spec.k).view(-1, spec.k)
    order = gaussian.argsort(stable=True)
    assert torch.equal(gaussian.bincount(), torch.full((200,), spec.k))
    assert torch.equal(vertex[order].view(-1, spec.k), bound.sort(dim=1).values)
    assert torch.equal(data[NEAR].edge_index, mesh_hop_edges(FACES, spec.hops, N, spec.self_loops))


@pytest.mark.parametrize("relations", [("near", "binds"), ("binds",), ("near",), (OWN, "near")])
def test_relations_are_those_of_the_spec_in_its_order(relations: tuple[str, ...]) -> None:
    nodes = clip([4, 6], spec=GraphSpec(relations=relations), ref_frame=1)
    types = {"binds": BINDS, "near": NEAR, OWN: UPSIDE_DOWN}
    data = build_graph(nodes, avatar(nodes))
    assert data.edge_types == [*(types[name] for name in relations), REFINES]
    everything = build_graph(nodes_with(nodes, ("binds", "near", OWN)), avatar(nodes))
    for kind in data.edge_types:
        assert torch.equal(data[kind].edge_index, everything[kind].edge_index)


def nodes_with(nodes: ClipNodes, relations: tuple[str, ...]) -> ClipNodes:
    return replace(nodes, spec=replace(nodes.spec, relations=relations))


def test_edge_features_come_along_with_their_edges() -> None:
    store = build_graph(clip([4], spec=GraphSpec(relations=(OWN,))))[UPSIDE_DOWN]
    assert store.edge_index.tolist() == [list(range(N))[::-1], list(range(N))]
    assert torch.equal(store.edge_attr[:, 0], store.edge_index[0] / 2)


@pytest.mark.parametrize("readout_k", [1, 3])
def test_avatar_and_what_refines_it(readout_k: int) -> None:
    nodes = clip([4, 30, 7], spec=GraphSpec(readout_k=readout_k), ref_frame=1)
    start = avatar(nodes)
    data = build_graph(nodes, start)
    assert data.validate()
    assert_sorted(data)
    assert data[AVATAR].num_nodes == 30
    assert set(data[AVATAR].keys()) == {field.name for field in fields(AvatarNodes)} - {"betas"}
    assert all(data[AVATAR][name] is getattr(start, name) for name in data[AVATAR].keys())  # noqa: SIM118
    assert torch.equal(data["betas"], start.betas[None])
    assert data["betas"].shape == (1, B)
    source, target = data[REFINES].edge_index
    assert torch.equal(target, torch.arange(30).repeat_interleave(readout_k))
    found = nearest_vertices(nodes.ref_pos[None], nodes.vertices[1:2], readout_k)[0]
    assert torch.equal(source.view(30, readout_k), found.sort(dim=1).values)


def test_no_cap_on_one_vertex() -> None:
    vertices = torch.randn(2, N, 3)
    vertices[:, 7] = 100
    nodes = ClipNodes.from_frames(torch.full((2, 300, 3), 99.0), torch.randn(2, 300, C), vertices, FACES)
    degree = build_graph(nodes)[BINDS].edge_index[1].bincount(minlength=N)
    assert degree.tolist() == [600 if n == 7 else 0 for n in range(N)]


def test_frames_of_different_sizes() -> None:
    nodes = clip([4, 0, 7], spec=GraphSpec(k=2))
    data = build_graph(nodes)
    assert data.validate()
    assert_sorted(data)
    assert data[GAUSSIAN].frame.tolist() == [0] * 4 + [2] * 7
    gaussian, vertex = data[BINDS].edge_index
    for t in (0, 2):
        alone = nearest_vertices(nodes.pos[nodes.frame == t][None], nodes.vertices[t : t + 1], 2)[0]
        mine = data[GAUSSIAN].frame[gaussian] == t
        order = gaussian[mine].argsort(stable=True)
        assert torch.equal(vertex[mine][order].view(-1, 2), alone.sort(dim=1).values)


def test_no_gaussians() -> None:
    nodes = clip([0, 0])
    data = build_graph(nodes, avatar(nodes))
    assert data.validate()
    assert data[BINDS].edge_index.shape == data[REFINES].edge_index.shape == (2, 0)
    assert data[AVATAR].num_nodes == 0


def test_saves_and_loads(tmp_path: Path) -> None:
    nodes = clip([8, 8])
    data = build_graph(nodes, avatar(nodes))
    torch.save(data.to_dict(), tmp_path / "graph.pt")
    loaded = HeteroData.from_dict(torch.load(tmp_path / "graph.pt", weights_only=True))
    assert loaded.validate()
    assert torch.equal(loaded[BINDS].edge_index, data[BINDS].edge_index)
    assert torch.equal(loaded.betas, data.betas)


def test_feedback() -> None:
    nodes = clip([4, 6], ref_frame=1)
    data = build_graph(nodes, avatar(nodes))
    of_avatar, of_vertices = torch.randn(6, 11), torch.randn(N, 11)
    add_feedback(data, of_avatar, of_vertices)
    assert data[AVATAR].feedback is of_avatar
    assert data[VERTEX].feedback is of_vertices
    assert data.validate()


@pytest.mark.parametrize(
    ("of_avatar", "of_vertices", "message"),
    [
        ((5, 11), (N, 11), r"feedback of avatar: expected \[6, 11\], found \[5, 11\]"),
        ((6, 10), (N, 11), r"feedback of avatar: expected \[6, 11\], found \[6, 10\]"),
        ((6, 11), (6, 11), r"feedback of vertex: expected \[20, 11\], found \[6, 11\]"),
    ],
)
def test_wrong_feedback(of_avatar: tuple[int, ...], of_vertices: tuple[int, ...], message: str) -> None:
    nodes = clip([4, 6], ref_frame=1)
    data = build_graph(nodes, avatar(nodes))
    with pytest.raises(ValueError, match=message):
        add_feedback(data, torch.zeros(of_avatar), torch.zeros(of_vertices))
    with pytest.raises(ValueError, match="expected a graph with avatar nodes, found gaussian, vertex"):
        add_feedback(build_graph(nodes), torch.zeros(6, 11), torch.zeros(N, 11))


def test_an_avatar_of_another_frame() -> None:
    nodes = clip([4, 6], ref_frame=1)
    with pytest.raises(ValueError, match="avatar: expected 4 Gaussians, those of frame 0, found 6"):
        build_graph(replace(nodes, ref_frame=0), avatar(nodes))


def test_a_relation_that_does_not_end_at_vertices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    register_relation("refines", lambda nodes: Relation(VERTEX, AVATAR, torch.zeros(2, 1).long()))
    nodes = clip([4], spec=GraphSpec(relations=("binds", "refines")))
    with pytest.raises(
        ValueError, match=r"'refines': expected edges that end at vertices, .* found edges that end at avatar"
    ):
        build_graph(nodes, avatar(nodes))
