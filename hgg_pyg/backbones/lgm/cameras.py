"""From our world to LGM's and back: OpenCV cameras in metres, and LGM's OpenGL frame seen by view 0.

LGM was trained on objects about the origin, seen from 1.5 units away by cameras of 49.1 degrees, view 0 on the z axis:
x right, y up, z towards view 0. Real cameras stand at several distances and look past the person. Therefore each image
is cut around the person, at the scale where a unit at the person's centre has as many pixels as in LGM's training, and
rays are those of the cameras as they stand: no pixel is declared to look where it does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.body.skinning import matrix_to_quaternion, quaternion_multiply
from hgg_pyg.types import Cameras

RADIUS = 1.5  # units from LGM's cameras to the origin
FOVY = math.radians(49.1)
HALF_HEIGHT = 0.6  # units from a person's centre to the furthest of head and feet; the image shows 0.685
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's colours
_FLIP = (1.0, -1.0, -1.0)  # OpenCV's axes to OpenGL's


@dataclass(frozen=True)
class LGMFrame:
    """x_lgm = scale * rotation (x - center)."""

    rotation: Tensor  # [3, 3]
    scale: float  # units a metre
    center: Tensor  # [3] metres

    def points_to_lgm(self, points: Tensor) -> Tensor:
        """[..., 3] metres in our world -> [..., 3] units"""
        return self.scale * (points - self.center) @ self.rotation.mT

    def points_to_world(self, points: Tensor) -> Tensor:
        """[..., 3] units -> [..., 3] metres in our world"""
        return points @ self.rotation / self.scale + self.center

    def quats_to_world(self, quats: Tensor) -> Tensor:
        """[..., 4] orientations wxyz in LGM's frame -> in our world"""
        return quaternion_multiply(matrix_to_quaternion(self.rotation.mT).expand_as(quats), quats)

    def cameras_to_lgm(self, cameras: Cameras) -> Cameras:
        """The same cameras over LGM's frame: still OpenCV, x_cam = R x_lgm + t in units; pixels stay where they are."""
        rotations = cameras.viewmats[:, :3, :3]
        viewmats = cameras.viewmats.clone()
        viewmats[:, :3, :3] = rotations @ self.rotation.mT
        viewmats[:, :3, 3] = self.scale * ((rotations @ self.center) + cameras.viewmats[:, :3, 3])
        return Cameras(viewmats, cameras.Ks, cameras.width, cameras.height)


def lgm_frame(points: Tensor, cameras: Cameras) -> LGMFrame:
    """The frame of a person whose points [N, 3] (metres) are given, as view 0 sees them upright and straight ahead.

    Its origin is the middle of the points' bounding box along its axes, which does not depend on those of our world;
    the furthest point is `HALF_HEIGHT` units from it.
    """
    flip = torch.tensor(_FLIP, dtype=points.dtype, device=points.device)
    rotation = flip[:, None] * cameras.viewmats[0, :3, :3].to(points)
    rotated = points @ rotation.mT
    center = (rotated.amin(0) + rotated.amax(0)) / 2 @ rotation
    return LGMFrame(rotation, HALF_HEIGHT / float((points - center).norm(dim=-1).max()), center)


def focal_length(size: int) -> float:
    """Of LGM's cameras at an image size, pixels: 280.2 at 256."""
    return 0.5 * size / math.tan(0.5 * FOVY)


def crop_cameras(cameras: Cameras, frame: LGMFrame, size: int) -> Cameras:
    """The same cameras with images of `size` pixels squared, the person's centre in the middle.

    A camera that has the centre `d` units ahead gets the focal length f d / 1.5, with f LGM's: at 1.5, LGM's own.
    """
    in_camera = cameras.viewmats[:, :3, :3] @ frame.center.to(cameras.viewmats) + cameras.viewmats[:, :3, 3]
    focal = focal_length(size) * frame.scale * in_camera[:, 2] / RADIUS  # [V]
    Ks = torch.zeros_like(cameras.Ks)
    Ks[:, 0, 0], Ks[:, 1, 1], Ks[:, 2, 2] = focal, focal, 1
    Ks[:, :2, 2] = 0.5 * size - focal[:, None] * in_camera[:, :2] / in_camera[:, 2:]
    return Cameras(cameras.viewmats, Ks, size, size)


def crop_images(images: Tensor, masks: Tensor, cameras: Cameras, crops: Cameras) -> tuple[Tensor, Tensor]:
    """Resample images into other intrinsics of the same cameras; what was not seen is white, and not the person.

    Args:
        images: [V, H, W, 3] in [0, 1]
        masks: [V, H, W] share of the pixel that the person covers
        cameras: of the images.
        crops: of the result.

    Returns:
        [V, h, w, 3] the person on white, and [V, h, w] masks
    """
    weighted = torch.cat([images * masks[..., None], masks[..., None]], -1).permute(0, 3, 1, 2)
    column, row = (torch.arange(s, device=images.device, dtype=images.dtype) + 0.5 for s in (crops.width, crops.height))
    source = []
    for axis, pixels in ((0, column), (1, row)):
        here, there = crops.Ks.to(images), cameras.Ks.to(images)
        slope = (pixels - here[:, axis, 2, None]) / here[:, axis, axis, None]  # [V, w or h]
        source.append(slope * there[:, axis, axis, None] + there[:, axis, 2, None])
    x, y = (2 * p / s - 1 for p, s in zip(source, (cameras.width, cameras.height), strict=True))
    grid = torch.stack([x[:, None, :].expand(-1, crops.height, -1), y[:, :, None].expand(-1, -1, crops.width)], -1)
    shrink = (cameras.Ks[:, 0, 0] / crops.Ks[:, 0, 0]).max()
    if shrink > 1.5:  # a pixel of the crop covers several: average them first
        times = round(float(shrink))
        weighted = F.avg_pool2d(F.pad(weighted, (0, -weighted.shape[3] % times, 0, -weighted.shape[2] % times)), times)
        stretch = weighted.new_tensor([cameras.width, cameras.height]) / times
        grid = (grid + 1) * stretch / weighted.new_tensor(weighted.shape[:1:-1]) - 1
    found = F.grid_sample(weighted, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    color, mask = found[:, :3].permute(0, 2, 3, 1), found[:, 3]
    return color + (1 - mask[..., None]), mask


def rays(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Origins and unit directions of all pixels' centres, in the cameras' world. [V, H, W, 3] each"""
    like = {"device": cameras.Ks.device, "dtype": cameras.Ks.dtype}
    row, column = torch.meshgrid(
        torch.arange(cameras.height, **like) + 0.5, torch.arange(cameras.width, **like) + 0.5, indexing="ij"
    )
    Ks = cameras.Ks[:, None, None]
    x = (column - Ks[..., 0, 2]) / Ks[..., 0, 0]
    y = (row - Ks[..., 1, 2]) / Ks[..., 1, 1]
    directions = F.normalize(torch.stack([x, y, torch.ones_like(x)], -1), dim=-1)
    directions = torch.einsum("vhwc,vcd->vhwd", directions, cameras.viewmats[:, :3, :3])
    return cameras.centers[:, None, None].expand_as(directions), directions


def network_input(images: Tensor, cameras: Cameras) -> Tensor:
    """Normalised colours, and the Pluecker coordinates (o x d, d) of each pixel's ray.

    Args:
        images: [V, H, W, 3] in [0, 1], on white.
        cameras: over LGM's frame.

    Returns:
        [V, 9, H, W]
    """
    mean, std = images.new_tensor(_MEAN), images.new_tensor(_STD)
    origins, directions = rays(cameras.to(images))
    moments = torch.linalg.cross(origins, directions)
    return torch.cat([(images - mean) / std, moments, directions], -1).permute(0, 3, 1, 2)
