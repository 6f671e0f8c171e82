"""Where the drawn views are: cameras around the person, and what the posed body says of them."""

import math

import pytest
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.multiview.cameras import (
    FAR,
    Placement,
    angles_between,
    crop_to,
    orthographic_cameras,
    pinhole_cameras,
    place_person,
)
from hgg_pyg.multiview.posed_body import draw_body, facing
from hgg_pyg.multiview.views import QUARTERS
from hgg_pyg.types import BodyPose, Cameras

UP = torch.tensor([0.0, 1.0, 0.0])


def camera_at(x: float, y: float, z: float, size: int = 64, focal: float = 80.0, shift: float = 0.0) -> Cameras:
    """At a place, looking along -z, upright; the principal point off the middle."""
    viewmat = torch.eye(4)
    viewmat[:3, :3] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    viewmat[:3, 3] = -viewmat[:3, :3] @ torch.tensor([x, y, z], dtype=torch.float32)
    K = torch.tensor([[focal, 0, size / 2 + shift], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], size, size)


def project(cameras: Cameras, points: torch.Tensor) -> torch.Tensor:
    """[n, 3] -> [V, n, 2] pixels"""
    seen = torch.einsum("vij,nj->vni", cameras.viewmats[:, :3, :3], points) + cameras.viewmats[:, None, :3, 3]
    pixels = torch.einsum("vij,vnj->vni", cameras.Ks, seen)
    return pixels[..., :2] / pixels[..., 2:]


def test_orthographic_stand_ins_see_what_parallel_rays_see() -> None:
    """By the table of the views: at azimuth 0, 90, 180 and 270 the camera is at +z, +x, -z and -x of the input's axes
    (x right, y up, z back), and its picture shows x, -z, -x and z to the right."""
    camera, placement = camera_at(0.3, 1.0, 3.3), Placement(torch.tensor([0.3, 1.0, 0.3]), 2.0)
    cameras = orthographic_cameras(camera, placement, QUARTERS, 256)
    points = torch.tensor([[0.5, 0.7, 0.2], [-0.4, -0.8, -0.4], [0.0, 0.0, 0.0]])
    across = torch.stack([points[:, 0], -points[:, 2], -points[:, 0], points[:, 2]])  # [V, n]
    exact = torch.stack([128 + 128 * across, (128 - 128 * points[:, 1]).expand(4, -1)], -1)
    found = project(cameras, points + placement.center)
    torch.testing.assert_close(found, exact, rtol=0, atol=256 * 0.5 / FAR)
    torch.testing.assert_close(found[:, 2], torch.full((4, 2), 128.0), rtol=0, atol=2e-2)
    towards = torch.nn.functional.normalize(cameras.centers - placement.center, dim=-1)
    expected = torch.tensor([[0, 0, 1.0], [1, 0, 0], [0, 0, -1], [-1, 0, 0]])
    torch.testing.assert_close(towards, expected, rtol=0, atol=1e-5)


def test_pinhole_views_are_as_far_and_as_high_as_the_input_s_camera() -> None:
    camera, center = camera_at(0.2, 1.6, 3.0), torch.tensor([0.0, 0.9, 0.1])
    cameras = pinhole_cameras(camera, Placement(center, 2.0), QUARTERS, 64, UP)
    distances = (cameras.centers - center).norm(dim=-1)
    torch.testing.assert_close(distances, (camera.centers[0] - center).norm().expand(4), rtol=1e-4, atol=0)
    torch.testing.assert_close(cameras.centers[0], camera.centers[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(cameras.centers[:, 1], torch.full((4,), 1.6), rtol=0, atol=1e-4)
    angles = angles_between(camera, cameras, center, UP)
    expected = torch.tensor([0, math.pi / 2, math.pi, 1.5 * math.pi])
    torch.testing.assert_close(angles[:, 1], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(angles[:, 0], torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(project(cameras, center[None])[:, 0], torch.full((4, 2), 32.0), rtol=0, atol=1e-3)


def test_views_turn_with_the_world() -> None:
    """The same person and camera in a world that stands otherwise: the same pictures."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    rotation = rotation * torch.linalg.det(rotation)
    camera, placement = camera_at(0.1, 1.2, 3.0, shift=3), Placement(torch.tensor([0.0, 1.0, 0.0]), 2.2)
    turned = camera.viewmats.clone()
    turned[0, :3, :3] = camera.viewmats[0, :3, :3] @ rotation.mT
    elsewhere = Placement(rotation @ placement.center, placement.side)
    points = torch.randn(10, 3, generator=generator) * 0.3 + placement.center
    makers = ((orthographic_cameras, ()), (pinhole_cameras, (UP,)))
    for make, up in makers:
        here = project(make(camera, placement, QUARTERS, 64, *up), points)
        there = project(
            make(Cameras(turned, camera.Ks, 64, 64), elsewhere, QUARTERS, 64, *(rotation @ u for u in up)),
            points @ rotation.mT,
        )
        torch.testing.assert_close(here, there, rtol=0, atol=5e-2)


def test_a_person_is_placed_by_the_mask_s_box_and_the_body_s_depth() -> None:
    camera = camera_at(0.0, 0.0, 4.0, size=64, focal=100.0, shift=2.0)
    mask = torch.zeros(64, 64)
    mask[10:50, 30:46] = 1
    points = torch.tensor([[0.0, 0, -0.1], [0.0, 0, 0.5]])  # 4.1 and 3.5 metres away: 3.8 in the middle
    placement = place_person(mask, camera, points, 0.75)
    assert placement.side == pytest.approx(40 / 0.75 * 3.8 / 100)
    assert placement.center.tolist() == pytest.approx([(38 - 34) * 0.038, (32 - 30) * 0.038, 0.2], abs=1e-5)
    crop = crop_to(camera, placement, 32)
    assert project(crop, placement.center[None])[0, 0].tolist() == pytest.approx([16, 16], abs=1e-4)
    top = placement.center + torch.tensor([0.0, 20 * 0.038, 0])
    assert project(crop, top[None])[0, 0].tolist() == pytest.approx([16, 16 - 0.375 * 32], abs=1e-4)


@pytest.fixture(scope="module")
def standing(body: BodyModel):
    def make(degrees: float):
        turn = torch.tensor([[0.0, math.radians(degrees), 0.0]])
        posed = body.pose(BodyPose(torch.zeros(10), turn, torch.zeros(1, 69), torch.zeros(1, 3)))
        return posed.vertices[0], posed.vertex_transforms[0]

    return make


@pytest.mark.parametrize(("turned", "past"), [(0, 0), (50, 50), (-90, 90), (180, 180), (270, 90)])
def test_by_how_much_a_person_looks_past_a_camera(standing, turned: float, past: float) -> None:
    assert facing(*standing(turned), camera_at(0, 0, 3)) == pytest.approx(past, abs=3)


def test_drawings_of_the_body_show_normals_and_shine_the_picture_through(standing, body: BodyModel) -> None:
    vertices, _ = standing(0)
    camera = camera_at(0, float(vertices[:, 1].mean()), 4, focal=90)
    placement = Placement(vertices.mean(0), 2.2)
    front, cameras = crop_to(camera, placement, 64), pinhole_cameras(camera, placement, QUARTERS, 64, UP)
    picture = torch.ones(64, 64, 3)
    picture[:, :32], picture[:, 32:] = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0, 1.0])
    drawn, met = draw_body(cameras, vertices, body.faces, front, picture)
    assert met.float().mean(dim=(1, 2)).min() > 0.05
    assert (drawn[~met] == 1).all()
    normals = [2 * view[there][:, :3].mean(0) - 1 for view, there in zip(drawn, met, strict=True)]
    for normal, (axis, sign) in zip(normals, ((2, 1), (0, 1), (2, -1), (0, -1)), strict=True):
        assert normal[axis] * sign > 0.3  # each view sees the side that looks at it, in the front view's axes
    left, right = (drawn[2, :, part][met[2, :, part]][:, 3:].mean(0) for part in (slice(0, 28), slice(36, 64)))
    assert left[2] > 0.9 > 0.1 > left[0]  # from behind, the picture's right half is on the left
    assert right[0] > 0.9 > 0.1 > right[2]
