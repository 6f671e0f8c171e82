"""The nearest chosen pixel against scipy's transform and against all distances."""

import numpy as np
import pytest
from scipy import ndimage

from hgg_pyg.kernels.nearest_pixel import nearest_pixels


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.97])
@pytest.mark.parametrize("shape", [(40, 31), (1, 50), (50, 1)])
def test_it_is_scipys(shape: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        chosen = rng.random(shape) < share
        chosen[rng.integers(shape[0]), rng.integers(shape[1])] = True
        rows, columns = np.nonzero(rng.random(shape) < 0.7)
        distances = np.asarray(ndimage.distance_transform_edt(~chosen))
        to = np.asarray(ndimage.distance_transform_edt(~chosen, return_distances=False, return_indices=True))
        found, away = nearest_pixels(chosen, rows, columns)
        np.testing.assert_array_equal(away, distances[rows, columns])
        np.testing.assert_array_equal(found, (to[0] * shape[1] + to[1])[rows, columns])  # ties included


def test_of_equally_near_pixels_it_is_the_leftmost_and_of_these_the_highest() -> None:
    rng = np.random.default_rng(1)
    rows, columns = (grid.ravel() for grid in np.indices((12, 12)))
    ties = 0
    for _ in range(30):
        chosen = rng.random((12, 12)) < 0.05
        chosen[3, 3] = True
        to_columns, to_rows = np.nonzero(chosen.T)  # in the order of preference
        squares = (rows[:, None] - to_rows) ** 2 + (columns[:, None] - to_columns) ** 2
        nearest = squares.argmin(1)
        ties += ((squares == squares.min(1, keepdims=True)).sum(1) > 1).sum()
        found, _ = nearest_pixels(chosen, rows, columns)
        np.testing.assert_array_equal(found, to_rows[nearest] * 12 + to_columns[nearest])
    assert ties > 100


def test_none_is_chosen_and_none_is_asked_for() -> None:
    found, away = nearest_pixels(np.zeros((5, 7), bool), np.array([0, 4]), np.array([6, 2]))
    assert found.tolist() == [-1, -1]
    assert np.isinf(away).all()
    nothing = np.zeros(0, np.int64)
    assert len(nearest_pixels(np.ones((5, 7), bool), nothing, nothing)[0]) == 0
