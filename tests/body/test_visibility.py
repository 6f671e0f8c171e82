"""What a camera sees of a mesh, against rays that trimesh casts."""

from typing import cast

import numpy as np
import pytest
import torch
import trimesh

from hgg_pyg.body.visibility import seen_vertices
from hgg_pyg.types import Cameras


def looking(place: tuple[float, float, float], size: int = 64, focal: float = 80.0) -> Cameras:
    """A camera at a place that looks at the origin, y up."""
    center = np.array(place)
    forward = -center / np.linalg.norm(center)
    right = np.cross(forward, [0, 1.0, 0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    viewmat = np.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ center
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(torch.tensor(viewmat)[None].float(), torch.tensor(K)[None].float(), size, size)


def two_balls() -> trimesh.Trimesh:
    """A small one that hides the middle of a large one from the front."""
    large, small = trimesh.creation.icosphere(3, 0.5), trimesh.creation.icosphere(2, 0.15)
    small.apply_translation([0, 0, 0.8])
    return cast(trimesh.Trimesh, trimesh.util.concatenate([large, small]))


@pytest.mark.parametrize("place", [(0, 0.1, 3.0), (2.5, 0.4, 1.5), (0.3, 0.2, -3.0)])
def test_it_agrees_with_rays(place: tuple[float, float, float]) -> None:
    mesh, cameras = two_balls(), looking(place)
    vertices, faces = torch.tensor(np.asarray(mesh.vertices)).float(), torch.tensor(np.asarray(mesh.faces))
    seen = seen_vertices(vertices, faces, cameras)[0]
    toward = cameras.centers[0] - vertices
    away = toward.norm(dim=1)
    normals = torch.tensor(np.asarray(mesh.vertex_normals)).float()
    cosines = (normals * toward).sum(1) / away
    begin = (vertices + 1e-3 * normals).numpy()
    hidden = mesh.ray.intersects_any(begin, cameras.centers[0].numpy() - begin)
    expected = torch.where(torch.from_numpy(hidden), 0.0, cosines.clamp_min(0))
    wrong = (seen > 0) != (expected > 0)
    assert wrong.float().mean() < 0.03  # beside the edges of shadows
    assert torch.allclose(seen[~wrong], expected[~wrong], atol=2e-2)
    assert (
        bool((hidden & (cosines > 0.5).numpy()).any()) or place[0] > 1
    )  # one ball hides the other, but not from there


def test_what_is_outside_the_image_or_behind_is_not_seen() -> None:
    mesh = two_balls()
    vertices, faces = torch.tensor(np.asarray(mesh.vertices)).float(), torch.tensor(np.asarray(mesh.faces))
    near = looking((0, 0.1, 3.0), focal=400.0)  # sees the middle alone
    seen = seen_vertices(vertices, faces, near)[0]
    assert 0 < (seen > 0).sum() < (seen_vertices(vertices, faces, looking((0, 0.1, 3.0)))[0] > 0).sum()
    turned = looking((0, 0.1, 3.0))
    turned.viewmats[:, [0, 2]] *= -1
    assert not seen_vertices(vertices, faces, turned).any()
