"""The lens: OpenCV's formula, and images read back through it against functions of the undistorted position."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.data.images import Window, read_pixels
from hgg_pyg.data.lens import Lens

FULL = (240, 200)
K = np.array([[210.0, 0, 123], [0, 214, 97], [0, 0, 1]])
ZJU_LIKE = np.array([-0.17, 0.05, 1.3e-3, -0.8e-3, -0.02])
STRONG = np.array([0.2, -0.08, -4e-3, 5e-3, 0.01])  # the other way


def centres(size: tuple[int, int], window: Window) -> np.ndarray:
    """Places of a result's pixel centres. [H, W, 2]"""
    x = window.left + (np.arange(size[0]) + 0.5) * window.width / size[0]
    y = window.top + (np.arange(size[1]) + 0.5) * window.height / size[1]
    return np.stack(np.meshgrid(x, y), -1)


def undistort(lens: Lens, points: np.ndarray) -> np.ndarray:
    """The inverse of `distort`, by Newton's method with derivatives by differences."""
    found = points.copy()
    for _ in range(30):
        wrong = lens.distort(found) - points
        across, down = np.array([1e-4, 0]), np.array([0, 1e-4])
        dx = (lens.distort(found + across) - lens.distort(found - across)) / 2e-4
        dy = (lens.distort(found + down) - lens.distort(found - down)) / 2e-4
        determinant = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
        change_x = (wrong[..., 0] * dy[..., 1] - wrong[..., 1] * dy[..., 0]) / determinant
        change_y = (dx[..., 0] * wrong[..., 1] - dx[..., 1] * wrong[..., 0]) / determinant
        found = found - np.stack([change_x, change_y], -1)
    assert abs(lens.distort(found) - points).max() < 1e-8
    return found


def colours(places: np.ndarray) -> np.ndarray:
    """Smooth colours in [0.1, 0.9] by the place in an undistorted image. [..., 2] -> [..., 3]"""
    x, y = places[..., 0], places[..., 1]
    waves = [np.sin(x / 13) * np.cos(y / 17), np.sin((x + 2 * y) / 23), np.cos((x - y) / 19)]
    return 0.5 + 0.4 * np.stack(waves, -1)


def photograph(path: Path, lens: Lens, full: tuple[int, int], seen: Callable[[np.ndarray], np.ndarray]) -> Path:
    """What a camera with this lens stores of a scene that is a function of the undistorted place; 8 bits."""
    values = seen(undistort(lens, centres(full, Window(0, 0, *full))))
    Image.fromarray(np.round(255 * values).astype(np.uint8)).save(path)
    return path


def inside(lens: Lens, places: np.ndarray, full: tuple[int, int], margin: float = 1) -> np.ndarray:
    bent = lens.distort(places)
    return ((bent > margin) & (bent < np.array(full) - margin)).all(-1)


def test_distort_is_opencvs_formula_term_by_term():
    plain = np.array([[2.0, 0, 0], [0, 3.0, 0], [0, 0, 1]])
    point = np.array([2 * 0.5, 3 * 0.25])  # x = 0.5, y = 0.25, r^2 = 0.3125
    square = 0.3125
    expected = {
        0: (0.5 * square, 0.25 * square),
        1: (0.5 * square**2, 0.25 * square**2),
        2: (2 * 0.5 * 0.25, square + 2 * 0.25**2),
        3: (square + 2 * 0.5**2, 2 * 0.5 * 0.25),
        4: (0.5 * square**3, 0.25 * square**3),
    }
    for place, (x, y) in expected.items():
        coefficients = np.zeros(5)
        coefficients[place] = 0.1
        moved = Lens(plain, coefficients).distort(point) - point
        np.testing.assert_allclose(moved, [2 * 0.1 * x, 3 * 0.1 * y], atol=1e-15)
    assert Lens(plain, np.zeros(5)).distort(np.zeros((4, 7, 2))).shape == (4, 7, 2)


@pytest.mark.parametrize("coefficients", [ZJU_LIKE, STRONG])
@pytest.mark.parametrize("window", [None, Window(31.25, 17.5, 140.5, 150.75)], ids=["whole", "part"])
@pytest.mark.parametrize("scale", [1.0, 1.7, 0.7, 0.5, 0.31], ids=lambda scale: f"x{scale}")
def test_an_image_taken_through_a_lens_is_read_back(tmp_path, coefficients, window, scale):
    lens = Lens(K, coefficients)
    path = photograph(tmp_path / "a.png", lens, FULL, colours)
    part = window or Window(0, 0, *FULL)
    size = round(part.width * scale), round(part.height * scale)
    found = read_pixels(path, "RGB", FULL, size, window, lens)
    assert (found.shape, found.dtype) == ((size[1], size[0], 3), np.float32)
    places = centres(size, part)
    # Rounding to 8 bits, linear interpolation (h^2 / 8 per axis at most), and means over pixels and blocks
    area = max(1, 1 / scale) ** 2
    allowed = 0.5 / 255 + 2 * 0.4 / 13**2 * (1 / 8 + area / 8)
    # Within two pixels of the file's edge a mean may take in what lies outside
    good = inside(lens, places, FULL, 2 * max(1, 1 / scale))
    assert good.mean() > 0.8
    assert abs(found - colours(places))[good].max() < allowed


def test_the_right_places_are_looked_up_and_not_their_neighbours(tmp_path):
    lens = Lens(K, ZJU_LIKE)
    path = photograph(tmp_path / "a.png", lens, FULL, colours)
    found = read_pixels(path, "RGB", FULL, FULL, None, lens)
    places = centres(FULL, Window(0, 0, *FULL))
    good = inside(lens, places, FULL)
    error = np.sqrt(((found - colours(places))[good] ** 2).mean())
    for shift in ([0.25, 0], [0, 0.25], [-0.25, 0], [0, -0.25]):
        assert np.sqrt(((found - colours(places + shift))[good] ** 2).mean()) > 3 * error
    bent = read_pixels(path, "RGB", FULL, FULL)
    assert np.sqrt(((bent - colours(places))[good] ** 2).mean()) > 20 * error


def test_the_kernel_looks_up_where_distort_says():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (FULL[1], FULL[0], 3), np.uint8)
    window, size = Window(-20, -14.5, 290, 240), (97, 83)
    for coefficients in (ZJU_LIKE, STRONG):
        lens = Lens(K, coefficients)
        found = lens.look_up(pixels, FULL, (window.left, window.top, window.width, window.height), size, 1)
        at = lens.distort(centres(size, window))
        within = ((at >= 0) & (at <= FULL)).all(-1)
        x, y = np.moveaxis(np.clip(at - 0.5, 0, np.array(FULL) - 1), -1, 0)
        column, row = np.minimum(x.astype(int), FULL[0] - 2), np.minimum(y.astype(int), FULL[1] - 2)
        a, b = (x - column)[..., None], (y - row)[..., None]
        upper = pixels[row, column] * (1 - a) + pixels[row, column + 1] * a
        lower = pixels[row + 1, column] * (1 - a) + pixels[row + 1, column + 1] * a
        expected = np.where(within[..., None], upper * (1 - b) + lower * b, 0)
        assert 0.5 < within.mean() < 0.95
        np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("mode", ["RGB", "L", "labels"])
@pytest.mark.parametrize("size", [FULL, (120, 100), (77, 60), (300, 250)])
def test_no_distortion_is_no_lens(tmp_path, mode, size):
    rng = np.random.default_rng(1)
    path = tmp_path / "a.png"
    Image.fromarray(rng.integers(0, 2, (FULL[1], FULL[0], 3), np.uint8) * 255).save(path)
    window = Window(10, 20, 150, 130)
    straight = read_pixels(path, mode, FULL, size, window)
    np.testing.assert_array_equal(read_pixels(path, mode, FULL, size, window, Lens(K, np.zeros(5))), straight)


@pytest.mark.parametrize("size", [FULL, (120, 100), (60, 50)])
def test_hardly_any_distortion_is_hardly_another_image(tmp_path, size):
    path = photograph(tmp_path / "a.png", Lens(K, np.zeros(5)), FULL, colours)
    found = read_pixels(path, "RGB", FULL, size, None, Lens(K, np.full(5, 1e-9)))
    np.testing.assert_allclose(found, read_pixels(path, "RGB", FULL, size), atol=2e-3)


def test_an_image_squeezed_along_one_axis_is_smoothed_along_it(tmp_path):
    lens = Lens(K, ZJU_LIKE)
    path = photograph(tmp_path / "a.png", lens, FULL, lambda at: np.stack([0.5 + 0.4 * np.sin(at[..., 0])] * 3, -1))
    found = read_pixels(path, "RGB", FULL, (12, 200), Window(30, 0, 180, 200), lens)
    assert abs(found[40:160] - 0.5).max() < 0.06  # waves of 2 pi pixels vanish in means over 15


def test_labels_are_thresholded_before_they_are_looked_up(tmp_path):
    lens = Lens(K, ZJU_LIKE)
    places = undistort(lens, centres(FULL, Window(0, 0, *FULL)))
    person = ((places - [120, 100]) ** 2).sum(-1) < 60**2
    Image.fromarray(np.where(person, 3, 0).astype(np.uint8)).save(tmp_path / "a.png")
    found = read_pixels(tmp_path / "a.png", "labels", FULL, (120, 100), None, lens)
    assert found.max() == pytest.approx(1, abs=1e-6)
    distance = np.sqrt(((centres((120, 100), Window(0, 0, *FULL)) - [120, 100]) ** 2).sum(-1))
    np.testing.assert_allclose(found[distance < 56], 1, atol=1e-6)
    assert (found[distance > 64] == 0).all()
    assert found.sum() * 4 == pytest.approx(np.pi * 60**2, rel=0.003)


def test_a_lens_that_turns_back_shows_nothing_twice():
    lens = Lens(K, np.array([-0.4, 0, 0, 0, 0]))
    assert lens.fold() == pytest.approx(1 / 1.2)
    beyond = np.array([K[0, 2] + K[0, 0] / np.sqrt(0.4), K[1, 2]])  # the formula brings it back to the centre
    np.testing.assert_allclose(lens.distort(beyond), K[:2, 2], atol=1e-9)
    white = np.full((FULL[1], FULL[0], 1), 255, np.uint8)
    assert (lens.look_up(white, FULL, (beyond[0] - 4, beyond[1] - 4, 8, 8), (8, 8), 1) == 0).all()
    np.testing.assert_allclose(lens.look_up(white, FULL, (K[0, 2] - 4, K[1, 2] - 4, 8, 8), (8, 8), 1), 255, rtol=1e-6)
    assert Lens(K, np.array([0.1, 0, 0, 0, 0])).fold() == np.inf


@pytest.mark.parametrize("full", [(1, 40), (40, 1), (1, 1), (2, 2)])
def test_images_without_neighbours(full):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (full[1], full[0], 1), np.uint8)
    lens = Lens(np.array([[30.0, 0, full[0] / 2], [0, 30.0, full[1] / 2], [0, 0, 1]]), np.full(5, 1e-7))
    found = lens.look_up(pixels, full, (0, 0, *full), full, 1)
    np.testing.assert_allclose(found, pixels, atol=0.01)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"distortion \[5\], found \(3, 3\), \(5, 1\)"):
        Lens(K, np.zeros((5, 1)))
