"""What can be fetched: which file of the package index holds it, under which licence, and what is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Source:
    """One file of a package index: a wheel or an sdist, or an npm package."""

    distribution: str
    version: str
    file: str
    """its name"""
    sha256: str
    size: int
    """bytes"""
    tags: tuple[str, str, str, str] | None = None
    """Python version, implementation, ABI and platform of a wheel that is for one of each"""
    index: Literal["pypi", "npm"] = "pypi"

    @property
    def place(self) -> str:
        """The index in words."""
        return "the Python package index" if self.index == "pypi" else "npm's registry"


@dataclass(frozen=True, kw_only=True)
class Fetchable:
    """Files that are made of members of one archive."""

    name: str
    summary: str
    source: Source
    licence: str
    """what applies to the files, and whose they are"""
    members: Mapping[str, str]
    """names of the files made, each with the member of the archive that it is made of"""
    folder: Callable[[], Path]
    """where they are looked for, unless told otherwise"""
    convert: Callable[[str, Path, Path], object] | None = None
    """makes a file (its name, the member on disk, the file to write); None: members are taken as they are"""
    wrong: Callable[[str, Path], str | None]
    """what is wrong with a file of that name; None: it is what it should be"""

    @property
    def record(self) -> str:
        """The name of the text beside the files that says where they came from."""
        return f"{self.name}.source.txt"


def same_bytes(checksums: Mapping[str, str]) -> Callable[[str, Path], str | None]:
    """For `Fetchable.wrong`: files have these SHA-256 sums, by name."""

    def wrong(name: str, path: Path) -> str | None:
        found = sha256_of(path)
        return None if found == checksums[name] else f"SHA-256 {checksums[name]}, found {found}"

    return wrong


def sha256_of(path: Path) -> str:
    """The SHA-256 sum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
