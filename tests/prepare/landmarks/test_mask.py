"""Masks: edges where the image has them, and nobody else's parts."""

import numpy as np
import pytest

from hgg_pyg.prepare.landmarks.crop import Square
from hgg_pyg.prepare.landmarks.mask import full_size_mask, guided_filter, own_parts

cv2 = pytest.importorskip("cv2")


def plain_filter(guide: np.ndarray, mask: np.ndarray, radius: int, flat: float) -> np.ndarray:
    """He et al.'s equations (14) to (16), window by window."""
    height, width = mask.shape
    turned = np.pad(np.arange(height), radius, mode="symmetric"), np.pad(np.arange(width), radius, mode="symmetric")
    slopes, offsets = np.zeros((height, width, 3)), np.zeros((height, width))

    def windows(values: np.ndarray):
        wide = values[turned[0]][:, turned[1]]
        return [[wide[y : y + 2 * radius + 1, x : x + 2 * radius + 1] for x in range(width)] for y in range(height)]

    for y, (row_guide, row_mask) in enumerate(zip(windows(guide), windows(mask), strict=True)):
        for x, (colours, values) in enumerate(zip(row_guide, row_mask, strict=True)):
            colours, values = colours.reshape(-1, 3).astype(np.float64), values.ravel()
            covariance = np.cov(colours.T, bias=True) + flat * np.eye(3)
            against = (colours * values[:, None]).mean(0) - colours.mean(0) * values.mean()
            slopes[y, x] = np.linalg.solve(covariance, against)
            offsets[y, x] = values.mean() - slopes[y, x] @ colours.mean(0)
    a, b = windows(slopes), windows(offsets)
    return np.array(
        [[a[y][x].mean((0, 1)) @ guide[y, x] + b[y][x].mean() for x in range(width)] for y in range(height)]
    )


def test_the_filter_is_the_papers() -> None:
    random = np.random.default_rng(0)
    guide = random.random((14, 17, 3), dtype=np.float32)
    mask = (random.random((14, 17)) > 0.4).astype(np.float32)
    fast = guided_filter(guide, mask, radius=2, flat=0.01)
    assert fast == pytest.approx(plain_filter(guide, mask, 2, 0.01), abs=1e-4)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A person of one colour on a ground of others, and where the person is: a body with a hole and a slanted side."""
    y, x = np.mgrid[:480, :400]
    inside = (x > 120 + y // 8) & (x < 300) & (y > 60) & (y < 420)
    inside &= ~((x > 225) & (x < 245) & (y > 200) & (y < 260))
    image = np.where(inside[..., None], [200, 120, 90], [60, 80, 110]).astype(np.float64)
    image += np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), inside


def test_edges_move_to_the_images() -> None:
    image, inside = scene()
    square = Square(200, 240, 512, 0.3)
    shifted = np.roll(inside, (3, -4), (0, 1)).astype(np.float32)
    coarse = cv2.GaussianBlur(square.cut(shifted, 64), (0, 0), 0.7)  # one pixel of it are eight of the image
    before = ((square.paste(coarse, 480, 400) > 0.5) != inside).sum()
    mask = full_size_mask(coarse, square, image)
    assert ((mask > 127) != inside).sum() < before / 3
    assert mask[230, 235] < 30  # the hole is kept
    assert ((mask > 20) & (mask < 235)).sum() > 0  # edges are soft
    assert not mask[:30].any()
    assert mask[100:160, 190:270].min() > 250


def test_an_empty_mask_stays_empty() -> None:
    image, _ = scene()
    mask = full_size_mask(np.full((64, 64), 0.4, np.float32), Square(200, 240, 512), image)
    assert mask.shape == (480, 400)
    assert not mask.any()


@pytest.mark.parametrize(
    "square", [Square(0, 0, 300), Square(399, 479, 900, 2.0), Square(200, 240, 20), Square(5, 5, 0)]
)
def test_squares_beyond_the_image_and_tiny_ones_end(square: Square) -> None:
    image, _ = scene()
    mask = full_size_mask(np.ones((64, 64), np.float32), square, image)
    assert mask.shape == (480, 400)
    assert mask.dtype == np.uint8


def test_parts_of_others_go_and_own_ones_stay() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[10:50, 20:40] = 0.9  # the body
    mask[10:20, 44:48] = 0.8  # a hand with a landmark
    mask[40:60, 50:60] = 0.9  # somebody else
    mask[39, 50:60] = 0.3  # and their soft edge
    mask[9, 20:40] = 0.4  # the person's own
    points = np.array([[30.0, 30.0, 0.9], [46.0, 22.0, 0.9], [55.0, 50.0, 0.1], [-500.0, 9000.0, 1.0]])
    own = own_parts(mask, points)
    assert (own[:39, :48] == mask[:39, :48]).all()
    assert not own[36:, 50:].any()


def test_a_mask_of_one_part_or_none_is_left_alone() -> None:
    for mask in (np.zeros((8, 8), np.float32), np.eye(8, dtype=np.float32)):
        assert np.array_equal(own_parts(mask, np.zeros((0, 3))), mask)
