"""Where a fit from nothing starts."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch

from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.skinning import quaternion_multiply
from hgg_pyg.data.capture_set import open_captures
from hgg_pyg.data.frames import frame_sources
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.refine import RefineConfig
from hgg_pyg.refine.blank import blank_avatar, optimise
from hgg_pyg.render import render
from hgg_pyg.types import Cameras, UserError

BETAS = torch.tensor([0.7, -1.1, 0.4])


def test_it_covers_the_silhouette_of_the_posed_body(body: BodyModel, make_pose) -> None:
    pose = make_pose(1)
    posed = body.pose(pose).vertices[0]
    avatar = blank_avatar(body, pose.betas, 4000)
    middle = posed.mean(0)
    views = torch.eye(4).repeat(2, 1, 1)
    views[1, :3, :3] = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    views[:, :3, 3] = torch.tensor([0.0, 0, 3]) - views[:, :3, :3] @ middle
    Ks = torch.tensor([[350.0, 0, 160], [0, 350, 160], [0, 0, 1]]).repeat(2, 1, 1)
    cameras = Cameras(views, Ks, 320, 320)
    alpha = render(avatar.repose(body, pose)[0], cameras).alpha[..., 0].numpy()
    mesh = RayMesh(posed.double().numpy(), body.faces.numpy())
    across, down = np.meshgrid(np.arange(320) + 0.5, np.arange(320) + 0.5)
    pixels = np.stack([across, down, np.ones_like(across)], -1).reshape(-1, 3)
    for view in range(2):
        rays = pixels @ np.linalg.inv(Ks[view].double().numpy()).T @ views[view, :3, :3].double().numpy()
        seen = mesh.cast(cameras.centers[view].double().numpy(), rays).met.reshape(320, 320)
        assert seen.sum() > 5000
        covered = alpha[view] > 0.5
        assert (seen & covered).sum() / (seen | covered).sum() > 0.87
        assert alpha[view][seen].mean() > 0.93  # no holes


def test_every_part_gets_its_share_by_area(body: BodyModel) -> None:
    avatar = blank_avatar(body, BETAS, 5000)
    vertices = body.shaped_vertices(BETAS)
    a, b, c = (vertices[body.faces[:, corner]] for corner in range(3))
    areas = torch.linalg.cross(b - a, c - a).norm(dim=1) / 2
    middle = (a + b + c) / 3
    for part in (middle[:, 1] > 0.2, middle[:, 0] > 0.3, middle[:, 2] > 0):
        own = torch.zeros(body.num_vertices).index_add_(0, body.faces[part].flatten(), areas[part].repeat_interleave(3))
        all_of_them = torch.zeros(body.num_vertices).index_add_(0, body.faces.flatten(), areas.repeat_interleave(3))
        expected = float(areas[part].sum() / areas.sum())
        found = float((own / all_of_them.clamp_min(1e-12))[avatar.binding].mean())
        assert found == pytest.approx(expected, abs=0.01)


def test_discs_lie_on_the_surface_and_along_it(body: BodyModel) -> None:
    avatar = blank_avatar(body, BETAS, 500)
    vertices = body.shaped_vertices(BETAS).double().numpy()
    mesh = RayMesh(vertices, body.faces.numpy())
    means, quats = avatar.gaussians.means, avatar.gaussians.quats
    axis = torch.zeros(500, 4)
    axis[:, 3] = 1
    normals = quaternion_multiply(quaternion_multiply(quats, axis), quats * torch.tensor([1.0, -1, -1, -1]))[:, 1:]
    for mean, normal in zip(means.double().numpy(), normals.double().numpy(), strict=True):
        hit = mesh.cast(mean + 0.002 * normal, -normal[None])
        assert hit.met[0]
    nearest = torch.cdist(means, body.shaped_vertices(BETAS)).argmin(1)
    assert (nearest == avatar.binding).float().mean() > 0.95  # not where another triangle's corner is nearer
    assert torch.equal(avatar.gaussians.scales[:, 0], avatar.gaussians.scales[:, 1])
    assert (avatar.gaussians.scales[:, 2] < 0.5 * avatar.gaussians.scales[:, 0]).all()


def test_the_seed_decides(body: BodyModel) -> None:
    one, same, other = (blank_avatar(body, BETAS, 50, seed).gaussians.means for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_wrong_input_ends_in_a_line(body: BodyModel) -> None:
    with pytest.raises(UserError, match="count: expected at least 1 Gaussian, found 0"):
        blank_avatar(body, BETAS, 0)
    with pytest.raises(UserError, match="betas: this body has 10 shape directions"):
        blank_avatar(body, torch.zeros(400), 5)
    flat = load_body()
    flat.v_template = torch.zeros_like(flat.v_template)
    flat.shapedirs = torch.zeros_like(flat.shapedirs)
    with pytest.raises(UserError, match="expected a surface of triangles, found an area of 0"):
        blank_avatar(flat, BETAS, 5)


def test_a_fit_from_nothing_finds_the_person(tiny_captures, body: BodyModel, tmp_path) -> None:
    captures = open_captures(tiny_captures, 32, body).test
    (source,) = frame_sources(captures, 4, make_backbone(BackboneConfig()), body, tmp_path)
    refined = optimise(source, (0, 1, 2), 800, RefineConfig(seconds=None, steps=20))
    held_back = [record.held_back for record in refined.history]
    assert max(held_back) > held_back[0] + 3  # dB
    assert len(refined.avatar.gaussians) == 800
    ticks = count()  # by this clock a fit of ten seconds is over soon
    assert optimise(source, (0, 1, 2), 800, RefineConfig(seconds=10), clock=lambda: next(ticks)).steps < 10
