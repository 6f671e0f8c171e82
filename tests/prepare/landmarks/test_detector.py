"""The detector's decoding, on tensors made here."""

import numpy as np
import pytest

from hgg_pyg.prepare.landmarks import detector

ANCHORS = detector.anchors()


def test_anchors_are_the_networks_2254_cells() -> None:
    assert ANCHORS.shape == (2254, 2)
    fine, middle, coarse = np.split(ANCHORS, [28 * 28 * 2, 28 * 28 * 2 + 14 * 14 * 2])
    for part, cells, each in ((fine, 28, 2), (middle, 14, 2), (coarse, 7, 6)):
        assert np.array_equal(part[0], part[each - 1])
        assert part[0] * cells == pytest.approx([0.5, 0.5])
        assert part[each] * cells == pytest.approx([1.5, 0.5])  # rows first
        assert part[-1] * cells == pytest.approx([cells - 0.5, cells - 0.5])


def tensors(people: dict[int, tuple[float, np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The network's output: nobody, but at some anchors (logit, middle, size, points [4, 2]) in pixels."""
    raw, logits = np.zeros((2254, 12), np.float32), np.full(2254, -30.0, np.float32)
    for anchor, (logit, middle, size, points) in people.items():
        at = ANCHORS[anchor] * 224
        raw[anchor] = np.concatenate([middle - at, size, (points - at).ravel()])
        logits[anchor] = logit
    return raw, logits


POINTS = np.array([[60.0, 100.0], [60.0, 40.0], [60.0, 70.0], [60.0, 45.0]])


def test_boxes_and_points_come_back_the_surest_first() -> None:
    person = (np.array([60.0, 90.0]), np.array([30.0, 40.0]), POINTS)
    raw, logits = tensors({7: (1.0, *person), 1700: (3.0, *person), 2000: (-0.1, *person)})
    found = detector.decode(raw, logits, ANCHORS)
    assert found.scores == pytest.approx(1 / (1 + np.exp([-3.0, -1.0])))
    assert found.boxes == pytest.approx(np.tile([45.0, 70.0, 75.0, 110.0], (2, 1)), abs=1e-4)
    assert found.points == pytest.approx(np.tile(POINTS, (2, 1, 1)), abs=1e-4)


def test_scores_of_any_size_stay_finite() -> None:
    raw, logits = tensors({3: (1e6, np.zeros(2), np.ones(2), POINTS)})
    logits[4] = -1e6
    assert detector.decode(raw, logits, ANCHORS).scores == pytest.approx([1.0])


def test_boxes_of_one_person_are_averaged_by_score_and_others_kept_apart() -> None:
    boxes = np.array([[0, 0, 10, 10], [100, 0, 110, 10], [1, 0, 11, 10], [0, 30, 10, 40]], float)
    points = np.arange(4.0)[:, None, None] * np.ones((4, 4, 2))
    merged = detector.merge(detector.Detections(boxes, points, np.array([0.9, 0.8, 0.6, 0.5])))
    assert merged.scores == pytest.approx([0.9, 0.8, 0.5])
    assert merged.boxes[0] == pytest.approx([0.4, 0, 10.4, 10])
    assert merged.points[0] == pytest.approx(np.full((4, 2), 0.8))
    assert merged.boxes[1:] == pytest.approx(boxes[[1, 3]])


def test_nobody_is_no_detection() -> None:
    found = detector.merge(detector.decode(*tensors({}), ANCHORS))
    assert found.boxes.shape == (0, 4)
    assert found.points.shape == (0, 4, 2)
    assert found.scores.shape == (0,)


def test_a_box_without_area_ends() -> None:
    flat = detector.Detections(np.array([[5.0, 5, 5, 5], [5, 5, 5, 5]]), np.zeros((2, 4, 2)), np.array([0.9, 0.8]))
    assert len(detector.merge(flat).scores) == 2


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1088, 1920), (700, 700), (3, 1000), (1, 1)])
def test_windows_cover_the_image_and_anybody_in_it(width: int, height: int) -> None:
    first, second = detector.windows(width, height)
    assert first[0].side == max(width, height)
    sides = {window.side for window in first}
    assert sides == {max(width, height), min(width, height)}
    for windows, side in ((first, min(width, height)), (second, min(width, height) / 2)):
        edges = np.array([(w.x - w.side / 2, w.y - w.side / 2) for w in windows if w.side == side])
        assert edges.min(0) == pytest.approx([0, 0])
        assert edges.max(0) == pytest.approx([width - side, height - side])
        for axis in (0, 1):  # half a window further there is the next, so what is half as large is whole in one of them
            steps = np.diff(np.unique(edges[:, axis]))
            assert (steps <= side / 2 + 1e-9).all()


def test_people_of_a_window_are_where_they_are_in_the_image_unless_it_cuts_them_off() -> None:
    middle = detector.windows(1120, 2240)[0][2]
    assert (middle.x, middle.y, middle.side) == (560, 1120, 1120)

    def person(hips: tuple[float, float], radius: float) -> np.ndarray:
        return np.array([hips, (hips[0], hips[1] - radius), hips, hips])

    points = np.array([person((112, 112), 60), person((112, 30), 60), person((20, 112), 60), person((112, 190), 20)])
    boxes = np.tile([10.0, 20, 30, 40], (4, 1))
    found = detector.whole_in(detector.Detections(boxes, points, np.array([0.9, 0.8, 0.7, 0.6])), middle, 1120, 2240)
    assert found.scores == pytest.approx([0.9, 0.7, 0.6])  # the second goes on above; the third is cut by the image
    assert found.boxes[0] == pytest.approx([50, 660, 150, 760])
    assert found.points[0] == pytest.approx(np.array([[560, 1120], [560, 820], [560, 1120], [560, 1120]]))


def test_parts_are_put_together_by_score() -> None:
    parts = [
        detector.Detections(np.full((len(scores), 4), scores[0]), np.zeros((len(scores), 4, 2)), np.array(scores))
        for scores in ([0.7, 0.5], [0.9], [0.6])
    ]
    merged = detector.together([*parts, detector.decode(*tensors({}), ANCHORS)])
    assert merged.scores == pytest.approx([0.9, 0.7, 0.6, 0.5])
    assert merged.boxes[:, 0] == pytest.approx([0.9, 0.7, 0.6, 0.7])
