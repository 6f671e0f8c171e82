"""The kernels that look at images give what drawing and differentiating by autograd gives."""

from dataclasses import replace

import pytest
import torch

from hgg_pyg.model.poses import fast_look
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.model.poses.pulls import compare_by_autograd, soft_points
from hgg_pyg.types import Cameras

FRAMES, VIEWS = 2, 3


def scene(count, size, spread=0.4, sigma=0.03):
    """Points around a place two metres before cameras that are turned a little, and noise for images."""
    generator = torch.Generator().manual_seed(count)
    draw = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    means = spread * (2 * draw(FRAMES, count, 3) - 1) + torch.tensor([0, 0, 2.0])
    viewmats = torch.eye(4).repeat(FRAMES, VIEWS, 1, 1)
    viewmats[..., :3, :3] = torch.linalg.matrix_exp(
        torch.tensor([[0.0, 0.3, 0.2], [-0.3, 0.0, 0.1], [-0.2, -0.1, 0.0]]) * torch.arange(VIEWS)[:, None, None] / 2
    )
    width, height = size
    K = torch.tensor([[1.2 * width, 0, width / 2], [0, 1.1 * width, height / 2 + 2], [0, 0, 1]])
    cameras = Cameras(viewmats, K.expand(FRAMES, VIEWS, 3, 3), width, height)
    images = PoseImages(
        cameras, draw(FRAMES, VIEWS, height, width, 3), (draw(FRAMES, VIEWS, height, width, 1) - 0.5).clamp_min(0) * 2
    )
    points = soft_points(means, sigma * (0.5 + draw(count)), draw(count, 3))
    return points, images, 50 + 10 * draw(FRAMES, VIEWS)


def check(points, images, zoom):
    expected, found = compare_by_autograd(points, images, zoom), fast_look.compare(points, images, zoom)
    for name, a, b in zip(("places", "channels"), found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        # Each channel by its own size, since steepness is in thousands.
        size = b.abs().flatten(0, -2).amax(0).clamp_min(1e-6)
        assert ((a - b).abs().flatten(0, -2).amax(0) <= 2e-5 * size).all(), name
    return found


@pytest.mark.parametrize(
    ("count", "size"),
    [(400, (48, 48)), (30, (20, 37)), (900, (16, 16)), (1, (40, 3))],
    ids=["a square", "no whole tiles", "hundreds in a tile", "one point"],
)
def test_kernels_give_what_autograd_gives(count, size):
    of_places, of_channels = check(*scene(count, size))
    assert of_places.any()
    assert of_channels[..., 3].any()


def test_points_that_are_large_near_or_beside_and_behind_the_camera():
    # Large ones reach over many tiles; the Jacobian of those beside the image is held at its margin
    points, images, zoom = scene(200, (64, 64), spread=2.5, sigma=0.3)
    assert (points.means[..., 2] < 0).any()
    check(points, images, zoom)


def test_pixels_that_are_full_hide_what_is_behind():
    points, images, zoom = scene(300, (32, 32), spread=0.1, sigma=0.1)
    _, of_channels = check(points, images, zoom)
    assert (of_channels[..., 3] == 0).float().mean() > 0.05


def test_where_nothing_is_seen_nothing_is_told():
    points, images, zoom = scene(20, (16, 16))
    away = replace(points, means=points.means - torch.tensor([0, 0, 5.0]))
    for found in check(away, images, zoom):
        assert not found.any()


def test_numbers_that_are_none_are_refused():
    points, images, zoom = scene(3, (16, 16))
    points.means[0, 1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"Gaussians.means holds 1 NaN"):
        fast_look.compare(points, images, zoom)
