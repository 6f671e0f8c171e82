"""Work in stages, each of which leaves its result on disk: an interrupted command goes on, a changed option redoes
only what depends on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from hgg_pyg.config import config_digest
from hgg_pyg.io.files import write_atomically, write_text, writing
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.npz import load_npz
from hgg_pyg.types import UserError

_VERSION = "1"  # raise it when the same footage and options give other results
_KEY, _DONE = "key.txt", "done.json"


@dataclass(frozen=True)
class Stage:
    """A folder with the result of one stage, or with what is there of it."""

    folder: Path
    key: str
    """digest of all that the result depends on, the keys of earlier stages among it"""

    @staticmethod
    def open(work: Path, name: str, *depends_on: Any) -> Stage:
        """The stage's folder, emptied if it was made from anything else.

        Args:
            work: folder of all stages.
            name: of the stage.
            depends_on: strings and configuration dataclasses.

        Raises:
            UserError: the folder cannot be written.
        """
        folder, key = work / name, config_digest(_VERSION, name, *depends_on)
        path = folder / _KEY
        if not path.is_file() or path.read_bytes() != key.encode():
            with writing(folder):
                path.unlink(missing_ok=True)  # first: what an interruption leaves of the rest is not taken for whole
                if folder.exists():
                    shutil.rmtree(folder)
                folder.mkdir(parents=True)
            write_text(path, key)
        return Stage(folder, key)

    @staticmethod
    def was_done(work: Path, name: str) -> bool:
        """Whether a stage was done at some time, with the options of now or with others."""
        return (work / name / _DONE).is_file()

    @property
    def done(self) -> bool:
        """Whether the whole result is there."""
        return (self.folder / _DONE).is_file()

    def record(self, name: str = _DONE) -> dict[str, Any]:
        """What was recorded at the end of the stage, or of a part of it.

        Raises:
            UserError: somebody has changed or removed it.
        """
        with reading_kept(self.folder):
            return read_json_object(self.folder / name, "what a stage of `prepare` left")

    def finish(self, record: dict[str, Any], name: str = _DONE) -> None:
        """Record that the stage, or a part of it, is done.

        Raises:
            UserError: the disk is full.
        """
        write_text(self.folder / name, json.dumps(record))

    def has(self, name: str) -> bool:
        """Whether a part is done."""
        return (self.folder / name).is_file()

    def save(self, name: str, **arrays: np.ndarray) -> None:
        """Keep arrays, all of them or none.

        Raises:
            UserError: the disk is full.
        """
        write_atomically(self.folder / name, lambda path: _savez(path, arrays))

    def load(self, name: str) -> dict[str, np.ndarray]:
        """Arrays that were kept.

        Raises:
            UserError: somebody has changed or removed them.
        """
        path = self.folder / name
        with reading_kept(self.folder):
            with ZipFile(path) as archive:
                keys = [name.removesuffix(".npy") for name in archive.namelist()]
            return load_npz(path, keys, frozenset(), "arrays of a stage of `prepare`", keys)


@contextmanager
def reading_kept(folder: Path) -> Iterator[None]:
    """Say what is to be done where what a stage left in its folder has been changed or removed since.

    Raises:
        UserError: what cannot be read, and that the folder of all stages may be removed.
    """
    try:
        yield
    except (UserError, OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        why = getattr(error, "strerror", None) or error
        said = f"expected what an earlier stage left there, found it changed ({why})"
        raise UserError(
            f"{getattr(error, 'filename', None) or folder}: {said}: remove {folder.parent} and start again"
        ) from None


def _savez(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
