"""Silhouettes and surfaces against rays."""

import numpy as np
import pytest
import trimesh

from hgg_pyg.kernels.raster import silhouette, surface
from hgg_pyg.kernels.raycast import RayMesh

SIZE = (60, 44)
K = np.array([[55.0, 0, 31.3], [0, 52.0, 20.7], [0, 0, 1]])


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    shape = trimesh.creation.icosphere(2, radius=0.8)
    vertices = np.asarray(shape.vertices) * [1, 0.6, 0.9] + 0.05 * rng.normal(size=shape.vertices.shape)
    view = np.eye(4)
    view[:3, :3] = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
    view[:3, 3] = [0.1, -0.2, 2.6]
    return vertices, np.asarray(shape.faces), view


def cast(vertices, faces, view):
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    rays = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], 1) @ np.linalg.inv(K).T @ view[:3, :3]
    center = -view[:3, :3].T @ view[:3, 3]
    hits = RayMesh(vertices, faces).cast(center, rays)
    return hits.met.reshape(y.shape), (center + hits.per_ray(hits.distances)[:, None] * rays).reshape(*y.shape, 3)


def test_a_silhouette_is_where_rays_hit(scene):
    vertices, faces, view = scene
    hit, _ = cast(*scene)
    assert 0.1 < hit.mean() < 0.9
    assert (silhouette(vertices, faces, view, K, SIZE) != hit).sum() <= 2  # rays through an edge
    np.testing.assert_array_equal(silhouette(vertices, faces[:, ::-1], view, K, SIZE), silhouette(*scene, K, SIZE))


def test_values_are_those_of_the_nearest_surface(scene):
    vertices, faces, view = scene
    hit, points = cast(*scene)
    for axis in range(3):
        seen, rendered = surface(vertices, faces, vertices[:, axis], view, K, SIZE)
        both = seen & hit
        assert (seen != hit).sum() <= 2
        np.testing.assert_allclose(rendered[both], points[both][:, axis], atol=1e-5)
        assert not rendered[~seen].any()


def test_what_is_behind_the_camera_or_beside_the_image_is_not_rendered(scene):
    vertices, faces, view = scene
    behind = view.copy()
    behind[2, 3] = -2.6
    assert not silhouette(vertices, faces, behind, K, SIZE).any()
    beside = view.copy()
    beside[0, 3] = 1e9
    assert not silhouette(vertices, faces, beside, K, SIZE).any()


def test_a_camera_inside_sees_nothing_else(scene):
    vertices, faces, view = scene
    inside = view.copy()
    inside[:3, 3] = 0
    assert silhouette(vertices, faces, inside, K, SIZE).mean() > 0.8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_nowhere_is_not_rendered(scene, value):
    """Corners at no finite place take their triangles with them, and index nothing."""
    vertices, faces, view = scene
    lost = np.arange(0, len(vertices), 9)
    rest = faces[~np.isin(faces, lost).any(1)]
    values = np.random.default_rng(4).random(len(vertices))
    for axis in range(3):
        broken = vertices.copy()
        broken[lost, axis] = value
        if np.isfinite(value):  # it has a place, far outside the image
            assert silhouette(broken, faces, view, K, SIZE).shape == (SIZE[1], SIZE[0])
            continue
        np.testing.assert_array_equal(
            silhouette(broken, faces, view, K, SIZE), silhouette(vertices, rest, view, K, SIZE)
        )
        for found, expected in zip(
            surface(broken, faces, values, view, K, SIZE), surface(vertices, rest, values, view, K, SIZE), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    for matrix in (np.full((3, 3), value), np.array([[value, 0, 31.3], [0, 52.0, 20.7], [0, 0, 1]])):
        silhouette(vertices, faces, view, matrix, SIZE)
        surface(vertices, faces, values, view, matrix, SIZE)
    silhouette(vertices, faces, np.full((4, 4), value), K, SIZE)
