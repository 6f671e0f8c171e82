"""Reading image files: the size from the header, the pixels at a smaller size, one clear error for a broken file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from hgg_pyg.types import UserError


def header_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header, without decoding it.

    Raises:
        UserError: not an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: not a readable image ({error})") from error


def fitted_size(width: int, height: int, longest: int | None) -> tuple[int, int]:
    """The size at which the longest side is at most `longest` pixels, the shape kept to the nearest pixel."""
    if longest is None or max(width, height) <= longest:
        return width, height
    shrink = longest / max(width, height)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def read_pixels(path: Path, mode: Literal["RGB", "L"], size: tuple[int, int]) -> np.ndarray:
    """Decode an image and shrink it to `size` by averaging over areas.

    Args:
        path: the file.
        mode: "RGB" for colours, "L" for one channel.
        size: (width, height), not above the file's own.

    Returns:
        [H, W, 3] or [H, W] float32 in [0, 1].

    Raises:
        UserError: the file is missing, truncated or not an image.
    """
    try:
        with Image.open(path) as image:
            # A JPEG decoder averages blocks of 2, 4 or 8 for less than the cost of decoding them; only where the size
            # divides, or the last row and column would cover less than the others and shift the image.
            for block in (8, 4, 2):
                fits = image.width % block == 0 and image.height % block == 0
                if fits and image.width // block >= size[0] and image.height // block >= size[1]:
                    image.draft(mode, (image.width // block, image.height // block))
                    break
            pixels = image.convert(mode)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: cannot read this image, the file is broken or missing ({error})") from error
    values = np.asarray(pixels, dtype=np.float32) / 255
    return _mean_over_areas(_mean_over_areas(values, size[1], 0), size[0], 1)


def _mean_over_areas(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Means over `count` equal intervals of an axis, pixels cut by an interval's end counting in part.

    Exact for any ratio: an interval's mean is a difference of the running integral, which is linear inside a pixel.
    (Pillow's BOX counts whole pixels only, which at ratios near 1 skips or repeats rows.)
    """
    if values.shape[axis] == count:
        return values
    values = np.moveaxis(values, axis, 0)
    integral = np.concatenate([np.zeros_like(values[:1], np.float64), np.cumsum(values, 0, np.float64)])
    ends = np.linspace(0, len(values), count + 1)
    whole = np.minimum(ends.astype(int), len(values) - 1)
    part = (ends - whole).reshape(-1, *[1] * (values.ndim - 1))
    at_ends = integral[whole] + part * values[whole]
    means = np.diff(at_ends, axis=0) * (count / len(values))
    return np.moveaxis(means, 0, axis).astype(np.float32)
