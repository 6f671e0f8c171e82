"""A folder of PNGs, exact to the byte and with transparency, for programs that cut films."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.avatar.film.format import FilmFormat


def write_pngs(folder: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Write pictures [H, W, 3] or [H, W, 4] uint8 as 00000.png, 00001.png and so on."""
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:05d}.png", compress_level=3)


FORMAT = FilmFormat(name="png", summary="a folder of numbered PNGs", suffix="", write=write_pngs, transparent=True)
