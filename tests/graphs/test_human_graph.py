"""The graph's invariants, alone and in a batch."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from graphs import (
    BINDS,
    NEAR,
    GraphSpec,
    build_human_graph,
    mesh_hop_edges,
    nearest_vertices,
    readout_edges,
    row_pointers,
)

FACES = torch.tensor([[i, i + 1, i + 2] for i in range(18)])  # a strip of 20 vertices


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HGG_CACHE", str(tmp_path))


def subject(frames: int, count: int, seed: int) -> HeteroData:
    generator = torch.Generator().manual_seed(seed)
    positions, features = (torch.randn(frames, count, c, generator=generator) for c in (3, 5))
    return build_human_graph(positions, features, torch.randn(frames, 20, 3, generator=generator), FACES)


def assert_sorted(data: HeteroData) -> None:
    """Edges ascend by target, then source, and the degrees count them."""
    for relation in (BINDS, NEAR):
        source, target = data[relation].edge_index
        keys = target * (int(source.max()) + 1 if len(source) else 1) + source
        assert bool((keys.diff() > 0).all())
        degree = data[relation].degree
        assert degree.shape == (data["vertex"].num_nodes,)
        assert torch.equal(target, torch.arange(len(degree)).repeat_interleave(degree))


@pytest.mark.parametrize("spec", [GraphSpec(), GraphSpec(k=3, hops=1, self_loops=False)])
def test_invariants(spec: GraphSpec) -> None:
    positions, features, vertices = torch.randn(4, 50, 3), torch.randn(4, 50, 5), torch.randn(4, 20, 3)
    data = build_human_graph(positions, features, vertices, FACES, spec)
    assert data.validate()
    assert_sorted(data)
    assert torch.equal(data["gaussian"].x, features.view(-1, 5))
    assert torch.equal(data["gaussian"].pos, positions.view(-1, 3))
    assert torch.equal(data["gaussian"].frame, torch.arange(4).repeat_interleave(50))
    assert torch.equal(data["vertex"].node_id, torch.arange(20))
    # every Gaussian is kept, k times, and bound to what the search says
    gaussian, vertex = data[BINDS].edge_index
    bound = nearest_vertices(positions, vertices, spec.k).view(-1, spec.k)
    order = gaussian.argsort(stable=True)
    assert torch.equal(gaussian.bincount(), torch.full((200,), spec.k))
    assert torch.equal(vertex[order].view(-1, spec.k), bound.sort(dim=1).values)
    assert torch.equal(data[NEAR].edge_index, mesh_hop_edges(FACES, spec.hops, 20, spec.self_loops))


def test_no_cap_on_one_vertex() -> None:
    vertices = torch.randn(2, 20, 3)
    vertices[:, 7] = 100
    data = build_human_graph(torch.full((2, 300, 3), 99.0), torch.randn(2, 300, 5), vertices, FACES)
    assert data[BINDS].degree.tolist() == [600 if n == 7 else 0 for n in range(20)]


def test_sequences_equal_tensors() -> None:
    positions, features, vertices = torch.randn(3, 9, 3), torch.randn(3, 9, 5), torch.randn(3, 20, 3)
    dense = build_human_graph(positions, features, vertices, FACES)
    ragged = build_human_graph(list(positions), tuple(features), vertices, FACES)
    assert dense.to_dict().keys() == ragged.to_dict().keys()
    for store, other in zip(dense.stores, ragged.stores, strict=True):
        assert all(torch.equal(torch.as_tensor(store[key]), torch.as_tensor(other[key])) for key in store.keys())  # noqa: SIM118


def test_frames_of_different_sizes() -> None:
    counts, vertices = [4, 0, 7], torch.randn(3, 20, 3)
    positions, features = ([torch.randn(m, c) for m in counts] for c in (3, 5))
    data = build_human_graph(positions, features, vertices, FACES, GraphSpec(k=2))
    assert data.validate()
    assert_sorted(data)
    assert data["gaussian"].frame.tolist() == [0] * 4 + [2] * 7
    for t, pos in enumerate(positions):
        alone = nearest_vertices(pos[None], vertices[t : t + 1], 2)[0]
        gaussian, vertex = data[BINDS].edge_index
        mine = data["gaussian"].frame[gaussian] == t
        order = gaussian[mine].argsort(stable=True)
        assert torch.equal(vertex[mine][order].view(-1, 2), alone.sort(dim=1).values)


def test_no_gaussians() -> None:
    data = build_human_graph(torch.empty(2, 0, 3), torch.empty(2, 0, 5), torch.randn(2, 20, 3), FACES)
    assert data.validate()
    assert data[BINDS].edge_index.shape == (2, 0)
    assert data[BINDS].degree.tolist() == [0] * 20


def test_batch_of_different_subjects() -> None:
    subjects = [subject(3, 11, 0), subject(1, 0, 1), subject(5, 40, 2)]
    batch = Batch.from_data_list(subjects)
    assert batch.validate()
    assert_sorted(batch)
    assert batch["vertex"].num_nodes == 60
    assert torch.equal(batch["vertex"].node_id, torch.arange(20).repeat(3))
    assert torch.equal(batch["gaussian"].frame, torch.cat([data["gaussian"].frame for data in subjects]))
    for relation in (BINDS, NEAR):
        pointers = row_pointers(batch[relation].degree)
        assert int(pointers[-1]) == batch[relation].num_edges
        for index, data in enumerate(subjects):
            edges = batch[relation].edge_index[:, pointers[20 * index] : pointers[20 * (index + 1)]]
            first = batch[relation[0]].ptr[index] if relation == BINDS else 20 * index
            offset = torch.tensor([[int(first)], [20 * index]])
            assert torch.equal(edges - offset, data[relation].edge_index)
            assert torch.equal(batch[index][relation].degree, data[relation].degree)
            assert torch.equal(batch[index][relation].edge_index, data[relation].edge_index)


def test_saves_and_loads(tmp_path: Path) -> None:
    data = subject(2, 8, 3)
    torch.save(data.to_dict(), tmp_path / "graph.pt")
    loaded = HeteroData.from_dict(torch.load(tmp_path / "graph.pt", weights_only=True))
    assert loaded.validate()
    assert torch.equal(loaded[BINDS].edge_index, data[BINDS].edge_index)


def test_row_pointers() -> None:
    assert row_pointers(torch.tensor([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert row_pointers(torch.tensor([], dtype=torch.int64)).tolist() == [0]


@pytest.mark.parametrize("k", [1, 3])
def test_readout_edges(k: int) -> None:
    positions, vertices = torch.randn(30, 3), torch.randn(20, 3)
    source, target = readout_edges(positions, vertices, k)
    assert torch.equal(target, torch.arange(30).repeat_interleave(k))
    assert torch.equal(source.view(30, k), nearest_vertices(positions[None], vertices[None], k)[0])


@pytest.mark.parametrize(
    ("positions", "features", "vertices", "message"),
    [
        (torch.zeros(2, 4, 3), torch.zeros(3, 4, 5), torch.zeros(2, 20, 3), "same number of frames, found 2, 3"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 4, 5), torch.zeros(1, 20, 3), "same number of frames"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 5, 5), torch.zeros(2, 20, 3), "frame 0: expected"),
        (torch.zeros(0, 4, 3), torch.zeros(0, 4, 5), torch.zeros(0, 20, 3), "at least one frame"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 4, 5), torch.zeros(2, 19, 3), "below num_vertices = 19"),
    ],
)
def test_wrong_shapes(positions: Tensor, features: Tensor, vertices: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_human_graph(positions, features, vertices, FACES)
