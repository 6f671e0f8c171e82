"""The nearest vertex against all distances and against scipy's tree."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree

from hgg_pyg.kernels.nearest import nearest_vertices


def by_all_distances(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The reference: argmin takes the first of equals."""
    return ((points[:, None] - vertices) ** 2).sum(-1).argmin(1)


SCALES = [(1.0, 1.0, 1.0), (0.6, 1.7, 0.3), (1.0, 1.0, 0.0), (1e-3, 0.0, 0.0), (1e4, 1.0, 1.0)]


@pytest.mark.parametrize("scale", SCALES)
def test_it_is_the_nearest_near_and_far_in_any_order(scale: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(700, 3)) * scale + [3, -200, 1e3]
    close = np.repeat(vertices, 2, 0) + 0.05 * rng.normal(size=(1400, 3)) * max(scale)
    points = np.concatenate([close, vertices[::-1], vertices.mean(0) + 30 * max(scale) * rng.normal(size=(200, 3))])
    expected = by_all_distances(points, vertices)
    np.testing.assert_array_equal(nearest_vertices(points, vertices), expected)
    order = rng.permutation(len(points))
    np.testing.assert_array_equal(nearest_vertices(points[order], vertices), expected[order])


def test_it_is_scipys_on_a_surface() -> None:
    sphere = trimesh.creation.icosphere(5, 0.7)
    vertices, rng = np.asarray(sphere.vertices), np.random.default_rng(1)
    vertices = vertices + 1e-3 * rng.normal(size=vertices.shape)
    points = vertices[rng.integers(0, len(vertices), 20_000)] * rng.uniform(0.7, 1.3, (20_000, 1))
    np.testing.assert_array_equal(nearest_vertices(points, vertices), KDTree(vertices).query(points)[1])


def test_of_equals_the_first_is_taken() -> None:
    corners = np.stack(np.meshgrid(*[[0.0, 1, 2, 3]] * 3), -1).reshape(-1, 3)
    corners = np.random.default_rng(2).permutation(np.concatenate([corners, corners]))  # every one twice
    halves = np.stack(np.meshgrid(*[np.arange(-1, 4, 0.5)] * 3), -1).reshape(-1, 3)
    np.testing.assert_array_equal(nearest_vertices(halves, corners), by_all_distances(halves, corners))


def test_one_vertex_and_no_points() -> None:
    vertex = np.array([[1.0, 2, 3]])
    assert nearest_vertices(np.array([[1.0, 2, 3], [9, -9, 9]]), vertex).tolist() == [0, 0]
    assert nearest_vertices(np.zeros((0, 3)), vertex).shape == (0,)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one vertex"):
        nearest_vertices(np.zeros((2, 3)), np.zeros((0, 3)))
    for points, vertices in (
        ([[np.nan, 0, 0]], [[0, 0, 0]]),
        ([[0, 0, 0]], [[0, np.inf, 0]]),
        ([[0, 0, 0]], [[0, 0, np.nan]]),
        ([[0, 1e300, 0]], [[0, 0, 0]]),
    ):
        with pytest.raises(ValueError, match="finite"):
            nearest_vertices(np.array(points, float), np.array(vertices, float))
