"""Squares: upright for the person, exact there and back."""

import math

import numpy as np
import pytest

from hgg_pyg.prepare.landmarks.crop import Square

pytest.importorskip("cv2")


@pytest.mark.parametrize(
    ("reach", "angle"), [((50, 30), 0.0), ((120, 100), math.pi / 2), ((-20, 100), -math.pi / 2), ((50, 170), math.pi)]
)
def test_the_head_is_up_in_the_networks_picture(reach: tuple[float, float], angle: float) -> None:
    hips = np.array([50.0, 100.0])
    square = Square.around(hips, np.array(reach, float), widen=1.25)
    assert square.angle == pytest.approx(angle)
    assert square.side == pytest.approx(2.5 * 70)
    assert square.points_to_image(np.array([128.0, 128.0]), 256) == pytest.approx(hips)
    top = square.points_to_image(np.array([128.0, 128.0 - 128 / 1.25]), 256)
    assert top == pytest.approx(np.array(reach, float))


def test_an_upright_square_of_the_pictures_own_size_is_the_image_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(Square(16, 16, 32).cut(image, 32), image)
    assert np.array_equal(Square(16, 16, 32).paste(image[..., 0], 32, 32), image[..., 0])


def test_outside_of_the_image_is_black() -> None:
    cut = Square(0, 0, 64).cut(np.full((32, 32, 3), 200, np.uint8), 64)
    assert not cut[:31].any()
    assert (cut[33:, 33:] == 200).all()


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.9])
def test_pixels_and_points_go_the_same_way(angle: float) -> None:
    """A spot in the image is where its point says in the picture, and back again: to half a pixel's tenth."""
    y, x = np.mgrid[:300, :400] + 0.5
    image = np.exp(-((x - 210.3) ** 2 + (y - 140.8) ** 2) / (2 * 9.0**2)).astype(np.float32)
    square = Square(200.0, 150.0, 160.0, angle)

    def centre(picture: np.ndarray) -> np.ndarray:
        rows, columns = np.indices(picture.shape) + 0.5
        return np.array([(picture * columns).sum(), (picture * rows).sum()]) / picture.sum()

    cut = square.cut(image, 64)
    assert square.points_to_image(centre(cut), 64) == pytest.approx([210.3, 140.8], abs=0.05)
    assert centre(square.paste(cut, 300, 400)) == pytest.approx([210.3, 140.8], abs=0.05)
