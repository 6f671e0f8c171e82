"""Hop edges against breadth-first search, and the cache."""

import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

import graphs.mesh_hops
from graphs import mesh_hop_edges

TETRAHEDRON = torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
STRIP = torch.tensor([[i, i + 1, i + 2] for i in range(12)])
ICOSPHERE = torch.from_numpy(np.asarray(trimesh.creation.icosphere(subdivisions=2).faces))
TWO_PARTS = torch.cat([TETRAHEDRON, TETRAHEDRON + 6])  # ids 4 and 5 are in no face


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HGG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def breadth_first(faces: Tensor, hops: int, num_vertices: int, self_loops: bool) -> Tensor:
    """Sorted (target, source) pairs by search from every vertex."""
    neighbours: list[set[int]] = [set() for _ in range(num_vertices)]
    for triangle in faces.tolist():
        for a in triangle:
            neighbours[a] |= set(triangle) - {a}
    pairs = []
    for start in range(num_vertices):
        distance, queue = {start: 0}, deque([start])
        while queue:
            node = queue.popleft()
            for other in neighbours[node]:
                if other not in distance and distance[node] < hops:
                    distance[other] = distance[node] + 1
                    queue.append(other)
        pairs += [(start, source) for source in distance if self_loops or source != start]
    return torch.tensor(sorted(pairs), dtype=torch.int64).reshape(-1, 2).T.flip(0)


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("faces", [TETRAHEDRON, STRIP, ICOSPHERE, TWO_PARTS], ids=["tetra", "strip", "ico", "parts"])
def test_equals_breadth_first_search(faces: Tensor, hops: int, self_loops: bool) -> None:
    num_vertices = int(faces.max()) + 1
    edges = mesh_hop_edges(faces, hops, self_loops=self_loops)
    assert edges.dtype == torch.int64
    assert torch.equal(edges, breadth_first(faces, hops, num_vertices, self_loops))  # values and order


def test_symmetric_and_sorted() -> None:
    source, target = mesh_hop_edges(ICOSPHERE, 2)
    count = int(ICOSPHERE.max()) + 1
    assert bool(((target * count + source).diff() > 0).all())
    assert torch.equal((target * count + source).sort().values, (source * count + target).sort().values)


def test_vertices_in_no_face() -> None:
    assert mesh_hop_edges(TETRAHEDRON, 2, num_vertices=9).max() == 3
    edges = mesh_hop_edges(TETRAHEDRON, 2, num_vertices=9, self_loops=True)
    assert edges[:, edges[1] > 3].tolist() == [[4, 5, 6, 7, 8]] * 2


def test_no_faces() -> None:
    faces = torch.empty(0, 3, dtype=torch.int64)
    assert mesh_hop_edges(faces, 2).shape == (2, 0)
    assert mesh_hop_edges(faces, 2, num_vertices=3, self_loops=True).tolist() == [[0, 1, 2]] * 2


def test_degenerate_face_adds_no_self_loop() -> None:
    assert mesh_hop_edges(torch.tensor([[0, 0, 1]]), 1).tolist() == [[1, 0], [0, 1]]


def test_default_body_has_the_known_neighbourhood() -> None:
    from hgg_pyg.body import load_body

    body = load_body()
    edges = mesh_hop_edges(body.faces, 2, body.num_vertices)
    assert edges.shape[1] / body.num_vertices == pytest.approx(18.67, abs=0.005)


@pytest.mark.parametrize("change", [{"hops": 2}, {"self_loops": True}, {"num_vertices": 13}, {"faces": STRIP}])
def test_cache_is_keyed_by_all_arguments(cache: Path, change: dict) -> None:
    arguments = {"faces": STRIP[:-2], "hops": 1, "num_vertices": 14, "self_loops": False}
    first = mesh_hop_edges(**arguments)
    second = mesh_hop_edges(**(arguments | change))
    assert len(list(cache.glob("*.npy"))) == 2
    assert torch.equal(mesh_hop_edges(**arguments), first)
    assert torch.equal(mesh_hop_edges(**(arguments | change)), second)


def test_cached_equals_uncached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = mesh_hop_edges(ICOSPHERE, 2)
    assert [path.suffix for path in cache.iterdir()] == [".npy"]  # nothing temporary is left

    def refuse(*_: object) -> None:
        raise AssertionError("computed though cached")

    monkeypatch.setattr(graphs.mesh_hops, "_compute", refuse)
    assert torch.equal(mesh_hop_edges(ICOSPHERE, 2), computed)
    assert torch.equal(mesh_hop_edges(ICOSPHERE.int(), 2), computed)  # the integer type is no part of the topology


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an array"),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: np.save(path, np.full((2, 4), 10**9)),
        lambda path: np.save(path, np.zeros((3, 4), dtype=np.int64)),
        lambda path: np.save(path, np.zeros((2, 4), dtype=np.float32)),
        lambda path: np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True),
    ],
    ids=["empty", "text", "cut", "range", "shape", "type", "pickle"],
)
def test_damaged_cache_is_recomputed_and_repaired(cache: Path, damage: object) -> None:
    expected = mesh_hop_edges(ICOSPHERE, 2)
    (path,) = cache.iterdir()
    intact = path.read_bytes()
    damage(path)  # type: ignore[operator]
    assert torch.equal(mesh_hop_edges(ICOSPHERE, 2), expected)
    assert path.read_bytes() == intact


def test_more_hops_than_the_mesh_is_across_take_no_longer() -> None:
    assert torch.equal(mesh_hop_edges(TWO_PARTS, 10**9), mesh_hop_edges(TWO_PARTS, 1))


def test_what_killed_processes_left_is_swept(cache: Path) -> None:
    mesh_hop_edges(TETRAHEDRON, 1)
    (path,) = cache.iterdir()
    path.unlink()
    old, new = cache / f"{path.stem}old.tmp", cache / f"{path.stem}new.tmp"
    for left in (old, new):
        left.touch()
    os.utime(old, (0, 0))
    mesh_hop_edges(TETRAHEDRON, 1)
    assert sorted(cache.iterdir()) == sorted([path, new])  # somebody may still be writing the new one


def test_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HGG_CACHE", str(tmp_path / "file" / "below"))
    assert mesh_hop_edges(TETRAHEDRON, 1).shape == (2, 12)


def test_default_cache_is_in_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HGG_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    mesh_hop_edges(TETRAHEDRON, 1)
    assert len(list((tmp_path / ".cache" / "hgg_pyg").glob("*.npy"))) == 1


@pytest.mark.parametrize(
    ("faces", "hops", "num_vertices", "message"),
    [
        (TETRAHEDRON[:, :2], 1, None, r"shape \[F, 3\], found \[4, 2\]"),
        (TETRAHEDRON.float(), 1, None, "expected integers, found torch.float32"),
        (TETRAHEDRON - 1, 1, None, "ids from 0, found -1"),
        (TETRAHEDRON, 1, 3, "below num_vertices = 3, found 3"),
        (TETRAHEDRON, 0, None, "hops: expected at least 1, found 0"),
    ],
)
def test_errors(faces: Tensor, hops: int, num_vertices: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mesh_hop_edges(faces, hops, num_vertices)


def test_a_user_without_a_home_gets_edges_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HGG_CACHE")
    monkeypatch.setattr(Path, "home", homeless)
    assert torch.equal(mesh_hop_edges(STRIP, 2), breadth_first(STRIP, 2, 14, False))
