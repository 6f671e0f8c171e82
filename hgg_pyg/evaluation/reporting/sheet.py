"""Comparison sheets: the same view by several methods, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hgg_pyg.io.files import write_atomically

COLUMNS = ("ground truth", "direct binding", "ours")


@dataclass(frozen=True)
class Comparison:
    """One view, three ways, with what to write under it."""

    label: str
    images: tuple[np.ndarray, ...]  # a column each, [H, W, 3] float in [0, 1]


def save_sheet(
    path: Path,
    left: Sequence[Comparison],
    right: Sequence[Comparison],
    titles: tuple[str, str],
    columns: Sequence[str] = COLUMNS,
) -> None:
    """Two blocks side by side, one comparison per row: `columns` for `titles[0]`, then again for `titles[1]`."""
    pixels = max(c.images[0].shape[0] for c in (*left, *right))
    zoom = max(1, round(256 / pixels))
    blocks = [_block(rows, title, zoom, columns) for rows, title in zip((left, right), titles, strict=True) if rows]
    height = max(block.height for block in blocks)
    sheet = Image.new("RGB", (sum(block.width for block in blocks) + 24 * (len(blocks) - 1), height), "white")
    x = 0
    for block in blocks:
        sheet.paste(block, (x, 0))
        x += block.width + 24
    write_atomically(path, lambda p: sheet.save(p))


def _block(rows: Sequence[Comparison], title: str, zoom: int, columns: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(16)
    height, width = (side * zoom for side in rows[0].images[0].shape[:2])
    line, head = 22, 48
    block = Image.new("RGB", (len(columns) * width, head + len(rows) * (height + line)), "white")
    draw = ImageDraw.Draw(block)
    draw.text((4, 2), title, fill="black", font=font)
    for column, name in enumerate(columns):
        draw.text((column * width + 4, 24), name, fill="dimgray", font=font)
    for row, comparison in enumerate(rows):
        top = head + row * (height + line)
        for column, image in enumerate(comparison.images):
            resized = Image.fromarray((image.clip(0, 1) * 255).round().astype(np.uint8))
            block.paste(resized.resize((width, height), Image.Resampling.BICUBIC), (column * width, top))
        draw.text((4, top + height), comparison.label, fill="dimgray", font=font)
    return block
