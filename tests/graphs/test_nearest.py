"""Nearest vertices against all distances."""

import sys

import pytest
import torch
import torch_geometric.nn
import torch_geometric.typing
from torch import Tensor

from graphs import nearest_vertices, nearest_vertices_ragged


def brute_force(points: Tensor, vertices: Tensor, k: int) -> Tensor:
    """[T, M, k] from all distances."""
    return (points[:, :, None] - vertices[:, None]).square().sum(-1).argsort(dim=-1, stable=True)[..., :k]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("frames", [1, 4])
def test_equals_all_distances(frames: int, k: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(frames, 200, 3, generator=generator, dtype=dtype)
    vertices = torch.randn(frames, 40, 3, generator=generator, dtype=dtype)
    found = nearest_vertices(points, vertices, k)
    assert found.shape == (frames, 200, k)
    assert found.dtype == torch.int64
    assert torch.equal(found, brute_force(points, vertices, k))
    assert torch.equal(found, torch.cdist(points.double(), vertices.double()).topk(k, largest=False).indices)


def test_float64_is_searched_in_float64() -> None:
    """Two vertices that float32 cannot tell apart."""
    vertices = torch.tensor([[[1.0, 0, 0], [1.0 + 1e-10, 0, 0]]], dtype=torch.float64)
    points = vertices[:, 1:] + torch.tensor([1e-10, 0, 0], dtype=torch.float64)
    assert nearest_vertices(points, vertices).item() == 1


def test_frames_are_not_mixed() -> None:
    """Frame 0's points lie on frame 1's vertices and the other way round."""
    vertices = torch.randn(2, 30, 3)
    vertices[1] += 5
    points = vertices.flip(0).roll(7, dims=1)
    found = nearest_vertices(points, vertices, 2)
    assert torch.equal(found, brute_force(points, vertices, 2))
    assert int(found.max()) < 30


def test_ragged_equals_frame_by_frame_with_empty_frames() -> None:
    counts = torch.tensor([0, 5, 0, 1, 8, 0])
    vertices, points = torch.randn(6, 12, 3), torch.randn(14, 3)
    frame = torch.arange(6).repeat_interleave(counts)
    found = nearest_vertices_ragged(points, frame, vertices, 4)
    expected = [
        brute_force(p[None], v[None], 4)[0] for p, v in zip(points.split(counts.tolist()), vertices, strict=True)
    ]
    assert torch.equal(found, torch.cat(expected))


def test_no_points_at_all() -> None:
    assert nearest_vertices(torch.empty(3, 0, 3), torch.randn(3, 5, 3), 2).shape == (3, 0, 2)


def test_ties_come_by_id() -> None:
    """The eight corners around a cell's centre, in lattices of shuffled order."""
    lattice = torch.cartesian_prod(*[torch.arange(8.0)] * 3)
    for seed in range(5):
        vertices = lattice[torch.randperm(512, generator=torch.Generator().manual_seed(seed))]
        corners = ((vertices - 2.5).abs() < 1).all(-1).nonzero().flatten()
        assert torch.equal(nearest_vertices(torch.full((1, 1, 3), 2.5), vertices[None], 8).flatten(), corners)


def test_many_coincident_vertices() -> None:
    found = nearest_vertices(torch.randn(1, 9, 3), torch.ones(1, 500, 3), 5)
    assert all(len(set(row)) == 5 for row in found[0].tolist())


def test_inputs_may_be_strided_half_and_tracked() -> None:
    vertices = torch.randn(2, 20, 3)
    points = torch.randn(3, 10, 2).permute(2, 1, 0).requires_grad_()
    assert torch.equal(nearest_vertices(points, vertices), brute_force(points, vertices, 1))
    half = points.detach().half()
    assert torch.equal(nearest_vertices(half, vertices), brute_force(half.float(), vertices, 1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_positions_that_are_not_finite(bad: float) -> None:
    points, vertices = torch.randn(2, 6, 3), torch.randn(2, 5, 3)
    points[1, 4, 2] = bad
    with pytest.raises(ValueError, match=r"points: expected finite positions, found 1 of 12 with NaN"):
        nearest_vertices(points, vertices)
    with pytest.raises(ValueError, match=r"vertices: expected finite positions, found 1 of 12"):
        nearest_vertices(vertices, points)


@pytest.mark.parametrize("k", [0, 6])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(ValueError, match=f"k: expected 1 to 5, the number of vertices, found {k}"):
        nearest_vertices(torch.zeros(1, 1, 3), torch.zeros(1, 5, 3), k)


@pytest.mark.parametrize("frame", [[1, 0], [0, 2], [-1, 0]])
def test_frames_out_of_order_or_range(frame: list[int]) -> None:
    with pytest.raises(ValueError, match=r"frame: expected ascending ids in 0\.\.1"):
        nearest_vertices_ragged(torch.zeros(2, 3), torch.tensor(frame), torch.zeros(2, 5, 3))


@pytest.mark.parametrize(
    ("points", "vertices", "message"),
    [
        (torch.zeros(2, 4, 2), torch.zeros(2, 5, 3), r"points: expected \[2, M, 3\]"),
        (torch.zeros(3, 4, 3), torch.zeros(2, 5, 3), r"points: expected \[2, M, 3\]"),
        (torch.zeros(2, 4, 3), torch.zeros(2, 5, 4), r"vertices: expected \[T, N, 3\]"),
    ],
)
def test_wrong_shapes(points: Tensor, vertices: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest_vertices(points, vertices)


def test_missing_rows_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU search finds nothing beyond 1e5 metres and leaves the row out."""
    import torch_cluster

    monkeypatch.setattr(torch_cluster, "knn", lambda *_, **__: torch.tensor([[0, 2], [1, 1]]))
    with pytest.raises(RuntimeError, match="1 of 3 points did not get exactly k = 1 vertices"):
        nearest_vertices(torch.zeros(1, 3, 3), torch.zeros(1, 5, 3))


def test_pyg_lib_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def knn(x: Tensor, y: Tensor, k: int, batch_x: Tensor, batch_y: Tensor, batch_size: int) -> Tensor:
        """The search as PyG documents it, by all distances."""
        distances = torch.cdist(y, x).masked_fill(batch_y[:, None] != batch_x, torch.inf)
        rows = torch.arange(len(y)).repeat_interleave(k)
        assert batch_size == int(batch_x.max()) + 1
        return torch.stack([rows, distances.topk(k, largest=False).indices.flatten()])

    monkeypatch.setitem(sys.modules, "torch_cluster", None)
    monkeypatch.setattr(torch_geometric.typing, "WITH_KNN", True)
    monkeypatch.setattr(torch_geometric.nn, "knn", knn)
    points, vertices = torch.randn(3, 20, 3), torch.randn(3, 7, 3)
    assert torch.equal(nearest_vertices(points, vertices, 2), brute_force(points, vertices, 2))


def test_without_either_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_cluster", None)
    monkeypatch.setattr(torch_geometric.typing, "WITH_KNN", False)
    with pytest.raises(ImportError, match=r"needs torch_cluster .* or pyg-lib"):
        nearest_vertices(torch.zeros(1, 1, 3), torch.zeros(1, 5, 3))
