"""Cameras that were turned are put right by landmarks; those that were not are kept to the bit."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hgg_pyg.prepare.camera_refinement import CameraRefinementConfig, refine_cameras
from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.triangulation import triangulate
from tests.prepare.scenes import person, ring, seen


def turned(cameras, degrees):
    turns = Rotation.from_rotvec(np.radians(degrees)).as_matrix()
    return replace(cameras, R=turns @ cameras.R, T=(turns @ cameras.T[..., None])[..., 0])


def test_a_camera_that_was_turned_is_turned_back() -> None:
    true = ring(4)
    wrong = turned(true, [[0, 0, 0], [0.8, 1.8, 0.6], [0, 0, 0], [0, 0, 0]])
    found = triangulate(seen(person(12), true), wrong, COCO_17)
    refined = refine_cameras(found, wrong, CameraRefinementConfig())
    assert refined.after < 2.5 < 0.6 * refined.before
    again = triangulate(found.points2d, refined.calibration, COCO_17)
    assert np.nanmedian(again.errors) < 2.5
    # The whole world may turn with them a little: what counts is where the cameras stand to each other.
    between = refined.calibration.R[1] @ refined.calibration.R[3].T
    angle = Rotation.from_matrix(between @ (true.R[1] @ true.R[3].T).T).magnitude()
    assert np.degrees(angle) < 0.35
    assert refined.turned.shape == refined.moved.shape == (4,)


@pytest.mark.parametrize("config", [CameraRefinementConfig(), CameraRefinementConfig(turn_sigma=0)])
def test_right_cameras_are_kept_to_the_bit(config) -> None:
    true = ring(4)
    found = triangulate(seen(person(12), true), true, COCO_17)
    refined = refine_cameras(found, true, config)
    assert refined.calibration is true
    assert not refined.turned.any()
