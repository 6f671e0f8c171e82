"""Videos and folders of images as cameras leave them, made by code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    rate: int = 30,
    stamps: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Pictures [H, W, 3] uint8 as H.264, in sizes of even numbers.

    Args:
        path: file.
        pictures: in their order.
        rate: frames a second.
        stamps: of each picture, in milliseconds; None: evenly spaced.
        rotation: what the display matrix says, degrees counterclockwise.
        options: of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate, {"crf": "10", "g": "4"})
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        base = Fraction(1, 1000) if stamps is not None else Fraction(1, rate)
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = (number if stamps is None else stamps[number]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_images(folder: Path, pictures: Sequence[np.ndarray], numbers: Sequence[int] | None = None) -> Path:
    """Pictures as numbered PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in zip(numbers or range(len(pictures)), pictures, strict=True):
        Image.fromarray(picture).save(folder / f"{number:04d}.png")
    return folder


def counting(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Grey pictures that say their number by their brightness, brighter in the upper left corner."""
    pictures = []
    for number in range(count):
        picture = np.full((height, width, 3), 10 + 6 * number, np.uint8)
        picture[: height // 3, : width // 4] = 250
        pictures.append(picture)
    return pictures


def number_of(picture: np.ndarray) -> int:
    """Which of the `counting` pictures this is, by its middle."""
    height, width = picture.shape[:2]
    return round((float(picture[height // 2, width // 2].mean()) - 10) / 6)
