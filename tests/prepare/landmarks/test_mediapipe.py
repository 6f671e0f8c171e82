"""The chain from image to sightings, with networks made here that read a scene of coloured marks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from hgg_pyg.prepare.landmark_sets import MEDIAPIPE_33
from hgg_pyg.prepare.landmarks import detector, find_landmarker
from hgg_pyg.prepare.landmarks.mediapipe import MediaPipe
from hgg_pyg.types import UserError

pytest.importorskip("cv2")

ANCHORS = detector.anchors()


def centre_of(weights: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(weights.shape) + 0.5
    total = weights.sum() + 1e-9
    return np.array([(columns * weights).sum() / total, (rows * weights).sum() / total])


@dataclass
class SpotDetector:
    """Finds what was told: (hips, reach) in pixels of its own input."""

    people: list[tuple[tuple[float, float], tuple[float, float]]]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        assert image.shape == (224, 224, 3)
        assert -1 <= image.min() <= image.max() <= 1
        raw, logits = np.zeros((2254, 12), np.float32), np.full((2254, 1), -9.0, np.float32)
        for number, (hips, reach) in enumerate(self.people):
            anchor = 5 + number
            at = ANCHORS[anchor] * 224
            size = 2 * np.linalg.norm(np.subtract(reach, hips)) * np.ones(2)
            raw[anchor] = np.concatenate([hips - at, size, hips - at, reach - at, hips - at, reach - at])
            logits[anchor] = 4 - number
        return [raw, logits]


@dataclass
class SpotLandmarker:
    """The red spot is the left wrist, the green one the right wrist: told apart by where they are, as a network does.

    The mask is where blue is.
    """

    present: float = 1.0
    calls: int = 0

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        assert image.shape == (256, 256, 3)
        assert 0 <= image.min() <= image.max() <= 1
        self.calls += 1
        spots = sorted((centre_of(image[..., channel]) for channel in (0, 1)), key=lambda spot: -spot[0])
        raw = np.zeros((39, 5), np.float32)
        raw[:, :2] = 128
        raw[:, 3] = 3.0
        raw[MEDIAPIPE_33.index("left_wrist"), :2] = spots[0]  # a person who faces the camera has the left on the right
        raw[MEDIAPIPE_33.index("right_wrist"), :2] = spots[1]
        raw[34, :2] = [128, 28]
        mask = (image[..., 2:] - 0.5) * 20
        heat = np.full((64, 64, 39), -20.0, np.float32)
        return [raw.ravel(), np.array([self.present], np.float32), mask, heat, np.zeros(117, np.float32)]


LEFT, RIGHT = np.array([260.0, 204.0]), np.array([150.0, 234.0])


@pytest.fixture
def image() -> np.ndarray:
    y, x = np.mgrid[:448, :448] + 0.5
    picture = np.zeros((448, 448, 3), np.uint8)
    for channel, (at_x, at_y) in enumerate((LEFT, RIGHT)):
        picture[..., channel] = 255 * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * 12.0**2))
    picture[144:304, 180:230, 2] = 255
    return picture


def found_by(people: list, image: np.ndarray, most: int = 5, **kwargs) -> list:
    return MediaPipe(SpotDetector(people), SpotLandmarker(**kwargs)).find(image, most)


# The detector's input is half as large as the image.
PERSON = ((102.0, 112.0), (102.0, 40.0))


def test_landmarks_and_mask_are_in_pixels_of_the_image(image: np.ndarray) -> None:
    (sighting,) = found_by([PERSON], image)
    assert sighting.points.shape == (33, 3)
    assert sighting.points[MEDIAPIPE_33.index("left_wrist"), :2] == pytest.approx(LEFT, abs=0.5)
    assert sighting.points[MEDIAPIPE_33.index("right_wrist"), :2] == pytest.approx(RIGHT, abs=0.5)
    assert sighting.points[0] == pytest.approx([204.0, 224.0, 1 / (1 + np.exp(-3))], abs=1e-3)
    mask = sighting.mask
    assert mask is not None
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.uint8
    inside = np.zeros(mask.shape, bool)
    inside[144:304, 180:230] = True
    assert ((mask > 127) == inside).mean() > 0.99


def test_two_detections_of_one_person_are_one_sighting(image: np.ndarray) -> None:
    near = ((102.0, 113.0), (102.0, 5.0))  # too unlike the other to be merged
    assert len(found_by([PERSON, near], image)) == 1


def test_several_people_come_the_largest_first_and_no_more_than_asked_for(image: np.ndarray) -> None:
    small = ((30.0, 60.0), (30.0, 30.0))
    first, second = found_by([small, PERSON], image)
    assert first.points[0, :2] == pytest.approx([204.0, 224.0], abs=1e-3)
    assert second.points[0, :2] == pytest.approx([60.0, 120.0], abs=1e-3)
    assert len(found_by([small, PERSON], image, most=1)) == 1
    assert found_by([], image) == []


def test_a_square_without_a_person_is_no_sighting(image: np.ndarray) -> None:
    assert found_by([PERSON], image, present=0.2) == []


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Callable:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr("hgg_pyg.weights.sets.landmarks.fetch", _refuse)
    try:
        return find_landmarker("mediapipe-full").find
    except UserError:
        pytest.skip("the networks are not on this machine: python -m hgg_pyg.weights landmarks")


def _refuse(*_: object) -> None:
    raise UserError("not fetched in tests")


def test_the_networks_see_nobody_in_noise(real: Callable) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert real(noise, most=3) == []
