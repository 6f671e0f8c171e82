"""Writing files so that a reader finds all of one or none of it; what is wrong with a folder or a disk, in a line."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_HOST = re.sub(r"\W+", "-", platform.node()) or "host"
_TEMPORARY = re.compile(r"\..+\.(?P<host>[\w-]+)\.(?P<process>\d+)\.partial(\.\w+)?")
_ABANDONED_S = 24 * 3600  # after which another machine's process is not writing any more
LONGEST_NAME = 200
_MASK = os.umask(0)  # there is no other way to ask for it
os.umask(_MASK)
"""Bytes of a folder's name: file systems take 255, and some of the names of runs are made longer."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, force it to disk, then rename it over `path`.

    The temporary name keeps the suffix, which many writers read the format from, and says which process of which
    machine it belongs to: what processes left that were killed is removed first.

    Raises:
        UserError: the folder cannot be made or written, or the disk is full; what was at `path` stays.
    """
    temporary = temporary_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        try:
            write(temporary)
            temporary.chmod(0o666 & ~_MASK)  # some writers make files that nobody else may read
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def temporary_path(path: Path) -> Path:
    """Where this process keeps a file or a folder beside `path` until it is whole."""
    return path.with_name(f".{path.stem}.{_HOST}.{os.getpid()}.partial{path.suffix}")


def write_text(path: Path, text: str) -> None:
    """Write a text atomically, as UTF-8 on every machine.

    A byte of a file's name that is not UTF-8, which Python has as half a letter, is written as JSON has it: \\udce9.

    Raises:
        UserError: as `write_atomically`.
    """
    write_atomically(path, lambda partial: partial.write_text(text, "utf-8", "backslashreplace"))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line that a file cannot be written.

    Raises:
        UserError: what the system said, under the file's name.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, RuntimeError):  # torch.save does not tell what the system said
            if not re.search("inline_container|PytorchStreamWriter", said):
                raise
            said = "it was cut off"
        raise UserError(f"{path}: expected a folder that can be written, and room in it, found: {said}") from error


def beside(path: Path, name: str) -> Path:
    """Where results go by default: a file or folder in the folder of what they are made of.

    Args:
        path: what they are made of, as the user named it.
        name: made of what the user named, and of what is in files, so it may be a way to another folder.

    Raises:
        UserError: the path names no file, as "." and "/" do, or the name is none.
    """
    if not path.name:
        raise UserError(f"{path}: expected the name of a file, found a folder's")
    if Path(name).name != name:
        raise UserError(f"--out: expected it, since the results cannot be called {shown(name)!a}; found none")
    return path.with_name(name)


def try_folder(folder: Path, option: str) -> None:
    """See that a folder can be made and a file written in it, before any work is done. Nothing is left of the trial.

    Args:
        folder: for results, there or not.
        option: that names it, for the message.

    Raises:
        UserError: it cannot be made or written, or the disk is full.
    """
    try:
        there = folder.absolute()
        while not (there.exists() or there.is_symlink()):
            there = there.parent
        with tempfile.TemporaryDirectory(prefix=".", dir=there) as trial:
            inner = Path(trial) / folder.absolute().relative_to(there)
            inner.mkdir(parents=True, exist_ok=True)
            with (inner / "file").open("wb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"{option} {folder}: expected a folder that can be written ({said})") from None


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`: this machine's once they are gone, others' after a day."""
    before = re.compile(rf"\.{re.escape(path.stem)}\.(?P<process>\d+){re.escape(path.suffix)}")  # as up to version 0.2
    with os.scandir(path.parent) as entries:
        hidden = [Path(entry.path) for entry in entries if entry.name.startswith(".")]
    for leftover in hidden:
        found = _TEMPORARY.fullmatch(leftover.name) or before.fullmatch(leftover.name)
        if found is None:
            continue
        with suppress(OSError):  # another process does the same
            here = found.groupdict().get("host", _HOST) == _HOST
            old = time.time() - leftover.stat().st_mtime > _ABANDONED_S
            if old or (here and not _runs(int(found["process"]))):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _runs(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def is_folder_name(name: str) -> bool:
    """Whether a text can name one folder on any system: short, printable, no path, nothing that a system reserves."""
    return (
        0 < len(os.fsencode(name) if name.isprintable() else b"") <= LONGEST_NAME
        and name == name.strip()
        and not name.endswith(".")
        and not {"/", "\\"} & set(name)
        and not _RESERVED.fullmatch(name)
    )
