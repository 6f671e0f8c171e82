"""PyG's batches, loaders, transforms and samplers keep the whole graph consistent, the avatar and its features too."""

from dataclasses import replace

import pytest
import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader, NeighborLoader
from torch_geometric.transforms import AddSelfLoops, ToUndirected

from graphs import AVATAR, BINDS, GAUSSIAN, NEAR, REFINES, VERTEX, GraphSpec, add_feedback, build_graph
from tests.graphs.graph_cases import B, N, avatar, clip

OWN = (VERTEX, "upside_down", VERTEX)
SPEC = GraphSpec(("binds", "near", "tests.graphs.graph_cases:upside_down"), k=2, readout_k=3, self_loops=False)
COUNTS = ([4, 0, 7], [0, 1, 0], [12, 5])  # of three people; of the second one's reference frame nothing is left


def person(counts: list[int], seed: int = 0) -> HeteroData:
    """A whole graph: an own relation with edge features, an avatar of the last frame, feedback."""
    nodes = clip(counts, seed, SPEC, ref_frame=len(counts) - 1)
    data = build_graph(nodes, avatar(nodes))
    add_feedback(data, torch.randn(counts[-1], 11), torch.randn(N, 11))
    return data


@pytest.fixture
def people() -> list[HeteroData]:
    return [person(counts, seed) for seed, counts in enumerate(COUNTS)]


def assert_same(found: HeteroData, expected: HeteroData) -> None:
    """The same nodes and edges with the same attributes, in the same order."""
    assert found.node_types == expected.node_types
    assert found.edge_types == expected.edge_types
    for mine, theirs in zip(found.stores, expected.stores, strict=True):
        assert set(mine.keys()) == set(theirs.keys())
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs.keys())  # noqa: SIM118


def test_a_batch_is_its_people_one_after_the_other(people: list[HeteroData]) -> None:
    batch = Batch.from_data_list(people)
    assert batch.validate()
    assert batch.node_types == people[0].node_types
    assert batch.edge_types == [BINDS, NEAR, OWN, REFINES]  # the order in which blocks go through them
    for index, data in enumerate(people):
        assert_same(batch[index], data)


def test_edges_of_a_batch_stay_within_their_person_and_sorted(people: list[HeteroData]) -> None:
    batch = Batch.from_data_list(people)
    for kind in batch.edge_types:
        edges, start = batch[kind].edge_index, 0
        source, target = edges
        assert bool(((target * batch[kind[0]].num_nodes + source).diff() >= 0).all())
        for index, data in enumerate(people):
            offset = torch.stack([batch[kind[0]].ptr[index], batch[kind[2]].ptr[index]])[:, None]
            stop = start + data[kind].num_edges
            assert torch.equal(edges[:, start:stop] - offset, data[kind].edge_index)
            start = stop
        assert start == edges.shape[1]


def test_vertices_of_the_body_stay_what_they_are_in_a_batch(people: list[HeteroData]) -> None:
    batch = Batch.from_data_list(people)
    assert batch[VERTEX].num_nodes == 3 * N
    assert torch.equal(batch[VERTEX].node_id, torch.arange(N).repeat(3))
    for name, kind in (("binding", AVATAR), ("frame", GAUSSIAN), ("feedback", VERTEX), ("feedback", AVATAR)):
        assert torch.equal(batch[kind][name], torch.cat([data[kind][name] for data in people]))


def test_a_batch_comes_apart_into_one_avatar_per_person(people: list[HeteroData]) -> None:
    batch = Batch.from_data_list(people)
    assert batch["betas"].shape == (3, B)
    ptr = batch[AVATAR].ptr.tolist()
    assert ptr == [0, 7, 7, 12]
    for index, data in enumerate(people):
        rows = slice(ptr[index], ptr[index + 1])
        assert torch.equal(batch[AVATAR].pos[rows], data[AVATAR].pos)
        assert torch.equal(batch[AVATAR].binding[rows], data[AVATAR].binding)
        assert torch.equal(batch["betas"][index], data["betas"][0])


def test_loader(people: list[HeteroData]) -> None:
    batches = list(DataLoader(people, batch_size=2))
    assert [batch.num_graphs for batch in batches] == [2, 1]
    assert_same(batches[0][1], people[1])
    assert_same(batches[1][0], people[2])
    whole = Batch.from_data_list(people[:2])
    assert all(torch.equal(batches[0][kind].edge_index, whole[kind].edge_index) for kind in whole.edge_types)


def pairs(edge_index: Tensor) -> set[tuple[int, ...]]:
    return set(map(tuple, edge_index.T.tolist()))


def test_to_undirected_adds_reverse_edges_and_leaves_the_others() -> None:
    before = person([6, 9])
    data = ToUndirected(merge=False)(before.clone())
    assert data.validate()
    for kind in before.edge_types:
        assert_edges(data, before, kind)
        reverse = (kind[2], f"rev_{kind[1]}", kind[0])
        assert torch.equal(data[reverse].edge_index, before[kind].edge_index.flip(0))
    assert torch.equal(data[VERTEX, "rev_upside_down", VERTEX].edge_attr, before[OWN].edge_attr)
    assert len(data.edge_types) == 2 * len(before.edge_types)


def test_to_undirected_merges_what_is_symmetric_into_itself() -> None:
    before = person([6, 9])
    data = ToUndirected(reduce="mean")(before.clone())
    assert data.validate()
    assert set(data.edge_types) == {
        *before.edge_types,
        (VERTEX, "rev_binds", GAUSSIAN),
        (AVATAR, "rev_refines", VERTEX),
    }
    for kind in (BINDS, REFINES):
        assert_edges(data, before, kind)
    assert pairs(data[NEAR].edge_index) == pairs(before[NEAR].edge_index)  # near was undirected
    assert data[NEAR].num_edges == before[NEAR].num_edges
    assert data[OWN].edge_attr.shape == (data[OWN].num_edges, 1)


def assert_edges(data: HeteroData, before: HeteroData, kind: tuple[str, str, str]) -> None:
    assert set(data[kind].keys()) == set(before[kind].keys())
    assert all(torch.equal(data[kind][key], before[kind][key]) for key in before[kind].keys())  # noqa: SIM118


def test_add_self_loops_gives_what_the_specification_can() -> None:
    nodes = clip([6, 9], spec=SPEC)
    before = build_graph(nodes, avatar(nodes))
    with_loops = build_graph(replace(nodes, spec=replace(SPEC, self_loops=True)))
    data = AddSelfLoops(attr="edge_attr", fill_value=-1.0)(before.clone())
    assert data.validate()
    assert data[NEAR].num_edges == with_loops[NEAR].num_edges
    assert pairs(data[NEAR].edge_index) == pairs(with_loops[NEAR].edge_index)
    assert torch.equal(data[OWN].edge_attr[:N], before[OWN].edge_attr)
    assert torch.equal(data[OWN].edge_attr[N:], torch.full((N, 1), -1.0))
    for kind in (BINDS, REFINES):
        assert_edges(data, before, kind)


def test_subgraph_without_some_gaussians() -> None:
    before = person([6, 9])
    kept = torch.tensor([1, 2, 5, 7, 8, 14])
    data = before.subgraph({GAUSSIAN: kept})
    assert data.validate()
    assert torch.equal(data[GAUSSIAN].x, before[GAUSSIAN].x[kept])
    assert torch.equal(data[GAUSSIAN].frame, before[GAUSSIAN].frame[kept])
    expected = {(g, v) for g, v in pairs(before[BINDS].edge_index) if g in kept}
    assert {(int(kept[g]), v) for g, v in pairs(data[BINDS].edge_index)} == expected
    assert len(expected) == 2 * len(kept)
    for kind in (NEAR, OWN, REFINES):
        assert_edges(data, before, kind)


def test_subgraph_without_some_vertices_knows_which_are_left() -> None:
    before = person([6, 9])
    kept = torch.tensor([0, 3, 4, 5, 6, 11, 13, 14, 15, 16])
    data = before.subgraph({VERTEX: kept})
    assert data.validate()
    assert data[VERTEX].num_nodes == len(kept)
    assert torch.equal(data[VERTEX].node_id, kept)
    assert torch.equal(data[VERTEX].feedback, before[VERTEX].feedback[kept])
    assert torch.equal(data[AVATAR].binding, before[AVATAR].binding)  # vertices of the body, kept or not
    assert torch.equal(data["betas"], before["betas"])
    for kind in before.edge_types:
        source, target = data[kind].edge_index
        source = data[VERTEX].node_id[source] if kind[0] == VERTEX else source
        target = data[VERTEX].node_id[target] if kind[2] == VERTEX else target
        there = [
            torch.isin(ids, kept) for ids, end in zip(before[kind].edge_index, kind[::2], strict=True) if end == VERTEX
        ]
        assert torch.equal(torch.stack([source, target]), before[kind].edge_index[:, torch.stack(there).all(0)])
    source, target = data[OWN].edge_index
    assert torch.equal(data[OWN].edge_attr[:, 0], kept[source] / 2)


@pytest.mark.filterwarnings("ignore:Using 'Neighbor:UserWarning")  # torch-sparse in pyg-lib's place is deprecated
@pytest.mark.skipif(
    not (torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE),
    reason="NeighborLoader needs pyg-lib or torch-sparse, and neither is installed",
)
def test_neighbours_of_some_vertices() -> None:
    """Edges are sorted by target already, as sampling wants them; all neighbours of a vertex in one step."""
    before = person([6, 9])
    seeds = torch.tensor([2, 7, 11])
    loader = NeighborLoader(before, {BINDS: [-1], NEAR: [-1], OWN: [-1], REFINES: [0]}, (VERTEX, seeds), batch_size=3)
    (data,) = loader
    assert data.validate()
    assert torch.equal(data[VERTEX].node_id[:3], seeds)
    assert torch.equal(data[VERTEX].node_id, data[VERTEX].n_id)
    assert torch.equal(data[VERTEX].feedback, before[VERTEX].feedback[data[VERTEX].node_id])
    assert torch.equal(data[GAUSSIAN].x, before[GAUSSIAN].x[data[GAUSSIAN].n_id])
    for kind in (BINDS, NEAR, OWN):
        source, target = data[kind].edge_index
        found = torch.stack([data[kind[0]].n_id[source], data[VERTEX].node_id[target]])
        expected = before[kind].edge_index[:, torch.isin(before[kind].edge_index[1], seeds)]
        assert sorted(pairs(found)) == sorted(pairs(expected))
        assert found.shape == expected.shape
    source = data[VERTEX].node_id[data[OWN].edge_index[0]]
    assert torch.equal(data[OWN].edge_attr[:, 0], source / 2)
