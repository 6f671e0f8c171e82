"""Frames of the surface: rotations whose first axis is the normal."""

import numpy as np
import pytest
import torch
import trimesh

from hgg_pyg.body import load_body, tangent_frames

IDENTITY = torch.eye(3)


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    body = load_body()
    return tangent_frames(body.v_template, body.faces)


def test_they_are_rotations_with_the_surface_s_normal_first(frames: torch.Tensor) -> None:
    body = load_body()
    torch.testing.assert_close(frames.mT @ frames, IDENTITY.expand_as(frames), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(len(frames)), atol=1e-5, rtol=0)
    mesh = trimesh.Trimesh(body.v_template.numpy(), body.faces.numpy(), process=False)
    normals = trimesh.geometry.weighted_vertex_normals(
        len(mesh.vertices), mesh.faces, mesh.face_normals, mesh.face_angles
    )
    by_angle = torch.from_numpy(np.array(normals)).float()
    cosine = (frames[:, :, 0] * by_angle).sum(1)  # trimesh weighs by angles, we by areas
    assert cosine.median() > 0.999
    assert cosine.quantile(0.01) > 0.9


def test_tangents_are_level_and_upwards_but_on_the_crown_and_under_the_feet(frames: torch.Tensor) -> None:
    normal, level, up = frames.unbind(-1)
    steep = normal[:, 1].abs() > 0.995
    assert 0 < steep.float().mean() < 0.1
    torch.testing.assert_close(level[~steep, 1], torch.zeros(int((~steep).sum())), atol=1e-6, rtol=0)
    assert (up[~steep, 1] > 0).all()


def test_they_rotate_with_the_body_about_the_vertical_and_ignore_where_it_stands() -> None:
    body = load_body()
    angle = torch.tensor(0.7)
    rotation = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    before = tangent_frames(body.v_template, body.faces)
    after = tangent_frames(body.v_template @ rotation.T + torch.tensor([3.0, -1.0, 2.0]), body.faces)
    level = before[:, 1, 0].abs() < 0.99
    torch.testing.assert_close(after[level], (rotation @ before)[level], atol=1e-3, rtol=0)


def test_a_vertex_without_a_normal_has_the_world_s_axes() -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 1]])  # two sides of one triangle cancel; the last vertex has none
    assert torch.equal(tangent_frames(corners, faces), IDENTITY.expand(4, 3, 3))
    one_side = tangent_frames(corners, faces[:1])
    torch.testing.assert_close(one_side[:3, :, 0], torch.tensor([0.0, 0, 1]).expand(3, 3))
