"""What is behind the person in a film."""

from __future__ import annotations

import torch
from PIL import ImageColor
from torch import Tensor

from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

TRANSPARENT = "transparent"


def read_background(text: str) -> Tensor | None:
    """A colour by its name in HTML, or as #rrggbb; None for "transparent". [3] in 0 to 1

    Raises:
        UserError: neither.
    """
    if text.casefold() == TRANSPARENT:
        return None
    try:
        return torch.tensor(ImageColor.getrgb(text)[:3]) / 255
    except ValueError:
        raise UserError(
            f"--background: expected {TRANSPARENT}, or a colour such as white or #rrggbb, found {shown(repr(text))}"
        ) from None
