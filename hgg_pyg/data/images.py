"""Reading image files: the size from the header; the pixels of a window at a wanted size; one clear error if broken.

Reading is what a training run on photographs waits for, so nothing is touched that need not be: a JPEG is decoded at
1/2, 1/4 or 1/8 where that is enough, only the window is unpacked, and one kernel goes from bytes to means over areas.
`resample` is what that kernel computes, in plain numpy.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from hgg_pyg.data.lens import Lens
from hgg_pyg.data.orientation import check_upright
from hgg_pyg.kernels.numba_tools import kernel
from hgg_pyg.types import UserError

Mode = Literal["RGB", "L", "labels"]

# What Pillow raises of files that are broken, missing, or of a size that nobody can mean.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_NO_INTEGERS = "expected an image of 8 or 16 bits per channel, found one of floating point numbers, or of more bits"
_BEYOND = 2.0**40  # pixels: no image reaches as far, and an integer does
_LENS_SAMPLES = 2  # look-ups along each axis of a pixel when a distorted image is shrunk


@dataclass(frozen=True)
class Window:
    """A rectangle of an image: pixels of the file's full size, edges at 0 and its width, pixel centres at +0.5.

    It may reach beyond the image: what lies outside reads as zero.

    Raises:
        ValueError: a number is not finite, or it has no area.
    """

    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.left + self.top) and 0 < self.width < math.inf and 0 < self.height < math.inf):
            raise ValueError(f"Window: expected finite numbers and an area, found {self}")


def header_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header, without decoding it.

    Raises:
        UserError: not an image, or one to be turned.
    """
    try:
        with Image.open(path) as image:
            if "exif" in image.info or image.format != "PNG":  # else Pillow decodes a PNG, to look behind its pixels
                check_upright(path, image)
            return image.size
    except _BROKEN as error:
        raise UserError(f"{path}: not a readable image ({error})") from error


def mask_range(path: Path) -> tuple[int, int, bool]:
    """What a whole mask holds in the terms of `read_pixels` in mode "L", before anything is averaged.

    Returns:
        its largest value; the value that is white, 255 or 65535; and whether it is of a palette and shows a colour that
        is no grey, as segmenters mark people by.

    Raises:
        UserError: the file is broken or missing, to be turned, or not of integers.
    """
    try:
        with Image.open(path) as image:
            check_upright(path, image)
            colours = image.mode == "P" and _shows_colours(image)
            pixels, top = _unpack(image, "L", (0, 0, *image.size))
    except _BROKEN as error:
        raise UserError(f"{path}: cannot read this image, the file is broken or missing ({error})") from error
    if pixels is None:
        raise UserError(f"{path}: {_NO_INTEGERS}")
    return int(pixels.max()), top, colours


def _shows_colours(image: Image.Image) -> bool:
    palette = np.asarray(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
    used = [index for _, index in image.getcolors(256) or [] if isinstance(index, int) and index < len(palette)]
    return bool(np.ptp(palette[used], 1).max(initial=0) > 0)


def fitted_size(width: int, height: int, longest: int | None) -> tuple[int, int]:
    """The size at which the longest side is at most `longest` pixels, the shape kept to the nearest pixel."""
    if longest is None or max(width, height) <= longest:
        return width, height
    shrink = longest / max(width, height)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def read_pixels(
    path: Path,
    mode: Mode,
    full: tuple[int, int],
    size: tuple[int, int],
    window: Window | None = None,
    lens: Lens | None = None,
    white: int | None = None,
    inverted: bool = False,
) -> np.ndarray:
    """Decode an image, or a window of it, at a wanted size.

    Along an axis that shrinks, pixels are means over areas, exact for any ratio up to the codec's own shrinking; along
    one that grows, linear interpolation between pixel centres.

    Args:
        path: the file.
        mode: "RGB" for colours; "L" for a mask: brightness, of 8 or 16 bits, or the alpha channel where the file has
            one that is not opaque everywhere; "labels" for a mask in which any value but zero is the person, before
            any averaging: of a palette the index, of colours any of the three, alpha left aside.
        full: (width, height) that the file must have.
        size: (width, height) of what is returned.
        window: what to read of the image; all of it by default.
        lens: undistorts the image; the window is then one of the undistorted image, which is as large as the file.
            What the lens sees beyond the file reads as zero.
        white: the value of a mask of brightness that means 1, and that none is above; None for the file's own, 255 or
            65535.
        inverted: of a mask of brightness, black means 1, and white 0; what lies outside is 0 all the same.

    Returns:
        [H, W, 3] or [H, W] float32 in [0, 1].

    Raises:
        UserError: the file is missing, truncated, not an image, of another size or to be turned, its pixels are not
            integers, or above `white`.
    """
    whole = Window(0, 0, *full)
    window = window or whole
    lens = lens if lens is not None and lens.bends else None
    kept = 1 if lens is None else _LENS_SAMPLES
    try:
        with Image.open(path) as image:
            if image.size != full:
                raise UserError(f"{path}: expected {_text(full)} pixels, found {_text(image.size)}")
            check_upright(path, image)
            if mode != "labels":
                _draft(image, mode, window, (kept * size[0], kept * size[1]))
            shrunk = image.width / full[0], image.height / full[1]
            box = _box(whole if lens else window, shrunk, image.size)
            pixels, top = _unpack(image, mode, box)
    except _BROKEN as error:
        raise UserError(f"{path}: cannot read this image, the file is broken or missing ({error})") from error
    if pixels is None:
        raise UserError(f"{path}: {_NO_INTEGERS}")
    if white is not None:
        if (largest := int(pixels.max())) > white:
            raise UserError(f"{path}: expected a mask from 0 to {white}, like others of its capture, found {largest}")
        top = white
    if inverted:
        pixels = (top - pixels).astype(pixels.dtype)
        pixels.flags.writeable = False
    if lens is None:
        left, upper = window.left * shrunk[0] - box[0], window.top * shrunk[1] - box[1]
        inside = Window(left, upper, window.width * shrunk[0], window.height * shrunk[1])
        values = _resample(pixels, inside, size, 1 / top)
    else:
        values = _undistort(pixels, full, window, size, lens, 1 / top)
    values = np.minimum(values, 1, out=values)  # sums of rounded weights may be above
    return values if mode == "RGB" else values[..., 0]


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _draft(image: Image.Image, mode: Literal["RGB", "L"], window: Window, least: tuple[int, int]) -> None:
    """Have a JPEG decoded at a part of its size that still gives the window at least `least` pixels.

    The decoder averages blocks of 2, 4 or 8 for less than the cost of decoding them; only where the size divides, or
    the last row and column would cover less than the others and shift the image.
    """
    for block in (8, 4, 2):
        fits = image.width % block == 0 and image.height % block == 0
        if fits and window.width / block >= least[0] and window.height / block >= least[1]:
            image.draft(mode, (image.width // block, image.height // block))
            return
    image.draft(mode, image.size)


def _box(window: Window, shrunk: tuple[float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels that a window touches, and one more around them: left, top, right, bottom; at least one pixel."""
    left, right = _touched(window.left * shrunk[0], window.width * shrunk[0], size[0])
    top, bottom = _touched(window.top * shrunk[1], window.height * shrunk[1], size[1])
    return left, top, right, bottom


def _touched(start: float, extent: float, count: int) -> tuple[int, int]:
    first = min(max(int(np.floor(start)) - 1, 0), count - 1)
    return first, max(min(int(np.ceil(start + extent)) + 1, count), first + 1)


def _unpack(image: Image.Image, mode: Mode, box: tuple[int, int, int, int]) -> tuple[np.ndarray | None, int]:
    """The pixels in a box [h, w, C] uint8 or uint16, and the value that means 1; None if they are not such integers."""
    image.load()
    if box != (0, 0, *image.size):
        image = image.crop(box)
    if image.mode == "F" or (image.mode == "I" and _beyond_16_bits(np.asarray(image))):
        return None, 1
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversions cut them off at 255
        pixels, top = np.asarray(image).astype(np.uint16), 65535
        pixels = np.stack([pixels] * 3, -1) if mode == "RGB" else pixels
    elif mode == "labels":
        colours = {"RGBA": "RGB", "LA": "L", "PA": "P"}.get(image.mode, image.mode)
        pixels, top = np.asarray(image if colours == image.mode else image.convert(colours)), 255
    else:
        if mode == "L" and image.mode in ("RGBA", "LA"):
            alpha = image.getchannel("A")
            image = alpha if np.asarray(alpha).min() < 255 else image
        pixels, top = np.asarray(image if image.mode == mode else image.convert(mode)), 255
    pixels = pixels.reshape(image.height, image.width, -1)
    if mode == "labels":
        pixels, top = (pixels != 0).any(-1, keepdims=True).view(np.uint8), 1
    pixels.flags.writeable = False  # as what Pillow gives is: to numba other arrays are another type
    return pixels, top


def _beyond_16_bits(pixels: np.ndarray) -> bool:
    return bool(pixels.min() < 0 or pixels.max() > 65535)


def _undistort(
    pixels: np.ndarray, full: tuple[int, int], window: Window, size: tuple[int, int], lens: Lens, unit: float
) -> np.ndarray:
    height, width, _ = pixels.shape
    # Pixels of the image to one of the result, along each axis
    ratios = window.width / size[0] * width / full[0], window.height / size[1] * height / full[1]
    if max(ratios) > _LENS_SAMPLES:
        across, down = (
            max(1, round(n * min(1, _LENS_SAMPLES / r))) for n, r in zip((width, height), ratios, strict=True)
        )
        pixels, unit = _resample(pixels, Window(0, 0, width, height), (across, down), unit), 1.0
        pixels.flags.writeable = False
    samples = 1 if max(ratios) <= 1 else _LENS_SAMPLES
    rectangle = window.left, window.top, window.width, window.height
    return lens.look_up(pixels, full, rectangle, size, samples) * np.float32(unit)


def _resample(pixels: np.ndarray, window: Window, size: tuple[int, int], unit: float) -> np.ndarray:
    """`resample` by the kernel, times `unit`. [h, w, C] of any dtype -> [H, W, C] float32"""
    height, width, channels = pixels.shape
    left, top = int(window.left), int(window.top)
    within = left >= 0 and top >= 0 and left + size[0] <= width and top + size[1] <= height
    if within and window == Window(left, top, *size):
        return pixels[top : top + size[1], left : left + size[0]] * np.float32(unit)
    columns, column_weights = _weights(window.left, window.width, size[0], width)
    rows, row_weights = _weights(window.top, window.height, size[1], height)
    row_weights = row_weights * np.float32(unit)
    values = _weigh(pixels.reshape(height, -1), rows, row_weights, columns * channels, column_weights, channels)
    return values.reshape(size[1], size[0], channels)


@lru_cache(maxsize=256)  # an image and its mask are read alike, and so are all images of a capture that are read whole
def _weights(start: float, extent: float, count: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """What an axis of the result is made of: the first pixel of each, and the weights of it and those after it.

    Returns:
        [count] int64 and [count, T] float32; zero for what lies outside the image.
    """
    step = extent / count
    if step < 1:
        places = start + (np.arange(count) + 0.5) * step
        clamped = np.clip(places - 0.5, 0, pixels - 1)
        first = np.minimum(clamped.astype(np.int64), max(pixels - 2, 0))
        after = (clamped - first)[:, None]
        weights = np.concatenate([1 - after, after], 1)[:, : min(2, pixels)]
        weights[(places < 0) | (places > pixels)] = 0
        return first, weights.astype(np.float32)
    ends = np.clip(start + np.arange(count + 1) * step, -_BEYOND, _BEYOND)
    lower, upper = ends[:-1, None], ends[1:, None]
    slack = 1e-9 * max(pixels, min(extent, _BEYOND))  # by so much rounding may move an end into the next pixel
    first = np.floor(lower[:, 0] + slack).astype(np.int64)
    taps = min(int((np.ceil(upper[:, 0] - slack) - first).max()), pixels)
    first = np.clip(first, 0, pixels - taps)
    touched = first[:, None] + np.arange(taps)
    overlap = np.minimum(upper, touched + 1) - np.maximum(lower, touched)
    return first, (np.maximum(overlap, 0) / step).astype(np.float32)


@kernel
def _weigh(pixels, rows, row_weights, starts, column_weights, channels):
    """Sums of weighted rows, then of weighted columns of these. [h, w * C] -> [H, W * C] float32; C is 1 or 3"""
    height, width = rows.shape[0], starts.shape[0]
    out = np.empty((height, width * channels), np.float32)
    line = np.empty(pixels.shape[1], np.float32)
    for y in range(height):
        line[:] = 0
        for t in range(row_weights.shape[1]):
            weight = row_weights[y, t]
            if weight != 0:
                source = pixels[rows[y] + t]
                for i in range(line.shape[0]):
                    line[i] += weight * np.float32(source[i])
        if channels == 3:
            for x in range(width):
                red = green = blue = np.float32(0)
                at = np.uint64(starts[x])  # unsigned, or every access would ask whether its index is negative
                for t in range(column_weights.shape[1]):
                    weight = column_weights[x, t]
                    red += weight * line[at]
                    green += weight * line[at + np.uint64(1)]
                    blue += weight * line[at + np.uint64(2)]
                    at += np.uint64(3)
                out[y, 3 * x], out[y, 3 * x + 1], out[y, 3 * x + 2] = red, green, blue
        else:
            for x in range(width):
                total, at = np.float32(0), np.uint64(starts[x])
                for t in range(np.uint64(column_weights.shape[1])):
                    total += column_weights[x, t] * line[at + t]
                out[y, x] = total
    return out


@kernel
def put_on_white(image: np.ndarray, alpha: np.ndarray, out: np.ndarray) -> None:
    """image * alpha + (1 - alpha) [h, w, 3] into `out`, for image [h, w, 3] and alpha [h, w], all float32."""
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            a = alpha[y, x]
            white = np.float32(1) - a
            out[y, x, 0] = image[y, x, 0] * a + white
            out[y, x, 1] = image[y, x, 1] * a + white
            out[y, x, 2] = image[y, x, 2] * a + white


def resample(values: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """A window of an image at another size: the reference of what the kernel does.

    Args:
        values: [h, w, ...]
        window: in pixels of `values`; zero outside.
        size: (width, height) wanted.

    Returns:
        [H, W, ...] float64: along an axis that shrinks, or stays, means over areas; along one that grows, linear
        interpolation between pixel centres, constant from the outermost centres to the edges.
    """
    values = _resample_axis(np.asarray(values, np.float64), window.top, window.height, size[1], 0)
    return _resample_axis(values, window.left, window.width, size[0], 1)


def _resample_axis(values: np.ndarray, start: float, extent: float, count: int, axis: int) -> np.ndarray:
    """One axis of `resample`.

    An area's mean is a difference of the running integral, which is linear inside a pixel. (Pillow's BOX counts whole
    pixels only, which at ratios near 1 skips or repeats rows.)
    """
    values = np.moveaxis(values, axis, 0)
    pixels = len(values)
    if extent < count:
        places = start + (np.arange(count) + 0.5) * (extent / count)
        columns = values.reshape(pixels, -1).T
        found = np.stack([np.interp(places, np.arange(pixels) + 0.5, column) for column in columns], -1)
        found[(places < 0) | (places > pixels)] = 0
    else:
        integral = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, 0)]).reshape(pixels + 1, -1)
        ends = np.clip(start + np.linspace(0, extent, count + 1), 0, pixels)
        whole = np.minimum(ends.astype(int), pixels - 1)
        at_ends = integral[whole] + (ends - whole)[:, None] * values.reshape(pixels, -1)[whole]
        found = np.diff(at_ends, axis=0) * (count / extent)
    return np.moveaxis(found.reshape(count, *values.shape[1:]), 0, axis)
