"""Archives of arrays, .npz: what is asked for is unpacked once it is known how large it is, and nothing else is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from hgg_pyg.io.limits import ARRAYS, opened, size_text
from hgg_pyg.io.pickles import Names, read_npy, unreadable
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError


def load_npz(
    path: Path, keys: Collection[str], allow: Names, expected: str, required: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Read those of `keys` that an .npz file has. Its other entries are not looked at, whatever they hold.

    Args:
        path: the file.
        keys: of the arrays to read.
        allow: what arrays of objects may hold, see `load_pickle`; with no names, plain numbers and text only.
        expected: what the file should be, with its article, for the messages: "a body file".
        required: those of the keys that must be there.

    Raises:
        UserError: the file is missing, damaged or encrypted, lacks a required key or has one twice, its arrays are
            larger than 2 GiB together, or as `load_pickle`.
    """
    with opened(path, expected) as file:
        try:
            if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError("a single array, as numpy.save writes it")
            with zipfile.ZipFile(file) as archive:
                entries = [info for info in archive.infolist() if info.filename.endswith(".npy")]
                names = [info.filename.removesuffix(".npy") for info in entries]
                for key in required:
                    if key not in names:
                        found = ", ".join(map(shown, sorted(names)[:20])) or "no keys"
                        raise UserError(f"{path}: key '{key}' is missing; found {found}")
                wanted = {name: info for name, info in zip(names, entries, strict=True) if name in keys}
                for name in wanted:
                    if names.count(name) > 1:
                        raise UserError(f"{path}: expected every key once, found '{name}' {names.count(name)} times")
                size = sum(info.file_size for info in wanted.values())  # no more than that is ever unpacked
                if size > ARRAYS:
                    found = f"{', '.join(wanted)} of {size_text(size)}"
                    raise UserError(f"{path}: expected {expected} of at most {size_text(ARRAYS)}, found {found}")
                arrays = {}
                for name, info in wanted.items():
                    with archive.open(info) as entry:
                        arrays[name] = read_npy(entry, info.file_size, allow, path, f"{expected}, key '{name}'")
                return arrays
        except UserError:
            raise
        except Exception as error:  # each way of packing complains in its own way of damage and of encryption
            raise unreadable(path, expected, error) from None


def write_object(content: object) -> bytes:
    """A dictionary as numpy.save writes it: an array of no dimensions, which is a pickle."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(content, dtype=object), allow_pickle=True)
    return buffer.getvalue()


def write_npy(array: np.ndarray) -> bytes:
    """An array of numbers as an entry of such an archive, or as a file of its own."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def with_entries(path: Path, changed: dict[str, np.ndarray]) -> bytes:
    """An .npz file's content with some of its arrays replaced or added; all other entries keep their bytes.

    Raises:
        UserError: its arrays are larger than 2 GiB together.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as target:
        infos = source.infolist()
        if (size := sum(info.file_size for info in infos)) > ARRAYS:
            raise UserError(f"{path}: expected at most {size_text(ARRAYS)} of arrays, found {size_text(size)}")
        left = dict(changed)
        for info in infos:
            array = left.pop(info.filename.removesuffix(".npy"), None)
            target.writestr(info, source.read(info) if array is None else write_npy(array), info.compress_type)
        for key, array in left.items():
            target.writestr(f"{key}.npy", write_npy(array))
    return buffer.getvalue()
