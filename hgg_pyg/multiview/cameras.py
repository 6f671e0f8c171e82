"""From the input camera to the cameras of the views that are drawn, and where in the world their pictures are.

Networks of several views draw a person in the middle of square pictures of one scale. Where that middle is, and how
many metres a picture shows, follows from the input's mask and the posed body: the middle of the mask's box, at the
depth of the body's middle. Wonder3D's pictures are orthographic; our renderer has pinhole cameras, so that its views
are looked at from far away through long lenses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.multiview.cutout import box_of
from hgg_pyg.types import Cameras

FAR = 100.0
"""sides of its picture from an orthographic view's camera to the person: what is nearer or farther by a quarter of a
side looks 1/400 larger or smaller, a tenth of a pixel at 64 pixels from the middle of 256"""


@dataclass(frozen=True)
class Placement:
    """Where the pictures of one person are: all show a square of `side` metres about `center`."""

    center: Tensor  # [3] metres, world
    side: float  # metres


def place_person(mask: Tensor, camera: Cameras, points: Tensor, person: float) -> Placement:
    """Where a person is whom one camera sees.

    Args:
        mask: [H, W] share of each pixel that the person covers; somebody is in it.
        camera: one.
        points: [N, 3] of the posed body, metres, world.
        person: share of the picture that the longer side of the mask's box is to take.
    """
    viewmat, K = camera.viewmats[0].double(), camera.Ks[0].double()
    depths = points.double() @ viewmat[2, :3] + viewmat[2, 3]
    depth = float(depths.min() + depths.max()) / 2
    left, top, right, bottom = box_of(mask.cpu().numpy())
    ray = torch.linalg.inv(K) @ torch.tensor([(left + right) / 2, (top + bottom) / 2, 1.0], dtype=torch.float64)
    center = viewmat[:3, :3].mT @ (depth * ray - viewmat[:3, 3])
    side = depth * max((right - left) / float(K[0, 0]), (bottom - top) / float(K[1, 1])) / person
    return Placement(center.to(camera.viewmats), side)


def crop_to(cameras: Cameras, placement: Placement, size: int) -> Cameras:
    """The same cameras with pictures of `size` pixels squared that show the placement; none of them is turned."""
    center = cameras.viewmats[:, :3, :3] @ placement.center.to(cameras.viewmats) + cameras.viewmats[:, :3, 3]
    focal = size * center[:, 2] / placement.side  # [V]
    Ks = torch.zeros_like(cameras.Ks)
    Ks[:, 0, 0], Ks[:, 1, 1], Ks[:, 2, 2] = focal, focal, 1
    Ks[:, :2, 2] = 0.5 * size - focal[:, None] * center[:, :2] / center[:, 2:]
    return Cameras(cameras.viewmats, Ks, size, size)


def orthographic_cameras(camera: Cameras, placement: Placement, azimuths: Sequence[float], size: int) -> Cameras:
    """Stand-ins for orthographic views around a person, level with the input view in its own axes.

    The vertical axis is the input camera's, turned to look at the person. Each stand-in is a pinhole camera `FAR` sides
    of its picture away, whose lens is as long as that takes: its rays are parallel within 0.3 degrees.

    Args:
        camera: of the input, one.
        placement: of the person.
        azimuths: degrees from the input view, towards its right. V
        size: of the pictures, pixels.
    """
    return _around(camera, placement, azimuths, size, FAR * placement.side, None)


def pinhole_cameras(
    camera: Cameras, placement: Placement, azimuths: Sequence[float], size: int, up: Tensor | None
) -> Cameras:
    """Views around a person from as far away and from as high as the input camera.

    Args:
        camera: of the input, one.
        placement: of the person.
        azimuths: degrees from the input view about the vertical axis, towards its right. V
        size: of the pictures, pixels.
        up: [3] the world's; None: the input camera's, turned to look at the person.
    """
    distance = float((camera.centers[0] - placement.center.to(camera.viewmats)).norm())
    return _around(camera, placement, azimuths, size, distance, up)


def cameras_of(
    projection: Literal["orthographic", "pinhole"],
    camera: Cameras,
    placement: Placement,
    azimuths: Sequence[float],
    size: int,
    up: Tensor | None,
) -> Cameras:
    """The cameras of a model's views, by the projection that it draws them in."""
    if projection == "orthographic":
        return orthographic_cameras(camera, placement, azimuths, size)
    return pinhole_cameras(camera, placement, azimuths, size, up)


def angles_between(camera: Cameras, others: Cameras, center: Tensor, up: Tensor) -> Tensor:
    """Elevations and azimuths of cameras from one of them, as a point sees them. [V, 2] radians

    Args:
        camera: one.
        others: V
        center: [3] the point.
        up: [3] the world's, unit.
    """
    here, there = (F.normalize(c.centers - center, dim=-1) for c in (camera, others))
    elevations = (there @ up).clamp(-1, 1).asin() - (here @ up).clamp(-1, 1).asin()
    here, there = (F.normalize(d - (d @ up)[:, None] * up, dim=-1) for d in (here, there))
    across = torch.linalg.cross(up.expand_as(here), here)
    azimuths = torch.atan2((there * across).sum(-1), (there * here).sum(-1)) % (2 * math.pi)
    # A hair below a full turn is a hair to the other side of none: sines and cosines do not mind, people do.
    azimuths = torch.where(azimuths > 2 * math.pi - 1e-3, azimuths - 2 * math.pi, azimuths)
    return torch.stack([elevations, azimuths], -1)


def _around(
    camera: Cameras, placement: Placement, azimuths: Sequence[float], size: int, distance: float, up: Tensor | None
) -> Cameras:
    """Cameras that look at a person from the direction of the first one, turned about a vertical axis. V"""
    viewmat, center = camera.viewmats[0].double(), placement.center.double().to(camera.viewmats.device)
    forward = F.normalize(center - camera.centers[0].double(), dim=0)
    down = viewmat[1, :3] if up is None else -up.double().to(forward)
    right = F.normalize(torch.linalg.cross(down, forward), dim=0)
    down = torch.linalg.cross(forward, right)
    axis = -down if up is None else F.normalize(up.double().to(forward), dim=0)
    looking = torch.stack([right, down, forward])  # rows: the axes of the view at 0 degrees, in the world
    viewmats, K = [], torch.eye(3, dtype=torch.float64)
    for azimuth in azimuths:
        rotation = looking @ _turn(axis, math.radians(azimuth)).mT  # its axes are turned with it
        viewmat = torch.eye(4, dtype=torch.float64)
        viewmat[:3, :3] = rotation
        viewmat[:3, 3] = -rotation @ center + torch.tensor([0, 0, distance], dtype=torch.float64)
        viewmats.append(viewmat)
    K[0, 0] = K[1, 1] = size * distance / placement.side
    K[:2, 2] = size / 2
    Ks = K.expand(len(viewmats), 3, 3)
    return Cameras(torch.stack(viewmats).to(camera.viewmats), Ks.to(camera.Ks).clone(), size, size)


def _turn(axis: Tensor, angle: float) -> Tensor:
    """The rotation by an angle about a unit axis, right-handed (Rodrigues). [3, 3]"""
    x, y, z = axis.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
