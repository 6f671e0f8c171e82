"""Means over the pixels of a list against scipy's filter."""

import numpy as np
import pytest
from scipy import ndimage

from hgg_pyg.kernels.blur import blur


def by_scipy(colors: np.ndarray, rows: np.ndarray, columns: np.ndarray, sigma: float) -> np.ndarray:
    """The reference, in float64."""
    canvas = np.zeros((rows.max() + 1, columns.max() + 1, 4))
    canvas[rows, columns] = np.concatenate([colors, np.ones((len(rows), 1))], 1)
    means = ndimage.gaussian_filter(canvas, sigma, axes=(0, 1), mode="constant", truncate=2.5)[rows, columns]
    return means[:, :3] / means[:, 3:]


@pytest.mark.parametrize("sigma", [0.0, 0.15, 0.8, 3.0, 11.0, 90.0])
@pytest.mark.parametrize("shape", [(61, 47), (1, 9), (30, 1)])
def test_it_is_scipys_filter(shape: tuple[int, int], sigma: float) -> None:
    rng = np.random.default_rng(0)
    listed = rng.random(shape) < 0.6
    listed[:, shape[1] // 3 : shape[1] // 2] &= rng.random(shape[0])[:, None] < 0.5  # rows in pieces
    listed[shape[0] // 2 : shape[0] // 2 + 4] = shape[0] < 10  # and rows without any
    rows, columns = np.nonzero(listed)
    order = rng.permutation(len(rows))
    rows, columns = rows[order] + 20, columns[order] + 5
    colors = rng.random((len(rows), 3))
    found = blur(colors, rows, columns, sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_scipy(colors, rows, columns, sigma), atol=1e-6)


def test_a_radius_far_beyond_the_image_gives_the_mean_of_all() -> None:
    """As where the camera all but touches the body; the filter is no larger than the image."""
    rows, columns = np.nonzero(np.ones((40, 30), bool))
    colors = np.random.default_rng(1).random((1200, 3))
    np.testing.assert_allclose(blur(colors, rows, columns, 1e9), np.tile(colors.mean(0), (1200, 1)), atol=1e-6)


def test_a_single_pixel_and_none_keep_their_colour() -> None:
    place = np.array([7])
    np.testing.assert_allclose(blur(np.array([[0.1, 0.2, 0.3]]), place, place, 4.0), [[0.1, 0.2, 0.3]], rtol=1e-6)
    assert blur(np.zeros((0, 3)), place[:0], place[:0], 4.0).shape == (0, 3)
