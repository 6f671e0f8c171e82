"""What `joblib.dump` writes, read through an allow-list: a pickle with the bytes of its arrays between instructions.

https://joblib.readthedocs.io/en/stable/persistence.html. Where an array stands, the pickle has an object of the class
NumpyArrayWrapper with its shape, order and type, and right behind it, outside of the pickle, the numbers; since joblib
1.2 with as many bytes before them as one byte says, which align them.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hgg_pyg.io.limits import ARRAYS, read_within
from hgg_pyg.io.pickles import NUMPY, AllowedNames, DType, Inert, unreadable
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_PACKED = (b"x", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")  # zlib, gzip, bz2, xz, lzma, lz4


def load_joblib(path: Path, expected: str) -> Any:
    """Read a file of plain Python values and arrays that joblib wrote, or pickle.

    Args:
        path: the file.
        expected: what it should be, with its article, for the messages.

    Raises:
        UserError: the file is missing, compressed, damaged or larger than 2 GiB, or names anything but what arrays are
            made of, which is not run.
    """
    content = read_within(path, ARRAYS, expected)
    if content.startswith(_PACKED):
        raise UserError(f"{path}: expected {expected}, found it compressed: write it anew with joblib.dump alone")
    try:
        return _Unpickler(io.BytesIO(content), path, expected).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise unreadable(path, expected, error) from None


_load_build: Any = pickle._Unpickler.dispatch[pickle.BUILD[0]]


class _Wrapper(Inert):
    """Stands where an array's numbers are to follow."""


class _Unpickler(AllowedNames, pickle._Unpickler):
    """In Python, so that it can stop between two instructions; it remembers objects by name, not in a long row."""

    def __init__(self, file: io.BytesIO, path: Path, expected: str) -> None:
        super().__init__(file, encoding="latin1")
        self._file, self._allow, self._path, self._expected = file, NUMPY, path, expected

    def find_class(self, module: str, name: str) -> Any:
        return _Wrapper if (module, name) == _WRAPPER else super().find_class(module, name)

    def _build(self: Any) -> None:
        _load_build(self)
        if isinstance(self.stack[-1], _Wrapper):
            self.stack[-1] = _array(self._file, vars(self.stack[-1]))

    def _refuse(self: Any) -> None:
        raise pickle.UnpicklingError("an array of bytes that can be changed")  # takes memory before its bytes are there

    dispatch: ClassVar[Any] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: _build,
        pickle.BYTEARRAY8[0]: _refuse,
    }


def _array(file: io.BytesIO, said: dict[str, Any]) -> np.ndarray:
    """The numbers of an array, from where the file is at."""
    shape, dtype, order = said["shape"], said["dtype"], said.get("order", "C")
    if not isinstance(dtype, DType) or dtype.real.hasobject:
        raise pickle.UnpicklingError(f"an array of {shown(getattr(dtype, 'real', dtype))}")
    if said.get("numpy_array_alignment_bytes") is not None:
        file.read(file.read(1)[0])
    count = math.prod(shape)
    content = file.read(count * dtype.real.itemsize) if 0 <= count * dtype.real.itemsize <= ARRAYS else b""
    if any(length < 0 for length in shape) or len(content) != count * dtype.real.itemsize:
        raise pickle.UnpicklingError(f"an array of the shape {shown(shape)} in {len(content)} bytes")
    return np.frombuffer(content, dtype.real).reshape(shape, order="F" if order == "F" else "C")
