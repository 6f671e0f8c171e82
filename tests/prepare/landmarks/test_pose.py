"""Landmarks out of the network's tensors."""

import numpy as np
import pytest

from hgg_pyg.prepare.landmarks import pose


def test_a_landmark_is_where_it_says_and_as_visible() -> None:
    raw = np.array([10.0, 20.0, 5.0, 2.0, 9.0, 250.0, 3.0, 0.0, -1e5, 0.0], np.float32)
    points = pose.decode(raw)
    assert points == pytest.approx(np.array([[10, 20, 1 / (1 + np.exp(-2))], [250, 3, 0]]), abs=1e-6)


def heat_at(column: int, row: int, spread: float = 1.0) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    peak = 12 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * spread**2)) - 6
    return peak[..., None].astype(np.float32)


def test_a_landmark_moves_to_the_peak_nearby() -> None:
    refined = pose.refine(np.array([[83.0, 121.0, 0.9]]), heat_at(21, 30))
    assert refined == pytest.approx(np.array([[84.0, 120.0, 0.9]]), abs=0.2)


@pytest.mark.parametrize("point", [(20.0, 200.0), (-3.0, 50.0), (256.0, 256.0)])
def test_a_landmark_without_a_peak_nearby_stays(point: tuple[float, float]) -> None:
    points = np.array([[*point, 0.9]])
    assert np.array_equal(pose.refine(points, heat_at(40, 10)), points)


def test_the_edge_of_the_heat_map_is_no_special_case() -> None:
    refined = pose.refine(np.array([[2.0, 254.0, 0.9]]), heat_at(0, 63))
    assert np.isfinite(refined).all()
    assert refined[0, :2] == pytest.approx([0.0, 252.0], abs=4)
