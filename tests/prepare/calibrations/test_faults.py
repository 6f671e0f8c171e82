"""Calibrations with the usual mistakes, of a person who walks: each is named in one line, and none where none is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.calibrations.faults import calibration_faults
from hgg_pyg.prepare.landmark_sets import COCO_17
from tests.prepare.scenes import SIZE, person, ring, seen

RIG = ring(7).select([0, 1, 3])
FRAMES = 24
FLIP = np.diag([1.0, -1.0, -1.0])
R_BACK = RIG.R.transpose(0, 2, 1)
CENTRES = -(R_BACK @ RIG.T[:, :, None])[..., 0]


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """[F, V, J, 3], of which each tenth is somewhere else."""
    found = seen(person(FRAMES + 6), RIG)
    wrong = np.random.default_rng(1).random(found.shape[:3]) < 0.1
    found[wrong, :2] += 150
    return found


def scaled(factor: float) -> Calibration:
    return replace(RIG, K=np.diag([factor, factor, 1]) @ RIG.K)


def turned(points: np.ndarray) -> np.ndarray:
    """Images of the second camera turned by 90 degrees clockwise."""
    points = points.copy()
    points[:, 1, :, :2] = np.stack([SIZE[1] - points[:, 1, :, 1], points[:, 1, :, 0]], -1)
    return points


def mirrored(points: np.ndarray) -> np.ndarray:
    """The third camera's; the network takes left for right."""
    points = points.copy()
    points[:, 2] = points[:, 2][:, list(COCO_17.mirror)]
    points[:, 2, :, 0] = SIZE[0] - points[:, 2, :, 0]
    return points


def late(points: np.ndarray) -> np.ndarray:
    """The first camera shows what the others showed four frames before."""
    return np.concatenate([points[:-4, :1], points[4:, 1:]], 1)


def same(points: np.ndarray) -> np.ndarray:
    return points


MOVED = RIG.T + np.array([[0, 0, 0], [0.5, 0.2, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("change", "calibration", "expected"),
    [
        (same, replace(RIG, R=R_BACK, T=CENTRES), "R and T of all cameras: they look camera-to-world; world-to-camera"),
        (same, replace(RIG, T=CENTRES), "T looks like the camera's position C in the world"),
        (same, replace(RIG, R=FLIP @ RIG.R, T=RIG.T @ FLIP), "as OpenGL's and Blender's"),
        (same, replace(RIG, R=R_BACK @ FLIP, T=CENTRES), "camera-to-world in OpenGL's axes"),
        (same, scaled(2.0), "K of all cameras: it looks calibrated for images 2 times as large as these"),
        (same, scaled(0.8), "K of all cameras: it looks calibrated for images 0.8"),
        (same, replace(RIG, R=R_BACK, T=CENTRES, K=scaled(2.0).K), "camera-to-world.*; and K .* 2 times as large"),
        (same, replace(RIG, T=RIG.T * 1000), r"T of all cameras: expected metres, .* is 1.\d+e\+03; --unit mm fits"),
        (same, replace(RIG, T=RIG.T / 0.0254), "--unit in fits"),
        (same, replace(RIG, T=MOVED), "camera 'cam01': it does not see what the others see: .* was it moved"),
        (mirrored, RIG, "camera 'cam03': its images look mirrored left to right"),
        (lambda points: points[:, [0, 2, 1]], RIG, "cameras 'cam01' and 'cam03': their calibrations, or their videos"),
        (lambda points: points[:, [1, 2, 0]], RIG, "shuffled: take the video 'cam03' for 'cam00', 'cam00' for 'cam01'"),
        (late, RIG, "camera 'cam00': its images look 8 frames too late; --offset cam00=8 "),
    ],
)  # fmt: skip
def test_the_mistake_is_named(
    change: Callable[[np.ndarray], np.ndarray], calibration: Calibration, expected: str, landmarks: np.ndarray
) -> None:
    found = calibration_faults(change(landmarks), calibration, (SIZE,) * 3, 2, COCO_17)
    assert found is not None
    assert "\n" not in found
    assert re.search(expected, found), found


def test_a_camera_that_is_turned_is_named(landmarks: np.ndarray) -> None:
    found = calibration_faults(turned(landmarks), RIG, (SIZE, (SIZE[1], SIZE[0]), SIZE))
    assert found is not None
    assert found.startswith(
        "camera 'cam01': its images look turned against the calibration: turn them by 90 degrees co"
    )


def test_nothing_is_wrong(landmarks: np.ndarray) -> None:
    assert calibration_faults(landmarks, RIG, (SIZE,) * 3) is None
    nothing = np.full_like(landmarks, np.nan)
    assert calibration_faults(nothing, replace(RIG, R=R_BACK), (SIZE,) * 3) is None


def test_what_no_mistake_explains_is_said(landmarks: np.ndarray) -> None:
    others = np.random.default_rng(0).uniform(0, 1000, landmarks.shape)
    others[..., 2] = 1
    found = calibration_faults(others, RIG, (SIZE,) * 3)
    assert found is not None
    assert "no known mistake explains it; is it of these cameras" in found
