"""What the posed body tells a front: where the person faces, and drawings of it in the views to come."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.kernels.normals import vertex_normals
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.types import Cameras

GUIDES = 6
"""channels of a drawing: normals as colours, then the input picture's colours"""
_FLIP = (1.0, -1.0, -1.0)  # OpenCV's axes to OpenGL's


def facing(vertices: Tensor, vertex_transforms: Tensor, camera: Cameras) -> float:
    """By how many degrees a person looks past a camera: 0 facing it, 90 seen from the side, 180 from behind.

    Where the person faces is the mean over the surface of where the rest pose's front, +z, has been turned to; of
    limbs that are lifted to any side the larger body has the say.

    Args:
        vertices: [N, 3] the posed body, metres, world.
        vertex_transforms: [N, 4, 4] from the rest pose.
        camera: one.
    """
    front = F.normalize(vertex_transforms[:, :3, 2].double().mean(0), dim=0)
    towards = camera.centers[0].double() - vertices.double().mean(0)
    up = F.normalize(vertex_transforms[:, :3, 1].double().mean(0), dim=0)
    towards = F.normalize(towards - up * (towards @ up), dim=0)
    front = F.normalize(front - up * (front @ up), dim=0)
    return math.degrees(math.acos(float((front @ towards).clamp(-1, 1))))


def draw_body(
    cameras: Cameras, vertices: Tensor, faces: Tensor, front: Cameras, picture: Tensor
) -> tuple[Tensor, Tensor]:
    """The posed body in some views: its normals, and the input picture's colours shone through it.

    Normals are in the input view's axes, OpenGL's (x right, y up, z to the camera), value / 2 + 1/2, as Wonder3D's are.
    Where a view's ray meets the body, the colour is that of the input picture at the place where the input camera sees
    that point, whether or not something is before it: from behind, the picture mirrored; from the side, what is known
    of each part. Where rays miss, all is white.

    Args:
        cameras: V, of the drawings.
        vertices: [N, 3] the posed body, metres, world.
        faces: [F, 3]
        front: camera of the input picture, one.
        picture: [S, S, 3] on white in [0, 1].

    Returns:
        [V, h, w, 6] float32 in [0, 1], and [V, h, w] whether the body is there; on the CPU
    """
    points = vertices.detach().double().cpu().numpy()
    mesh, normals = RayMesh(points, faces.cpu().numpy()), vertex_normals(points, faces.cpu().numpy())
    row, column = np.mgrid[: cameras.height, : cameras.width] + 0.5
    centers = np.stack([column, row, np.ones_like(row)], -1).reshape(-1, 3)
    axes = np.array(_FLIP)[:, None] * front.viewmats[0, :3, :3].double().cpu().numpy()
    source = picture.detach().float().cpu().permute(2, 0, 1)[None]
    drawn, met = [], []
    for viewmat, K in zip(cameras.viewmats.double().cpu().numpy(), cameras.Ks.double().cpu().numpy(), strict=True):
        rotation, origin = viewmat[:3, :3], -viewmat[:3, :3].T @ viewmat[:3, 3]
        rays = centers @ np.linalg.inv(K).T @ rotation
        hits = mesh.cast(origin, rays)
        own = mesh.interpolate(normals, hits) @ axes.T
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-9)
        places = torch.from_numpy(origin + hits.distances[:, None] * rays[hits.rays]).float()
        content = np.ones((len(rays), GUIDES), np.float32)
        content[hits.rays, :3] = own / 2 + 0.5
        content[hits.rays, 3:] = _colors_at(places, front, source).numpy()
        drawn.append(torch.from_numpy(content).reshape(cameras.height, cameras.width, GUIDES))
        met.append(torch.from_numpy(hits.met).reshape(cameras.height, cameras.width))
    return torch.stack(drawn), torch.stack(met)


def _colors_at(points: Tensor, camera: Cameras, picture: Tensor) -> Tensor:
    """A picture's colours where a camera sees points; white outside of it. [n, 3] -> [n, 3]"""
    viewmat, K = camera.viewmats[0].cpu().float(), camera.Ks[0].cpu().float()
    seen = (points @ viewmat[:3, :3].mT + viewmat[:3, 3]) @ K.mT
    places = seen[:, :2] / seen[:, 2:].clamp_min(1e-6)
    grid = 2 * places / places.new_tensor([camera.width, camera.height]) - 1
    found = F.grid_sample(1 - picture, grid[None, None], align_corners=False)[0, :, 0]
    return (1 - found).mT.clamp(0, 1)
