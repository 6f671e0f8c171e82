"""HDF5 files that came from the web: plain arrays of numbers of the file itself, and nothing that it points to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hgg_pyg.io.extras import import_extra
from hgg_pyg.io.limits import ARRAYS, opened, size_text
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

if TYPE_CHECKING:
    import h5py


@contextmanager
def opened_hdf5(path: Path, expected: str, extra: str) -> Iterator[h5py.File]:
    """An HDF5 file that is open for reading; what goes wrong while it is read is said of it.

    Args:
        path: the file.
        expected: what it should be, with its article, for the messages.
        extra: of this package that brings h5py, for the message.

    Raises:
        UserError: h5py is not installed, or the file is missing, none of HDF5's or damaged.
    """
    h5py = import_extra("h5py", extra, path)
    with opened(path, expected) as raw:
        try:
            with h5py.File(raw, "r") as file:
                yield file
        except (OSError, RuntimeError, ValueError, KeyError) as error:  # whichever HDF5 meets first
            said = shown(" ".join(str(error).split()), 200) or type(error).__name__
            raise UserError(f"{path}: expected {expected}, found something unreadable ({said})") from None


def dataset(file: h5py.File, path: Path, key: str, dimensions: int) -> h5py.Dataset:
    """A dataset of numbers, which is read as it is sliced.

    Args:
        file: that is open.
        path: for the messages.
        key: of the dataset, at the file's root.
        dimensions: how many it must have.

    Raises:
        UserError: it is missing, a link, a group, kept in other files, not of numbers, or of another shape.
    """
    import h5py

    if key not in file.keys():  # noqa: SIM118  (`in file` would follow a link to another file)
        found = ", ".join(map(shown, sorted(file.keys())[:20])) or "no keys"
        raise UserError(f"{path}: key '{key}' is missing; found {found}")
    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        raise UserError(f"{path}: key '{key}': expected an array in this file, found a link")
    found: Any = file[key]
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{path}: key '{key}': expected an array, found a group")
    if found.is_virtual or found.external:
        raise UserError(f"{path}: key '{key}': expected an array in this file, found one that is kept in others")
    if found.dtype.kind not in "biuf":
        raise UserError(f"{path}: key '{key}': expected numbers, found {shown(found.dtype)}")
    if len(found.shape) != dimensions:
        raise UserError(f"{path}: key '{key}': expected {dimensions} dimensions, found shape {found.shape}")
    return found


def read_array(file: h5py.File, path: Path, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A dataset of numbers, all of it.

    Args:
        file, path, key: as for `dataset`.
        shape: that it must have; None for any length.

    Raises:
        UserError: as `dataset`, another shape, or more than 2 GiB.
    """
    found = dataset(file, path, key, len(shape))
    if any(wanted not in (None, length) for wanted, length in zip(shape, found.shape, strict=True)):
        text = ", ".join("N" if length is None else str(length) for length in shape)
        raise UserError(f"{path}: key '{key}': expected shape ({text}), found {found.shape}")
    if (size := found.size * found.dtype.itemsize) > ARRAYS:
        raise UserError(f"{path}: key '{key}': expected at most {size_text(ARRAYS)}, found {size_text(size)}")
    return np.asarray(found[...])
