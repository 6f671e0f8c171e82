"""Triangulation on people of known places: noise, wrong views, exchanged sides, points that no body can have."""

from __future__ import annotations

import numpy as np
import pytest

from hgg_pyg.data.lens import Lens
from hgg_pyg.prepare.agreement import agreed, refined
from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.rays import normalised, off_rays, project
from hgg_pyg.prepare.steadiness import unsteady
from hgg_pyg.prepare.triangulation import TriangulationConfig, reprojection, triangulate
from tests.prepare.scenes import person, ring, seen

ARMS = [COCO_17.index(name) for name in ("left_elbow", "right_elbow", "left_wrist", "right_wrist")]
LEGS = [COCO_17.index(name) for name in ("left_knee", "right_knee", "left_ankle", "right_ankle")]
MIRROR = np.array(COCO_17.mirror)


def off(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Metres."""
    return np.linalg.norm(found - true, axis=-1)


def exchange(points2d: np.ndarray, view: int, frames: slice, joints: list[int]) -> None:
    points2d[frames, view, joints] = points2d[frames, view, MIRROR[joints]]


def test_pixels_and_the_lens_are_those_of_the_images() -> None:
    calibration = ring(3)
    points = person(2)
    pixels = project(points, calibration)
    for view in range(3):
        camera = calibration.select([view])
        ideal = (points @ camera.R[0].T + camera.T[0]) @ camera.K[0].T
        lens = Lens(camera.K[0], camera.distortion[0])
        np.testing.assert_allclose(pixels[:, view], lens.distort(ideal[..., :2] / ideal[..., 2:]), atol=1e-8)
    assert off_rays(points, normalised(pixels, calibration), calibration).max() < 1e-6


def test_what_the_lens_cannot_show_is_missing() -> None:
    calibration = ring(2, lens=(-0.3, 0, 0, 0, 0))  # shows nothing beyond 0.7 from the middle
    pixels = np.array([[[[490.0, 610.0], [490 + 1100 * 0.9, 610.0]]] * 2])
    assert np.isnan(normalised(pixels, calibration)[0, 0, :, 0]).tolist() == [False, True]


@pytest.mark.parametrize("views", [2, 4, 8])
def test_points_are_as_near_as_the_noise_allows(views: int) -> None:
    true, calibration = person(12), ring(views)
    found = triangulate(seen(true, calibration, noise=2), calibration, COCO_17)
    assert np.median(off(found.points3d, true)) < 0.026 / np.sqrt(views)  # 2 px are 7 mm at 4 m, in two directions
    assert not found.swapped.any()
    assert not found.dropped.any()


def test_refining_is_least_squares_over_those_who_agree() -> None:
    """Against a general solver on the same weights' fixed point: the gradient of the robust sum vanishes."""
    true, calibration = person(1), ring(5)
    plane = normalised(seen(true, calibration, noise=4)[..., :2], calibration)
    sure = np.full(plane.shape[:-1], 0.9)
    points = refined(agreed(plane, sure, calibration, 0.06), plane, sure, calibration, 0.06, 0.018)

    def loss(points: np.ndarray) -> float:
        share = off_rays(points, plane, calibration) / 0.018
        return float(np.log1p(share**2).sum())

    nudges = [loss(points + step * np.eye(3)[axis]) for axis in range(3) for step in (-2e-3, 2e-3)]
    assert min(nudges) > loss(points)


def test_wrong_views_are_told_and_not_used() -> None:
    true, calibration = person(10), ring(5)
    points2d = seen(true, calibration)
    wrong = np.random.default_rng(1).random(points2d.shape[:3]) < 0.15
    points2d[wrong, :2] += np.random.default_rng(2).choice([-1, 1], (wrong.sum(), 2)) * 120
    found = triangulate(points2d, calibration, COCO_17, TriangulationConfig(repair_sides=False))
    good = wrong.sum(1) <= 2  # with three wrong ones of five nobody can tell
    assert np.nanmedian(off(found.points3d, true)) < 0.012
    assert np.nanpercentile(off(found.points3d, true)[good], 99) < 0.05
    assert not found.used[wrong].any()
    assert found.errors[wrong & good[:, None] & np.isfinite(found.errors)].min() > 60
    summary = reprojection(found)
    assert summary.used_views < summary.all_views < 5
    assert summary.agreeing == pytest.approx(1 - wrong.mean(), abs=0.03)


def test_points_that_fewer_than_two_views_have_are_missing() -> None:
    true, calibration = person(6), ring(4)
    points2d = seen(true, calibration)
    points2d[2, 1:, 9] = np.nan  # one view has it
    points2d[3, :, 10, 2] = 0.1  # no view is sure of it
    points2d[4, 2:, 5, 2], points2d[4, 0, 5, :2] = 0, points2d[4, 0, 5, :2] + 200  # two have it, and do not agree
    found = triangulate(points2d, calibration, COCO_17)
    missing = np.isnan(found.points3d[..., 0])
    assert missing.sum() == 3
    assert missing[[2, 3, 4], [9, 10, 5]].all()
    assert not found.used[missing.nonzero()[0], :, missing.nonzero()[1]].any()


def test_two_cameras_in_one_direction_tell_no_depth() -> None:
    calibration = ring(4).select([0, 1])
    twin = calibration.select([0, 0])
    twin.T[1] += 0.02  # 2 cm beside
    points2d = seen(person(3), twin, noise=1)
    assert np.isnan(triangulate(points2d, twin, COCO_17).points3d).all()


def test_exchanged_sides_are_put_right_and_counted() -> None:
    true, calibration = person(20), ring(5)
    points2d = seen(true, calibration)
    given = points2d.copy()
    exchange(given, 1, slice(0, 8), ARMS)
    exchange(given, 3, slice(4, 12), LEGS)
    exchange(given, 2, slice(10, 20), list(range(1, 17)))
    exchange(given, 0, slice(5, 7), ARMS)
    found = triangulate(given, calibration, COCO_17)
    repaired = off(found.points2d[..., :2], points2d[..., :2]) < 1e-9
    # Where both sides are within a few centimetres of each other in an image, either is as good
    apart = off(points2d[..., :2], points2d[:, :, MIRROR, :2]) > 60
    assert repaired[apart].mean() > 0.99
    assert off(found.points3d, true).max() < 0.05
    assert found.swapped[:8, 1, 0].mean() > 0.6
    assert found.swapped[10:, 2, 2].mean() > 0.8
    assert not found.swapped[:, 4].any()


def test_half_of_the_views_exchanged_is_told_from_the_frames_before() -> None:
    true, calibration = person(15), ring(4)
    given = seen(true, calibration)
    for view in (0, 2):
        exchange(given, view, slice(6, 9), LEGS)
    for view in (0, 1, 3):
        exchange(given, view, slice(11, 12), ARMS)
    found = triangulate(given, calibration, COCO_17)
    assert off(found.points3d, true).max() < 0.05


def test_sides_of_a_clip_without_faults_stay() -> None:
    for seed in range(3):
        true, calibration = person(10, seed), ring(4)
        found = triangulate(seen(true, calibration, noise=12, seed=seed), calibration, COCO_17)
        assert found.swapped.sum() <= 1


def test_points_that_no_body_can_have_are_dropped() -> None:
    points = person(20).copy()
    points[7, COCO_17.index("left_wrist")] += (0.1, 0.4, 0)  # a jump for one moment
    knee, ankle = COCO_17.index("right_knee"), COCO_17.index("right_ankle")
    points[11:14, ankle] = (points[11:14, ankle] + points[11:14, knee]) / 2  # half a shin for three
    points[16, 3] = np.nan
    wrong = unsteady(points, np.ones(points.shape[:2]), COCO_17, 0.35, 0.25)
    expected = np.zeros_like(wrong)
    expected[7, COCO_17.index("left_wrist")] = True
    expected[11:14, ankle] = True
    np.testing.assert_array_equal(wrong, expected)


def test_short_clips_work() -> None:
    for frames in (1, 2):
        found = triangulate(seen(person(frames), ring(3)), ring(3), COCO_17)
        assert np.isfinite(found.points3d).all()


def test_one_camera_tells_no_place():
    cameras = ring(1)
    found = triangulate(seen(person(2), cameras), cameras, COCO_17)
    assert np.isnan(found.points3d).all()
    assert not found.used.any()
