"""What a front drew of a test subject, beside the cameras that saw it from nearly there: for the report's page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from hgg_pyg.backbones.lgm.cameras import crop_images
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.people import read_masks
from hgg_pyg.multiview import FrontedBackbone
from hgg_pyg.multiview.cameras import crop_to, place_person
from hgg_pyg.multiview.views import NAMES, QUARTERS

_PERSON = 0.75  # share of a picture that the person's box takes, as most fronts have it


@dataclass(frozen=True)
class DrawnViews:
    """The views of one frame, and the truth."""

    subject: str
    frame: int  # number, as in the file names
    names: tuple[str, ...]  # of the views
    drawn: tuple[np.ndarray, ...]  # [S, S, 3] uint8; the first is the input
    cameras: tuple[str, ...]  # names of the nearest ones, and how many degrees beside the view they stand
    truth: tuple[np.ndarray, ...]  # [S, S, 3] uint8


def drawn_views(source: FrameSource, frame: int) -> DrawnViews | None:
    """The views of a frame (by position), from the cache where they are there; None without a front.

    Raises:
        UserError: a file is broken.
    """
    if not isinstance(source.backbone, FrontedBackbone):
        return None
    capture, moment = source.capture, source.moment(frame)
    seen = source.backbone.seen(moment)
    images, _ = seen.pixels()
    size, middle = images.shape[1], moment.vertices.mean(0)
    wanted, there = (F.normalize(c.centers - middle, dim=-1) for c in (seen.cameras, capture.cameras))
    closeness = wanted @ there.mT
    closeness[0] = -1.0
    closeness[0, source.cameras[0]] = 1.0  # the input itself
    nearest = closeness.argmax(1).tolist()
    masks = read_masks(capture, frame, nearest)
    whole = capture.views(frame, nearest)
    placement = place_person(masks[0], whole[[0]], moment.vertices, _PERSON)
    pixels = torch.from_numpy(np.stack([capture.image(frame, camera) for camera in nearest]))
    truth, _ = crop_images(pixels, masks, whole, crop_to(whole, placement, size))
    off = closeness.amax(1).clamp(-1, 1).acos().rad2deg().tolist()
    return DrawnViews(
        subject=capture.name,
        frame=capture.frames[frame],
        names=tuple(NAMES[azimuth] for azimuth in QUARTERS),
        drawn=tuple(_bytes(images)),
        cameras=tuple(
            f"{capture.camera_names[c]}, {degrees:.0f}° beside" for c, degrees in zip(nearest, off, strict=True)
        ),
        truth=tuple(_bytes(truth)),
    )


def _bytes(images: torch.Tensor) -> np.ndarray:
    return (images.clamp(0, 1) * 255).round().byte().cpu().numpy()
