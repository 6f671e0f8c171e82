"""Members of wheels, sdists and npm packages, by their exact names: nothing else of an archive is unpacked."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hgg_pyg.io.files import writing
from hgg_pyg.types import UserError


def extract(archive: Path, members: Collection[str], folder: Path) -> dict[str, Path]:
    """Unpack members of an archive into a folder, each under a number: what an archive calls them is no path of ours.

    Args:
        archive: a .whl or .zip, or a .tar.gz or .tgz.
        members: their names within it.
        folder: that is there.

    Returns:
        Where each of them is.

    Raises:
        UserError: the archive is damaged, lacks a member or has something else of its name, or there is no room.
    """
    found = {}
    try:
        with _opened(archive) as open_member:
            for i, name in enumerate(members):
                path = folder / f"{i}{Path(name).suffix}"
                with writing(path), open_member(name) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
                found[name] = path
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, KeyError, ValueError, NotImplementedError) as error:
        said = " ".join(str(error).strip("\"'").split()) or type(error).__name__
        raise UserError(f"{archive}: expected an archive with what we need, found: {said}") from None
    return found


@contextmanager
def _opened(archive: Path) -> Iterator:
    """A function that opens a member for reading."""
    if archive.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(archive, "r:gz") as tar:
            yield lambda name: _of_tar(tar, name)
    else:
        with zipfile.ZipFile(archive) as zipped:
            yield zipped.open


def _of_tar(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    member = tar.getmember(name)
    file = tar.extractfile(member) if member.isreg() else None  # a link would lead to another member
    if file is None:
        raise ValueError(f"{name} is no file")
    return file
