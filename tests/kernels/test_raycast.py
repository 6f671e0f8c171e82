"""Rays into a ball and a triangle, whose hits are known by formula."""

import numpy as np
import pytest
import trimesh

from hgg_pyg.kernels.raycast import RayMesh

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def ball(dtype: type = np.float64, center: tuple[float, float, float] = (0, 0, 0)) -> tuple[np.ndarray, np.ndarray]:
    shape = trimesh.creation.icosphere(4)
    return (np.asarray(shape.vertices) + center).astype(dtype), np.asarray(shape.faces)


@DTYPES
def test_rays_find_the_nearest_side_of_a_ball(dtype: type) -> None:
    vertices, faces = ball(dtype)
    mesh = RayMesh(vertices, faces)
    origins, directions = np.array([[3, 3, 3], [0.1, 0.05, 3], [0.1, 0.05, 0]], dtype), np.tile([0.0, 0, -1], (3, 1))
    hits = mesh.cast(origins, directions)
    assert hits.rays.tolist() == [1, 2]
    assert hits.met.tolist() == [False, True, True]
    assert hits.behind.tolist() == [False, True]
    assert hits.distances.dtype == hits.shares.dtype == dtype
    depth = np.sqrt(1 - 0.1**2 - 0.05**2)
    np.testing.assert_allclose(hits.distances, [3 - depth, depth], atol=5e-3)
    np.testing.assert_array_equal(hits.per_ray(hits.distances), [0, *hits.distances])
    places = origins[1:] + hits.distances[:, None] * directions[1:]
    bound = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose((vertices[faces[hits.faces]] * hits.shares[..., None]).sum(1), places, atol=bound)
    np.testing.assert_allclose(mesh.interpolate(vertices, hits), places, atol=bound)


def test_distances_are_exact_far_from_the_origin_and_in_lengths_of_the_direction() -> None:
    """The plane of the triangle that is met, in float64, a kilometre away: float32 there has steps of 0.06 mm."""
    center = np.array([1000.0, -700, 400])
    vertices, faces = ball(center=tuple(center))
    origin = center + np.array([0.3, 0.2, 5])
    directions = (center + np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3)) - origin) / 7
    hits = RayMesh(vertices, faces).cast(origin, directions)
    assert hits.met.all()
    a, b, c = vertices[faces[hits.faces]].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    expected = ((a - origin) * normals).sum(1) / (directions * normals).sum(1)
    np.testing.assert_allclose(hits.distances, expected, rtol=1e-11)
    assert (np.abs(np.linalg.norm(origin + expected[:, None] * directions - center, axis=1) - 1) < 5e-3).all()


def test_one_origin_is_the_same_as_one_per_ray() -> None:
    mesh = RayMesh(*ball())
    origin, directions = np.array([0.2, 0.1, 4]), np.random.default_rng(1).normal([0, 0, -3], 0.5, (300, 3))
    one, many = mesh.cast(origin, directions), mesh.cast(np.tile(origin, (300, 1)), directions)
    assert 0 < len(one.rays) < 300
    for name in ("met", "rays", "faces", "shares", "distances", "behind"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_a_triangle_that_has_no_place_on_the_ray_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding lets a search name a triangle that is seen from its edge, or that is behind the ray's origin."""
    upright = np.array([[0.0, -1, -1], [0, 1, -1], [0, 0, 1]])
    mesh = RayMesh(upright, np.array([[0, 1, 2]]))
    monkeypatch.setattr(type(mesh._mesh.ray), "intersects_first", lambda self, origins, directions: np.zeros(4, int))
    origins = np.array([[1e-9, 0, 5], [-1e-9, 0, 5], [5, 0, 0], [-5, 0, 0]])
    hits = mesh.cast(origins, np.array([[0.0, 0, -1], [0, 0, -1], [-1, 0, 0], [-1, 0, 0]]))
    assert hits.met.tolist() == [False, False, True, False]
    assert hits.distances.tolist() == [5]


def test_trimeshs_own_search_gives_the_same_where_embree_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rtree")
    directions = np.random.default_rng(2).normal([0, 0, -3], 0.7, (300, 3))
    with_embree = RayMesh(*ball()).cast(np.array([0.2, 0.1, 4]), directions)
    monkeypatch.setattr(trimesh.base.ray, "has_embree", False)
    without = RayMesh(*ball()).cast(np.array([0.2, 0.1, 4]), directions)
    assert 0 < len(without.rays) < 300
    np.testing.assert_array_equal(without.met, with_embree.met)
    np.testing.assert_allclose(without.distances, with_embree.distances, rtol=1e-5)
