"""What LGM's augmentation changes, and what it leaves."""

import math

import numpy as np
import pytest
import torch

from hgg_pyg.backbones.lgm.augment import AugmentConfig, augment, distort_grid, jitter_cameras
from hgg_pyg.types import Cameras


def cameras_about_the_origin(count: int = 4) -> Cameras:
    viewmats = torch.eye(4).repeat(count, 1, 1)
    for view in range(count):
        angle = view * math.pi / 2
        c, s = math.cos(angle), math.sin(angle)
        viewmats[view, :3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        viewmats[view, 2, 3] = 1.5
    K = torch.tensor([[70.0, 0, 32], [0, 70, 32], [0, 0, 1]])
    return Cameras(viewmats, K.repeat(count, 1, 1), 64, 64)


def test_jittered_cameras_stay_on_their_sphere_and_see_the_origin_where_it_was() -> None:
    cameras = cameras_about_the_origin()
    moved = jitter_cameras(cameras, np.random.default_rng(0))
    torch.testing.assert_close(moved.viewmats[:, :3, 3], cameras.viewmats[:, :3, 3])
    torch.testing.assert_close(moved.centers.norm(dim=-1), torch.full((4,), 1.5))
    rotations = moved.viewmats[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(4, 3, 3))
    cosine = (moved.centers * cameras.centers).sum(-1) / 1.5**2
    angles = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    assert (angles > 0.1).all()
    assert (angles < 18 * 1.2).all()


def test_a_distorted_grid_moves_a_little_and_keeps_the_border() -> None:
    x, y = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="xy")
    images = torch.stack([x, y, x + y], -1).expand(3, -1, -1, -1) / 64
    bent = distort_grid(images, np.random.default_rng(0))
    moved = (bent - images)[:, 1:-1, 1:-1, :2] * 64
    assert moved.abs().max() < 64 / 7 * 0.25 + 0.1  # a quarter of the widest gap, in pixels
    assert moved.abs().mean() > 0.2
    assert (bent.diff(dim=2)[..., 0] >= -1e-6).all()  # columns keep their order
    torch.testing.assert_close(bent[:, :, :, 0], bent[:, :1, :, 0].expand(-1, 64, -1))  # whole columns move
    assert not torch.equal(bent[0], bent[1])
    torch.testing.assert_close(distort_grid(images, np.random.default_rng(0), strength=0), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("distort", "jitter"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_the_first_view_stays_and_chances_are_kept(distort: float, jitter: float) -> None:
    images, cameras = torch.rand(4, 64, 64, 3), cameras_about_the_origin()
    found, moved = augment(images, cameras, AugmentConfig(distort, jitter), np.random.default_rng(1))
    assert torch.equal(found[0], images[0])
    assert torch.equal(moved.viewmats[0], cameras.viewmats[0])
    assert torch.equal(found, images) == (distort == 0)
    assert torch.equal(moved.viewmats, cameras.viewmats) == (jitter == 0)


def test_shares_are_shares() -> None:
    with pytest.raises(ValueError, match=r"AugmentConfig.jitter: expected at most 1, found 2"):
        AugmentConfig(jitter=2)
