"""How large what is read may be: far beyond what real files hold, and asked before memory is taken for it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from hgg_pyg.types import UserError

JSON_FILE = 64 * 2**20  # bytes: a calibration of 200 cameras has a quarter of one million
TEXT_FILE = 64 * 2**20  # bytes: a million names of files
JSON_DEPTH = 32  # objects and lists within one another: ours have six
SPLAT_FILE = 8 * 2**30  # bytes: 30 million Gaussians with all harmonics
ARRAYS = 2 * 2**30  # bytes of all arrays of one file: SMPL-X with all its directions in float64 has a quarter of them


def read_within(path: Path, most: int, expected: str) -> bytes:
    """The content of a file that has no more than so many bytes.

    Args:
        path: the file.
        most: bytes.
        expected: what the file should be, with its article, for the messages.

    Raises:
        UserError: there is no such file, it cannot be read, or it is larger.
    """
    with opened(path, expected) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise UserError(f"{path}: expected {expected} of at most {size_text(most)}, found one of {size_text(size)}")
        try:
            return file.read()
        except OSError as error:
            raise _nothing(path, expected, error) from None


def read_text(path: Path, expected: str) -> str:
    """The content of a text file in UTF-8, with or without a mark at its beginning; what is no UTF-8 becomes U+FFFD.

    Raises:
        UserError: as `read_within`, of at most 64 MiB.
    """
    return read_within(path, TEXT_FILE, expected).decode("utf-8-sig", "replace")


def opened(path: Path, expected: str) -> IO[bytes]:
    """A file that is open for reading.

    Raises:
        UserError: there is no such file, it cannot be read, or it is a pipe or a device, which may give nothing for
            ever or have no end.
    """
    try:
        file = open(path, "rb", opener=_at_once)  # noqa: SIM115  (it is given away)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise _nothing(path, expected, error) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{path}: expected {expected}, found a pipe or a device")
    return file


def _at_once(name: str, flags: int) -> int:
    """Open a file without waiting for somebody who writes to it."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _nothing(path: Path, expected: str, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{path}: expected {expected}, found nothing to read ({reason})")


def size_text(size: int) -> str:
    """A number of bytes for a reader: 2 GiB, 64 MiB."""
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:.3g} {name}"
