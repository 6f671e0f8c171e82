"""Images that a data set keeps in a video or in one large array, as files: decoded once, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from hgg_pyg.data.layouts.base import FrameNames, Listing, list_files
from hgg_pyg.io.files import remove_leftovers, temporary_path, writing
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_QUALITY = 95  # of JPEG, with colours in full resolution: what a video has lost is more
_VERSION = 1  # raise it when the same file gives other images
_NAMES = FrameNames("00000000.jpg")


def decoded_images(
    source: Path, what: str, count: int, images: Callable[[], Iterable[tuple[int, np.ndarray]]]
) -> Listing:
    """The frames of a file as image files, which are written where they are not there yet.

    They lie in `$HGG_CACHE/decoded`, else in `~/.cache/hgg_pyg/decoded`, in a folder that is called by the file's name
    and a digest of its bytes: a copy of it is not decoded again, a changed one is. They may be deleted at any time.

    Args:
        source: the file.
        what: of it is decoded; tells folders of one file apart.
        count: of frames, at most.
        images: the frames' numbers and images, [H, W, 3] uint8 for JPEG or [H, W] for PNG; asked for if need be.

    Returns:
        The files by frame number, stamped with the size and the time of change of `source`, so that what is made of
        them does not depend on when they were decoded.

    Raises:
        UserError: the file cannot be read, no frame of it can be decoded, or the cache cannot be written.
    """
    folder = _folder(source, f"{_VERSION} {what} {count}")
    if not folder.is_dir():
        _decode(source, folder, count, images)
    found, status = list_files(folder, _NAMES), source.stat()
    stamp = status.st_size, status.st_mtime_ns
    return Listing(found.folder, found.names, dict.fromkeys(found.names, stamp))


def _folder(source: Path, said: str) -> Path:
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise UserError(f"{source}: expected a file that can be read ({error.strerror})") from None
    digest.update(said.encode())
    try:
        cache = Path(os.environ.get("HGG_CACHE") or Path.home() / ".cache" / "hgg_pyg")
    except RuntimeError:  # a user without a home
        raise UserError(f"{source}: is decoded into a cache, for which HGG_CACHE must name a folder") from None
    return cache / "decoded" / f"{shown(source.stem, 60).replace('/', '-')}-{digest.hexdigest()[:16]}"


def _decode(source: Path, folder: Path, count: int, images: Callable[[], Iterable[tuple[int, np.ndarray]]]) -> None:
    partial = temporary_path(folder)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    try:
        written = 0
        for number, image in tqdm(images(), desc=f"decoding {source.name}", total=count, unit="image", leave=False):
            path = partial / f"{number:08d}.{'jpg' if image.ndim == 3 else 'png'}"
            with writing(path):
                Image.fromarray(image).save(path, quality=_QUALITY, subsampling=0, compress_level=1)
            written += 1
        if not written:
            raise UserError(f"{source}: expected frames, found none that can be decoded")
        with writing(folder):
            try:
                partial.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was here first, with the same images
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
