"""What kinds of files and folders a film can be written to, and how one is written: all of it or nothing."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hgg_pyg.io.files import remove_leftovers, temporary_path, write_atomically, writing
from hgg_pyg.types import UserError


@dataclass(frozen=True, kw_only=True)
class FilmFormat:
    """A kind of file, or of folder, that holds a film."""

    name: str
    summary: str
    """what it is for, in a line"""
    suffix: str
    """of its files, with the dot; "" for a folder"""
    write: Callable[[Path, Iterable[np.ndarray], float], object]
    """Writes pictures [H, W, 3] uint8, or [H, W, 4] where they are transparent, as they come, and frames per second. A
    folder is made for it before."""
    transparent: bool = False
    """it can hold [H, W, 4], the last of them opacity"""
    fastest: float = 240.0
    """frames per second"""
    largest: int = 65_535
    """pixels of a side"""
    most_bytes: float = math.inf
    """of all pictures together, before they are compressed"""
    requires: Mapping[str, str] = field(default_factory=dict)
    """modules that it needs, each with the name that pip knows it by"""


def check_film(film_format: FilmFormat, size: tuple[int, int], count: int, fps: float, transparent: bool) -> None:
    """Refuse a film that a format cannot hold, before it is made.

    Args:
        film_format: for which.
        size: width and height of the pictures, pixels.
        count: how many there are.
        fps: frames per second.
        transparent: whether they have opacity.

    Raises:
        UserError: too large, too long, too fast, or transparent.
    """
    name, (width, height) = film_format.name, size
    if max(size) > film_format.largest:
        raise UserError(
            f"--size: expected at most {film_format.largest:,} pixels a side in {name}, found {width}x{height}"
        )
    if fps > film_format.fastest:
        raise UserError(f"--fps: expected at most {film_format.fastest:g} frames per second in {name}, found {fps:g}")
    if transparent and not film_format.transparent:
        raise UserError(f"--background: expected a colour, since {name} cannot be transparent as a folder of PNGs can")
    if 3 * width * height * count > film_format.most_bytes:
        most = int(film_format.most_bytes / (3 * width * height))
        raise UserError(
            f"--seconds: expected at most {most / fps:.2f} in {name}, which holds {most:,} of {width}x{height}, "
            f"found {count / fps:.2f}"
        )


def check_place(film_format: FilmFormat, path: Path) -> None:
    """Refuse to write a film over something else.

    Raises:
        UserError: a folder is where a file goes, a file where a folder goes, or a folder of other things.
    """
    if film_format.suffix:
        if path.is_dir():
            raise UserError(f"--out {path}: expected a file, found a folder")
        return
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {path}: expected a folder, found a file")
    if path.is_dir() and (other := next((each for each in sorted(path.iterdir()) if not _is_picture(each)), None)):
        raise UserError(f"--out {path}: expected an empty folder or one of numbered pictures, found {other.name} in it")


def save_film(film_format: FilmFormat, path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Write a film, which replaces one that is there. Stopped meanwhile, nothing of it stays and nothing is replaced.

    Args:
        film_format: what it is written as.
        path: file, or folder.
        pictures: all [H, W, 3] or all [H, W, 4] uint8, made while they are written.
        fps: frames per second.

    Raises:
        UserError: something else is at `path`, it cannot be written, or the format cannot hold such pictures.
    """
    check_place(film_format, path)
    if film_format.suffix:
        write_atomically(path, lambda partial: film_format.write(partial, pictures, fps))
        return
    partial = temporary_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        try:
            partial.mkdir()
            film_format.write(partial, pictures, fps)
            if path.is_dir():
                check_place(film_format, path)
                for picture in path.iterdir():
                    picture.unlink()
                path.rmdir()
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.stem.isdecimal()
