"""A file's own digest, kept inside it at a place that its format leaves free: a flipped bit anywhere is found."""

from __future__ import annotations

import hashlib
from pathlib import Path

LENGTH = 64
"""characters of a seal, which is the hexadecimal SHA-256 of the whole file with zeros ("0") in its own place"""
BLANK = b"0" * LENGTH
_PIECE = 1 << 20  # bytes that are read at once


def seal(path: Path, place: int) -> None:
    """Write the digest of a file over the `BLANK` that starts at a byte.

    Raises:
        ValueError: there is no `BLANK` at that place.
    """
    with path.open("r+b") as file:
        file.seek(place)
        if file.read(LENGTH) != BLANK:
            raise ValueError(f"{path}: expected {LENGTH} zeros for its seal at byte {place}, found something else")
        digest = _digest(path, place)
        file.seek(place)
        file.write(digest)


def is_intact(path: Path, place: int) -> bool:
    """Whether a file is, to the bit, what was sealed; `place` is the seal's first byte."""
    with path.open("rb") as file:
        file.seek(place)
        return file.read(LENGTH) == _digest(path, place)


def _digest(path: Path, place: int) -> bytes:
    """SHA-256, which processors have instructions for: as fast as other sums that are this sure."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        digest.update(file.read(place))
        digest.update(BLANK)
        file.seek(place + LENGTH)
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest().encode()
