"""GIF, which shows in every page and message, with 256 colours a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.avatar.film.format import FilmFormat


def write_gif(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Write pictures [H, W, 3] uint8, again and again without end; times are rounded to hundredths of a second.

    All pictures share 256 colours, so that what stands still does not flicker.
    """
    images = [Image.fromarray(picture) for picture in pictures]
    palette = _palette(images)
    images = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    ends = np.round(np.arange(1, len(images) + 1) * 100 / fps).astype(int)
    durations = (10 * np.diff(ends, prepend=0)).tolist()
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)


def _palette(images: list[Image.Image]) -> Image.Image:
    """256 colours of eight of the pictures, with exactly what their corner shows. An image of mode P"""
    some = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, 8).round().astype(int))]
    pixels = np.concatenate([np.asarray(image).reshape(-1, 3) for image in some])
    palette = Image.fromarray(pixels[None]).quantize(256, Image.Quantize.MEDIANCUT)
    colors = np.array(palette.getpalette("RGB")).reshape(-1, 3)
    colors[np.abs(colors - pixels[0]).sum(1).argmin()] = pixels[0]  # the background, which dithering would speckle
    palette.putpalette(colors.flatten().tolist())
    return palette


FORMAT = FilmFormat(
    name="gif",
    summary="256 colours, which every page and message shows",
    suffix=".gif",
    write=write_gif,
    most_bytes=2**30,  # they are all in memory
    fastest=50.0,  # browsers show pictures of less than a fiftieth of a second slowly
)
