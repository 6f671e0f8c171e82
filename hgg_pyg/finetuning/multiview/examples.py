"""What a front learns from: a frame's front view, and the cameras a quarter, half and three quarters of a turn on."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.backbones.lgm.cameras import crop_images
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.people import read_masks, shows_anyone
from hgg_pyg.data.views import upward
from hgg_pyg.multiview.cameras import angles_between, crop_to, place_person
from hgg_pyg.multiview.model import Picture
from hgg_pyg.multiview.posed_body import draw_body, facing
from hgg_pyg.multiview.views import ViewsConfig
from hgg_pyg.types import Cameras, UserError

_OFF = 22.0  # degrees that a camera may stand beside the direction that a view is drawn from
_KEPT = 2**30  # bytes of examples that are kept in memory

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class Example:
    """A frame, the camera of its front view, and those of the views to draw; all by position."""

    capture: Capture
    frame: int
    cameras: tuple[int, ...]  # V, in the order of the views: the first is the front view's


@dataclass(frozen=True)
class Batch:
    """B people from all around."""

    picture: Picture  # with the drawings of the body, whether or not the network is shown them
    rgb: Tensor  # [B, V, 3, S, S] on white in [0, 1]
    alpha: Tensor  # [B, V, 1, S, S]
    normals: Tensor  # [B, V, 3, S, S] of the posed body as colours, on white
    body: Tensor  # [B, V, 1, S, S] where the posed body is


def find_examples(
    captures: Sequence[Capture], body: BodyModel, views: ViewsConfig, most: float, data: object
) -> list[Example]:
    """All frames and front views of some captures, with the nearest camera to each view.

    Args:
        captures: of any rig.
        body: of the poses.
        views: that are to be drawn.
        most: degrees by which the person may look past the front view's camera.
        data: they come from, for the message.

    Raises:
        UserError: no frame has a front view and cameras within 22 degrees of all the views.
    """
    wanted = torch.tensor(views.azimuths, dtype=torch.float64)
    found = []
    for capture in captures:
        up = torch.from_numpy(upward(capture))
        cameras = Cameras(capture.cameras.viewmats.double(), capture.cameras.Ks.double(), 1, 1)
        for frame in range(len(capture.frames)):
            posed = body.pose(capture.poses[[frame]])
            vertices = posed.vertices[0]
            for front in range(len(cameras)):
                if facing(vertices, posed.vertex_transforms[0], cameras[[front]]) > most:
                    continue
                angles = angles_between(cameras[[front]], cameras, vertices.double().mean(0), up).rad2deg()
                off = (angles[None, :, 1] - wanted[:, None] + 180) % 360 - 180  # [V, cameras]
                nearest = (off.abs() + 0.5 * angles[None, :, 0].abs()).argmin(1)
                if float(off.gather(1, nearest[:, None]).abs().max()) <= _OFF:
                    nearest[views.azimuths.index(0)] = front
                    found.append(Example(capture, frame, tuple(nearest.tolist())))
    if not found:
        sides = ", ".join(f"{azimuth:g}" for azimuth in views.azimuths)
        raise UserError(
            f"{data}: expected frames with a camera that the person faces within {most:g} degrees, and others "
            f"{sides} degrees around from it, within {_OFF:g}: found none in {len(captures)} subjects"
        )
    return found


class ExampleLoader:
    """Reads examples, cut out and placed by their front views; those that fit in a gigabyte are kept.

    Args:
        body: of the poses.
        views: that are drawn.
    """

    def __init__(self, body: BodyModel, views: ViewsConfig) -> None:
        self.body, self.views = body, views
        self._kept: dict[tuple[str, int, tuple[int, ...]], Tensor | None] = {}
        self._bytes = 0

    def read(self, example: Example) -> Batch | None:
        """One person; None where the front view's mask shows nobody."""
        key = (str(example.capture.root), example.capture.frames[example.frame], example.cameras)
        if key not in self._kept:
            made = self._make(example)
            if made is not None and self._bytes + made.numel() > _KEPT:
                return _unpack(made)
            self._kept[key] = made
            self._bytes += 0 if made is None else made.numel()
        made = self._kept[key]
        return None if made is None else _unpack(made)

    def _make(self, example: Example) -> Tensor | None:
        """[V, 11, S, S] bytes: colours, alpha, the drawing of the body and where it is."""
        capture, frame, chosen = example.capture, example.frame, list(example.cameras)
        masks = read_masks(capture, frame, chosen)
        if not shows_anyone(masks[:1]):
            return None
        images = torch.from_numpy(np.stack([capture.image(frame, camera) for camera in chosen]))
        whole = capture.views(frame, chosen)
        vertices = self.body.pose(capture.poses[[frame]]).vertices[0]
        placement = place_person(masks[0], whole[[0]], vertices, self.views.person)
        crops = crop_to(whole, placement, self.views.size)
        shown, alpha = crop_images(images, masks, whole, crops)
        drawn, met = draw_body(crops, vertices, self.body.faces, crops[[0]], shown[0])
        parts = torch.cat([shown, alpha[..., None], drawn, met[..., None].float()], -1)
        return (parts.clamp(0, 1) * 255).round().byte().permute(0, 3, 1, 2).contiguous()


def stack(parts: Sequence[Batch]) -> Batch:
    """People side by side."""

    def join(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    guides = torch.cat([part.picture.guides for part in parts if part.picture.guides is not None])
    pictures = [part.picture for part in parts]
    picture = Picture(torch.cat([p.rgb for p in pictures]), torch.cat([p.alpha for p in pictures]), guides)
    return Batch(picture, join("rgb"), join("alpha"), join("normals"), join("body"))


def recolor(person: Batch, rng: np.random.Generator) -> Batch:
    """The same person in other colours: red, green and blue exchanged, each stronger or weaker; white stays white."""
    order = torch.from_numpy(rng.permutation(3))
    strength = torch.from_numpy(rng.uniform(0.7, 1.3, 3)).float()[:, None, None]

    def change(rgb: Tensor) -> Tensor:
        return (1 - (1 - rgb[..., order, :, :]) * strength).clamp(0, 1)

    assert person.picture.guides is not None
    guides = torch.cat([person.picture.guides[:, :, :3], change(person.picture.guides[:, :, 3:])], 2)
    picture = Picture(change(person.picture.rgb), person.picture.alpha, guides)
    return Batch(picture, change(person.rgb), person.alpha, person.normals, person.body)


def _unpack(made: Tensor) -> Batch:
    values = made.float()[None] / 255
    rgb, alpha, guides, body = values.split((3, 1, 6, 1), 2)
    picture = Picture(rgb[:, 0], alpha[:, 0], guides)
    return Batch(picture, rgb, alpha, guides[:, :, :3], body)


def azimuth_name(azimuth: float) -> str:
    """An azimuth for a table, degrees."""
    return f"{math.floor(azimuth + 0.5):d} degrees"
