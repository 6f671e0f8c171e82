"""The page of an avatar: its scene, what its controls do, and that a browser shows what our renderer does."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

pytest.importorskip("viser")

from hgg_pyg.avatar import Avatar
from hgg_pyg.avatar.footprint import footprint
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.render import render
from hgg_pyg.types import Cameras
from hgg_pyg.view import ViewConfig, open_page
from hgg_pyg.viewing.avatar_page import REST, AvatarPage
from hgg_pyg.viewing.eyes import Eyes
from hgg_pyg.viewing.server import close_server
from tests.avatar.avatars import small_avatar
from tests.chromium import open_chromium
from tests.viewing.browser import OpenPage, open_in
from tests.viewing.scene import node, shown


@pytest.fixture(scope="module")
def avatar(body) -> Avatar:
    return small_avatar(body, 2000)


@pytest.fixture
def page(avatar, tmp_path) -> Iterator[AvatarPage]:
    """One that is drawn when told to, at a port that is free."""
    avatar.save(tmp_path / "somebody.avatar")
    server, page = open_page(ViewConfig(tmp_path / "somebody.avatar", port=0))
    assert isinstance(page, AvatarPage)
    page.draw()
    yield page
    page.close()
    close_server(server)


def centers(page: AvatarPage) -> np.ndarray:
    """What the browser is sent, in metres. [M, 3]"""
    handle = node(page, "/avatar/gaussians")
    return handle.centers * handle.scale


def test_layers_are_switched_on_and_off(page):
    assert {"/avatar/gaussians", "/ground"} <= shown(page)
    assert "/avatar/skeleton" not in shown(page)
    page.gaussians.value, page.skeleton.value, page.ground.value = False, True, False
    page.draw()
    assert "/avatar/skeleton" in shown(page)
    assert not {"/avatar/gaussians", "/ground"} & shown(page)


def test_the_gaussians_are_the_posed_avatar_s(page, avatar):
    page.motion.value = "captured"
    page.timeline.frame.value = 3
    page.draw()
    motion = avatar.motion("captured")
    expected = avatar.repose(motion.pose(avatar.betas)[[3]])[0]
    np.testing.assert_allclose(centers(page), expected.means, atol=1e-5)


def test_a_slider_turns_what_follows_its_joint(page, avatar):
    before = centers(page).copy()
    page.joints.sliders["left_elbow"][1].value = 90.0
    page.draw()
    elbow = avatar.skeleton.names.index("left_elbow")
    wrist = avatar.skeleton.names.index("left_wrist")
    lower = (avatar.weights[:, elbow] > 0.9999)[avatar.binding].numpy()
    still = (avatar.weights[:, [elbow, wrist, wrist + 2]].sum(1) == 0)[avatar.binding].numpy()
    assert lower.any()
    np.testing.assert_allclose(centers(page)[still], before[still], atol=1e-6)
    turn = rotation_matrices(torch.tensor([0.0, np.pi / 2, 0.0])).numpy()
    pivot = avatar.skeleton.joints[elbow].numpy() + before.mean(0) - avatar.gaussians.means.mean(0).numpy()
    np.testing.assert_allclose(centers(page)[lower], (before[lower] - pivot) @ turn.T + pivot, atol=1e-4)
    page.joints.reset()
    page.draw()
    np.testing.assert_allclose(centers(page), before, atol=1e-6)


def test_a_motion_plays_and_another_begins_at_its_first_frame(page):
    assert page.draw() is False
    page.motion.value = "walk"
    page.timeline.play.value = True
    page.timeline._since -= 0.35  # as if so many seconds had passed
    assert page.draw() is True
    assert page.timeline.frame.value in range(10, 16)
    page.motion.value = REST
    assert page.draw() is False
    assert page.timeline.frame.value == 0


def test_footprints_grow_for_those_who_are_near_and_far(page, monkeypatch):
    def area() -> np.ndarray:
        handle = node(page, "/avatar/gaussians")
        return np.linalg.det(handle.covariances.astype(np.float64) * handle.scale**2)

    monkeypatch.setattr(Eyes, "pixel", 1e-4)  # near: the blur of the images that it was made of
    page.draw()
    made = 3.0 / 300.0
    scales = page.avatar.gaussians.scales.double().numpy() ** 2
    expected = np.prod(scales + 0.3 * (made**2 - 1e-8), 1)
    np.testing.assert_allclose(area(), expected, rtol=0.05)
    monkeypatch.setattr(Eyes, "pixel", 0.03)  # far: a person of 60 pixels
    page.draw()
    handle = node(page, "/avatar/gaussians")
    footprints = np.linalg.eigvalsh(handle.covariances.astype(np.float64) * handle.scale**2) / 0.03**2 + 0.3
    kept = handle.opacities[:, 0] / 255 * footprints[:, 0] * footprints[:, 1] >= 0.25
    assert (kept | (handle.opacities[:, 0] < 5)).all()


@pytest.mark.slow
def test_a_browser_shows_what_our_renderer_does(page, avatar):
    page.ground.value = False
    page.joints.sliders["left_shoulder"][2].value = -70.0
    page.joints.sliders["pelvis"][1].value = 40.0
    page.start()
    with open_chromium() as browser, open_in(browser, page.server) as opened:
        seen = opened.picture()
        ours = our_picture(page, opened)
        page.joints.reset()
        unmoved = our_picture(page, opened)
        assert opened.errors == []
        assert opened.asked_elsewhere == []
    assert overlap(seen[..., 3] / 255, ours[..., 3]) > 0.9
    assert overlap(seen[..., 3] / 255, unmoved[..., 3]) < 0.8
    both = (seen[..., 3] > 127) & (ours[..., 3] > 0.5)
    colors = seen[..., :3] / 255 * (seen[..., 3:] / 255)
    assert np.abs(colors - ours[..., :3])[both].mean() < 0.06


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of what is more opaque than not."""
    return (np.minimum(one, other) > 0.5).sum() / (np.maximum(one, other) > 0.5).sum()


def our_picture(page: AvatarPage, opened: OpenPage) -> np.ndarray:
    """The avatar as our renderer draws it for the camera of a browser, on black. [H, W, 4] in [0, 1]"""
    camera = opened.client.camera
    height, width = camera.image_height, camera.image_width
    focal = height / 2 / np.tan(camera.fov / 2)
    viewmat = np.linalg.inv(camera_to_world(camera.wxyz, camera.position))
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    cameras = Cameras(torch.tensor(viewmat)[None].float(), torch.tensor(K)[None].float(), width, height)
    eps2d = footprint(page.avatar.seen, focal, focal * page.eyes.pixel)
    out = render(page.avatar.repose(page.pose)[0], cameras, torch.zeros(3), eps2d=eps2d)
    return torch.cat([out.rgb, out.alpha], -1)[0].numpy()


def camera_to_world(wxyz: np.ndarray, position: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
    matrix[:3, 3] = position
    return matrix
