"""The person in a picture: who is cut out of an input, and where they are in a picture that was drawn on white."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from hgg_pyg.types import UserError

_PERSON = 0.5  # a pixel belongs to somebody when they cover more of it than this
_SECOND = 0.3  # of the largest part of a mask: another part that is larger is another person
_WHITE = 0.06  # below white by more than this, a pixel is not background


def check_one_person(mask: np.ndarray, where: str) -> None:
    """Refuse a mask of nobody, or of two people.

    Args:
        mask: [H, W] share of each pixel that is covered.
        where: it comes from, for the message.

    Raises:
        UserError: nobody is in it, or two parts of it are both as large as people.
    """
    labels, count = _parts(mask > _PERSON)
    if count == 0:
        raise UserError(f"{where}: expected a picture of one person, found nobody in its mask")
    areas = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    if count > 1 and areas[1] > _SECOND * areas[0]:
        sizes = f"of {areas[0]:,} and {areas[1]:,} pixels"
        raise UserError(f"{where}: expected a picture of one person, found two in its mask, {sizes}: cut out one")


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what a mask of somebody covers, in pixels; right and bottom are outside."""
    rows, columns = (np.flatnonzero((mask > _PERSON).any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def alpha_on_white(rgb: Tensor) -> Tensor:
    """Where a picture drawn on white is not white, holes filled, the largest part. [B, 3, H, W] -> [B, 1, H, W]

    A pixel half as far below white as counts is half covered. White clothes at the outline are lost.
    """
    dark = 1 - rgb.amin(1)  # [B, H, W]
    found = []
    for one in dark.detach().float().cpu().numpy():
        solid = np.asarray(ndimage.binary_fill_holes(one > _WHITE))
        labels, count = _parts(solid)
        if count > 1:
            solid = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        found.append(torch.from_numpy(np.ascontiguousarray(solid)))
    filled = torch.stack(found).to(dark)
    soft = (dark / _WHITE).clamp(0, 1)
    inside = 1 - torch.nn.functional.max_pool2d(1 - filled[:, None], 3, 1, 1)[:, 0]  # without its outermost pixels
    return torch.where(inside > 0, 1.0, soft * filled)[:, None]


def _parts(solid: np.ndarray) -> tuple[np.ndarray, int]:
    """Pixels that touch, by the number of their part from 1, and how many parts there are."""
    found = ndimage.label(solid, np.ones((3, 3)))
    assert isinstance(found, tuple)
    return found
