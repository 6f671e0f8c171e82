"""A person who walks about places the cameras that see him, and bundle adjustment moves them to where they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.calibrations.from_person import cameras_from_landmarks
from hgg_pyg.prepare.calibrations.person_frame import stature
from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.triangulation import triangulate
from hgg_pyg.types import UserError
from tests.prepare.scenes import person, ring, seen

pytest.importorskip("cv2")
RIG = ring(4)
FRAMES = 30
POINTS = person(FRAMES) + np.linspace(0, 1.2, FRAMES)[:, None, None] * [1, 0, 0.3]  # he walks away
HEIGHT = stature(POINTS, COCO_17)
LENSES = replace(RIG, R=np.tile(np.eye(3), (4, 1, 1)), T=np.eye(4, 3))


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """With 2 pixels of noise; each twelfth is elsewhere, and one view exchanges left and right for a while."""
    found = seen(POINTS, RIG)
    wrong = np.random.default_rng(2).random(found.shape[:3]) < 0.08
    found[wrong, :2] += 200
    found[4:10, 2] = found[4:10, 2][:, list(COCO_17.mirror)]
    return found


def centres(calibration: Calibration) -> np.ndarray:
    return -(calibration.R.transpose(0, 2, 1) @ calibration.T[:, :, None])[..., 0]


def test_cameras_are_found_again(landmarks: np.ndarray) -> None:
    found = cameras_from_landmarks(LENSES, landmarks, COCO_17, HEIGHT)
    # Up to where the world begins and which way it faces, but not up to its size
    own, true = centres(found.calibration), centres(RIG)
    turn = Rotation.align_vectors(true - true.mean(0), own - own.mean(0))[0]
    assert np.abs(turn.apply(own - own.mean(0)) - (true - true.mean(0))).max() < 0.04
    for mine, theirs in zip(found.calibration.R, RIG.R, strict=True):
        off = Rotation.from_matrix(mine @ turn.as_matrix().T @ theirs.T)
        assert np.degrees(off.magnitude()) < 0.5
    assert max(found.error) < 4
    assert found.used > 0.8 * FRAMES * 17

    points = triangulate(landmarks, found.calibration, COCO_17).points3d
    assert stature(points, COCO_17) == pytest.approx(HEIGHT, rel=0.01)
    # y is up, and the floor is at 0 between the steps
    assert abs(np.nanpercentile(points[:, [15, 16], 1], 5)) < 0.05
    assert np.nanmedian(points[:, 0, 1]) > 0.8 * HEIGHT
    assert np.abs(np.nanmedian(points[:, [15, 16]], (0, 1))[[0, 2]]).max() < 0.3


def test_what_places_no_cameras_is_said_in_one_line(landmarks: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"--height: expected metres, 0.5 to 2.6, found 175"):
        cameras_from_landmarks(LENSES, landmarks, COCO_17, 175)
    blind = landmarks.copy()
    blind[3:, 1] = np.nan
    with pytest.raises(UserError, match=r"camera 'cam01': expected to see the person together with another .* found 5"):
        cameras_from_landmarks(LENSES, blind, COCO_17, HEIGHT)
    apart = landmarks[:12].copy()
    for view in range(4):
        apart[:, view] = apart[np.random.default_rng(view).permutation(12), view]
    with pytest.raises(UserError, match=r"cameras cannot be placed by this person: .*--offset"):
        cameras_from_landmarks(LENSES, apart, COCO_17, HEIGHT)
