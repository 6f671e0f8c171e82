"""Normals at vertices against trimesh's."""

import numpy as np
import trimesh

from hgg_pyg.kernels.normals import vertex_normals


def test_they_are_trimeshs() -> None:
    shape = trimesh.creation.icosphere(4)
    rng = np.random.default_rng(0)
    vertices = np.asarray(shape.vertices) * [0.3, 0.9, 0.2] + 0.004 * rng.normal(size=shape.vertices.shape) + [5, -3, 9]
    expected = trimesh.Trimesh(vertices, shape.faces, process=False).vertex_normals
    np.testing.assert_allclose(vertex_normals(vertices, np.asarray(shape.faces)), expected, atol=1e-12)


def test_a_triangle_without_area_does_not_count_and_a_vertex_without_triangles_has_none() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0], [9, 9, 9]])
    faces = np.array([[0, 1, 2], [0, 1, 3], [1, 1, 2]])
    expected = trimesh.Trimesh(vertices, faces, process=False).vertex_normals
    found = vertex_normals(vertices, faces)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(found, [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
