"""Cameras of films: the whole person is in the picture, from the side that was asked for."""

from dataclasses import replace

import pytest
import torch

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.camera import Shot, film_cameras
from hgg_pyg.body import BodyModel
from hgg_pyg.types import Cameras, UserError
from tests.avatar.avatars import small_avatar, some_motion

SIZE = 90, 120


@pytest.fixture(scope="module")
def avatar(body: BodyModel) -> Avatar:
    return small_avatar(body)


@pytest.fixture(scope="module")
def walk() -> Motion:
    """Twelve frames over four metres, turning."""
    motion = some_motion(24, 12)
    way = torch.linspace(0, 4, 12)
    orient = torch.stack([torch.zeros(12), torch.linspace(0, 2, 12), torch.zeros(12)], 1)
    return replace(motion, transl=torch.stack([way, 0 * way, 0.3 * way], 1), global_orient=orient)


def places(avatar: Avatar, motion: Motion, cameras: Cameras) -> torch.Tensor:
    """Where the Gaussians' centres are in the picture of each frame. [T, M, 2] pixels"""
    means = avatar.repose(motion.pose(avatar.betas)).means
    seen = means @ cameras.viewmats[:, :3, :3].mT + cameras.viewmats[:, None, :3, 3]
    assert (seen[..., 2] > 0.1).all()
    return ((seen / seen[..., 2:]) @ cameras.Ks.mT)[..., :2]


@pytest.mark.parametrize("size", [(90, 120), (200, 50), (64, 64)])
@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("orbit", [False, True])
def test_all_of_the_person_is_always_in_the_picture(avatar, walk, size, follow, orbit) -> None:
    found = places(avatar, walk, film_cameras(avatar, walk, Shot(follow=follow, azimuth=30), size, orbit))
    away = (found - torch.tensor(size) / 2).abs() / (torch.tensor(size) / 2)
    assert away.max() <= 1
    assert away.max() > (0.5 if orbit else 0.7)  # and about as large as may be


def test_it_looks_from_the_front_and_what_is_up_is_up(avatar: Avatar) -> None:
    still = replace(some_motion(24, 1), **dict.fromkeys(("global_orient", "transl"), torch.zeros(1, 3)))
    still = replace(still, body_pose=torch.zeros_like(still.body_pose))
    names, joints = avatar.skeleton.names, avatar.skeleton.joints

    def seen(azimuth: float) -> dict[str, torch.Tensor]:
        cameras = film_cameras(avatar, still, Shot(azimuth=azimuth, elevation=0), SIZE)
        torch.testing.assert_close(cameras.viewmats[0, :3, :3].det(), torch.tensor(1.0))
        where = joints @ cameras.viewmats[0, :3, :3].T + cameras.viewmats[0, :3, 3]
        return dict(zip(names, where, strict=True))

    front, left = seen(0), seen(90)
    assert front["left_wrist"][0] - front["right_wrist"][0] > 0.8  # a person's left is on the right of their picture
    assert front["left_ankle"][1] - front["head"][1] > 1  # y points down
    assert left["right_wrist"][2] - left["left_wrist"][2] > 0.8  # the left hand is nearer
    assert left["left_foot"][0] < left["left_ankle"][0]  # who is seen from their left looks to the left


def test_it_looks_down_from_its_elevation(avatar: Avatar, walk: Motion) -> None:
    cameras = film_cameras(avatar, walk, Shot(elevation=30), SIZE)
    assert float(cameras.viewmats[0, 2, 1]) == pytest.approx(-0.5)  # forward points down
    assert torch.equal(cameras.viewmats[0], cameras.viewmats[-1])


def test_an_orbit_is_a_circle(avatar: Avatar) -> None:
    motion = some_motion(24, 40)
    centers = film_cameras(avatar, motion, Shot(turns=-2, azimuth=90, elevation=0), SIZE, orbit=True).centers
    middle = (centers[0] + centers[10]) / 2  # half a turn apart
    arms = centers - middle
    torch.testing.assert_close(arms.norm(dim=1), arms[0].norm().expand(40), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(arms[:, 1], torch.zeros(40), rtol=0, atol=1e-4)
    torch.testing.assert_close(centers[20:], centers[:20], rtol=0, atol=1e-4)
    assert arms[0, 0] > 0.99 * arms[0].norm()
    assert arms[5, 2] > 0.99 * arms[0].norm()  # the other way round: from the left to the front


def test_zoom_is_the_lens(avatar: Avatar, walk: Motion) -> None:
    near, far = (film_cameras(avatar, walk, Shot(zoom=zoom), SIZE) for zoom in (3, 1))
    assert torch.equal(near.viewmats, far.viewmats)
    torch.testing.assert_close(near.Ks[:, 0, 0], 3 * far.Ks[:, 0, 0])
    assert torch.equal(near.Ks[:, :2, 2], far.Ks[:, :2, 2])


def test_a_joint_in_the_middle(avatar: Avatar, walk: Motion) -> None:
    head = avatar.skeleton.names.index("head")
    walk = replace(walk, body_pose=torch.zeros_like(walk.body_pose))
    maps = avatar.skeleton.transforms(walk.pose(avatar.betas))
    joint = avatar.skeleton.joints[head]
    way = maps[:, head, :3, :3] @ joint + maps[:, head, :3, 3] + walk.transl
    for follow, pixels in ((False, 0.01), (True, 2.0)):
        cameras = film_cameras(avatar, walk, Shot(look_at="head", follow=follow), SIZE)
        target = way.mean(0).expand_as(way) if not follow else way
        seen = (cameras.viewmats[:, :3, :3] @ target[..., None])[..., 0] + cameras.viewmats[:, :3, 3]
        off = (seen[:, :2] / seen[:, 2:]) * cameras.Ks[0, 0, 0]
        assert off.abs().max() < pixels
    with pytest.raises(UserError, match=r"--look-at: expected one of pelvis, .*; found 'nose'"):
        film_cameras(avatar, walk, Shot(look_at="nose"), SIZE)


def test_who_goes_along_sees_the_person_larger(avatar: Avatar, walk: Motion) -> None:
    def height(follow: bool) -> float:
        found = places(avatar, walk, film_cameras(avatar, walk, Shot(follow=follow), SIZE))[..., 1]
        return float((found.amax(1) - found.amin(1)).mean())

    assert height(True) > 1.5 * height(False)


def test_a_gaussian_that_has_strayed_does_not_shrink_the_person(avatar: Avatar, walk: Motion) -> None:
    means = avatar.gaussians.means.clone()
    means[0] += 50
    stray = replace(avatar, gaussians=replace(avatar.gaussians, means=means))
    own, its = (film_cameras(each, walk, Shot(), SIZE).centers[0] for each in (avatar, stray))
    assert (own - its).norm() < 1.5


@pytest.mark.parametrize(("name", "value"), [("elevation", 90.0), ("zoom", 0.0), ("azimuth", float("nan"))])
def test_bounds(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Shot\.{name}: expected"):
        Shot(**{name: value})
