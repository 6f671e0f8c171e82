"""Files that training would stop at: a look at the header of every image, and the last bytes of JPEG and PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from hgg_pyg.data.images import header_size
from hgg_pyg.types import UserError

_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_OTHERS = (b"RIFF", b"II*\0", b"MM\0*", b"BM", b"GIF8")  # WebP, TIFF, BMP, GIF
_TAIL = 1024  # bytes; some cameras write padding after the end
_AT_ONCE = 8  # files: over a network what takes time is waiting


def cut_off_files(paths: Sequence[Path]) -> list[Path]:
    """Those that do not end as a JPEG (marker FFD9) or PNG (chunk IEND) does, or are no image at all, in their order.

    Within the image of a JPEG no FF is followed by D9, so the marker is a good sign. Of other formats only the first
    bytes are looked at.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = pool.map(_is_cut_off, paths)
        bar = tqdm(ends, desc="ends of files", total=len(paths), unit="file", leave=False, disable=len(paths) < 2000)
        return [path for path, cut in zip(paths, bar, strict=True) if cut]


def odd_files(paths: Sequence[Path], size: tuple[int, int]) -> list[str]:
    """What is wrong with those that are no image of this (width, height), or one to be turned, by their headers."""
    found = []
    for path in tqdm(paths, desc="headers", unit="file", leave=False, disable=len(paths) < 2000):
        try:
            has = header_size(path)
        except UserError as error:
            found.append(str(error))
            continue
        if has != size:
            expected = f"expected {size[0]}x{size[1]} pixels like the first of its capture"
            found.append(f"{path}: {expected}, found {has[0]}x{has[1]}")
    return found


def _is_cut_off(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(len(_PNG))
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            tail = file.read()
    except OSError:
        return True
    if head.startswith(_JPEG):
        return _JPEG_END not in tail
    if head == _PNG:
        return _PNG_END not in tail
    return not head.startswith(_OTHERS)
