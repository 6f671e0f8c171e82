"""Rays through pixel centres against rays of any kind, on a posed body and where triangles are seen in odd ways."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import load_body
from hgg_pyg.kernels.first_hits import PixelHits, first_hits
from hgg_pyg.kernels.raycast import Hits, RayMesh
from hgg_pyg.types import BodyPose

SIZE = (70, 90)  # rows, columns
ROWS, COLUMNS = (grid.ravel() for grid in np.indices(SIZE))


def posed_body(seed: int) -> tuple[np.ndarray, np.ndarray]:
    body, rng = load_body(), np.random.default_rng(seed)
    angles = torch.tensor(0.3 * rng.normal(size=(1, 69)), dtype=torch.float32)
    pose = BodyPose(torch.tensor(rng.normal(size=10)).float(), torch.zeros(1, 3), angles, torch.zeros(1, 3))
    vertices = body.pose(pose).vertices[0].double().numpy()
    return vertices - vertices.mean(0), body.faces.numpy()


def camera(seed: int, distance: float, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """A camera's origin and directions: turned at random, its axis a bit beside the middle, pixels skewed."""
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(None, rng).as_matrix()
    K = np.array([[focal, 0.7, 44.1], [0, 1.1 * focal, 36.3], [0, 0, 1]])
    return -rotation.T @ [*rng.uniform(-0.05, 0.05, 2), distance], rotation.T @ np.linalg.inv(K)


def both(
    vertices: np.ndarray, faces: np.ndarray, origin: np.ndarray, directions: np.ndarray
) -> tuple[PixelHits, Hits, np.ndarray]:
    """Hits of every pixel by either way, and the pixels that both say are met."""
    centers = np.stack([COLUMNS + 0.5, ROWS + 0.5, np.ones(len(ROWS))], 1)
    expected = RayMesh(vertices, faces).cast(origin, centers @ directions.T)
    found = first_hits(vertices, faces, origin, directions, ROWS, COLUMNS)
    return found, expected, (found.faces >= 0) & expected.met


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("distance", "focal"), [(2.6, 90.0), (0.5, 40.0), (0.05, 30.0), (0.0, 30.0)])
def test_they_are_the_hits_of_general_rays(seed: int, distance: float, focal: float) -> None:
    """From afar, from close by, and from within the body, whose triangles then reach behind the camera."""
    vertices, faces = posed_body(seed)
    found, expected, met = both(vertices, faces, *camera(seed, distance, focal))
    assert met.any()
    # Embree decides in float32: a ray within that rounding of an edge may go to the other side of it.
    assert ((found.faces >= 0) != expected.met).sum() <= 2
    at = np.flatnonzero(met)
    rays = np.searchsorted(expected.rays, at)
    same = found.faces[at] == expected.faces[rays]
    assert (~same).sum() <= 2
    np.testing.assert_allclose(found.depths[at], expected.distances[rays], rtol=1e-5)
    np.testing.assert_allclose(found.depths[at][same], expected.distances[rays][same], rtol=1e-9)
    np.testing.assert_allclose(found.shares[at][same], expected.shares[rays][same], atol=1e-8)
    missed = found.faces < 0
    assert np.isinf(found.depths[missed]).all()
    assert not found.shares[missed].any()


def test_either_side_of_a_triangle_is_met() -> None:
    vertices, faces = posed_body(7)
    eye = camera(7, 2.6, 90.0)
    found, turned = (first_hits(vertices, f, *eye, ROWS, COLUMNS) for f in (faces, faces[:, ::-1].copy()))
    np.testing.assert_array_equal(found.faces, turned.faces)
    np.testing.assert_allclose(found.depths, turned.depths, rtol=1e-12)


def test_pixels_are_asked_one_by_one() -> None:
    vertices, faces = posed_body(8)
    eye = camera(8, 2.6, 90.0)
    every = first_hits(vertices, faces, *eye, ROWS, COLUMNS)
    chosen = np.random.default_rng(0).permutation(len(ROWS))[:500]
    some = first_hits(vertices, faces, *eye, ROWS[chosen], COLUMNS[chosen])
    for name in ("faces", "shares", "depths"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[chosen])
    assert first_hits(vertices, faces, *eye, ROWS[:0], COLUMNS[:0]).shares.shape == (0, 3)


def test_no_ray_slips_between_triangles_whose_edges_and_corners_are_at_pixel_centres() -> None:
    """A wall of squares, each cut in two along a diagonal, tilted away: every edge goes through centres."""
    side = np.arange(11.0)
    x, y = (grid.ravel() for grid in np.meshgrid(10 * side, 10 * side))
    depth = 1 + x / 50 + y / 70
    vertices = np.stack([(x + 0.5) * depth, (y + 0.5) * depth, depth], 1)
    corner = (np.arange(10)[:, None] * 11 + np.arange(10)).ravel()
    faces = np.stack([[corner, corner + 1, corner + 11], [corner + 12, corner + 1, corner + 11]]).transpose(0, 2, 1)
    rows, columns = (grid.ravel() for grid in np.indices((101, 101)))
    hits = first_hits(vertices, faces.reshape(-1, 3), np.zeros(3), np.eye(3), rows, columns)
    assert (hits.faces >= 0).all()
    np.testing.assert_allclose((vertices[faces.reshape(-1, 3)[hits.faces], 2] * hits.shares).sum(1), hits.depths)


def test_a_triangle_on_edge_and_one_behind_the_camera_are_missed() -> None:
    upright = np.array([[0.5, -9, 1], [0.5, 9, 1], [4.5, 0, 9]])
    behind = np.array([[-9.0, -9, -1], [9, -9, -1], [0, 9, -1]])
    for vertices in (upright, behind):
        hits = first_hits(vertices, np.array([[0, 1, 2]]), np.zeros(3), np.eye(3), ROWS, COLUMNS)
        assert (hits.faces == -1).all()


def test_of_triangles_in_one_place_the_first_is_met() -> None:
    wall = np.array([[-900.0, -900, 3], [900, -900, 3], [0, 900, 3]])
    hits = first_hits(wall, np.array([[0, 1, 2], [0, 1, 2]]), np.zeros(3), np.eye(3), ROWS, COLUMNS)
    assert (hits.faces == 0).all()
    np.testing.assert_allclose(hits.depths, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_corners_at_no_place_meet_no_ray(value: float) -> None:
    """And index nothing; what does not touch them is met as without them."""
    vertices, faces = posed_body(1)
    lost = np.arange(0, len(vertices), 11)
    rest = np.flatnonzero(~np.isin(faces, lost).any(1))
    view = camera(1, 3.0, 90.0)
    expected = first_hits(vertices, faces[rest], *view, ROWS, COLUMNS)
    for axis in range(3):
        broken = vertices.copy()
        broken[lost, axis] = value
        found = first_hits(broken, faces, *view, ROWS, COLUMNS)
        assert (found.faces < len(faces)).all()
        if not np.isfinite(value):
            np.testing.assert_array_equal(found.faces, np.where(expected.faces < 0, -1, rest[expected.faces]))
            np.testing.assert_array_equal(found.depths, expected.depths)
