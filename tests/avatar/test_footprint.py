"""How wide Gaussians are drawn: no gaps where a camera is near, nothing finer than a pixel where it is far."""

import pytest
import torch

from hgg_pyg.avatar import Seen
from hgg_pyg.avatar.footprint import footprint
from hgg_pyg.render import EPS2D, render
from hgg_pyg.types import Cameras, Gaussians

SEEN = Seen(focal=200.0, distance=2.5)


@pytest.mark.parametrize(
    ("focal", "distance", "expected"),
    [
        (200.0, 2.5, 0.3),  # as it was seen
        (800.0, 2.5, 4.8),  # four times as large
        (200.0, 1.25, 1.2),  # twice as near
        (400.0, 5.0, 0.3),  # larger and as much farther
        (100.0, 2.5, 0.3),  # smaller: a pixel stays a pixel
    ],
)
def test_it_grows_with_the_square_of_the_zoom(focal: float, distance: float, expected: float) -> None:
    assert footprint(SEEN, focal, distance) == pytest.approx(expected)


def test_sharpness_divides_the_width_but_not_below_a_pixel() -> None:
    assert footprint(SEEN, 800.0, 2.5, sharpness=2.0) == pytest.approx(1.2)
    assert footprint(SEEN, 800.0, 2.5, sharpness=100.0) == pytest.approx(EPS2D)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_mean_nothing(wrong: float) -> None:
    for numbers in ((wrong, 1.0, 1.0), (1.0, wrong, 1.0), (1.0, 1.0, wrong)):
        with pytest.raises(ValueError, match="footprint: expected"):
            footprint(SEEN, *numbers)


def test_a_closed_sheet_stays_closed_when_it_is_zoomed_into() -> None:
    """A Gaussian a pixel, of next to no size: closed as it was seen, specks at four times that without the blur."""
    places = (torch.arange(40) - 19.5) * 2.5 / 200.0
    x, y = torch.meshgrid(places, places, indexing="xy")
    count = x.numel()
    sheet = Gaussians(
        means=torch.stack([x.flatten(), y.flatten(), torch.full((count,), 2.5)], -1),
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales=torch.full((count, 3), 1e-3),
        opacities=torch.full((count,), 0.9),
        colors=torch.zeros(count, 3),
    )

    def least_alpha(focal: float, eps2d: float) -> float:
        K = torch.tensor([[focal, 0, 32], [0, focal, 32], [0, 0, 1]])
        alpha = render(sheet, Cameras(torch.eye(4)[None], K[None], 64, 64), eps2d=eps2d).alpha
        return float(alpha[0, 24:40, 24:40].min())

    assert least_alpha(200.0, EPS2D) > 0.85
    assert least_alpha(800.0, EPS2D) < 0.1
    assert least_alpha(800.0, footprint(SEEN, 800.0, 2.5)) > 0.85
