"""Pickles that came from the web, read through allow-lists: what a file holds is built, never run.

A pickle is a program that may call anything it names, so a reader names what it lets through: groups of names, joined
with `|`. What a file then gets are stand-ins made for that one file. A pickle can also set attributes, and what it sets
is thrown away with them; and numpy's own functions trust a pickle so far that it can pass plain bytes off as pointers.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from hgg_pyg.io.limits import ARRAYS, read_within, size_text
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

Names = frozenset[tuple[str, str]]

NUMPY: Names = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    | {
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    }
)
"""Arrays, data types and single numbers."""

_MATRICES: Names = frozenset(
    (module, f"{form}_matrix")
    for form in ("csc", "csr", "coo")
    for module in (f"scipy.sparse.{form}", f"scipy.sparse._{form}")
)
_OBJECTS: Names = frozenset(  # how objects are made in the first two protocols
    {("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor"), ("__builtin__", "object"), ("builtins", "object")}
)

SCIPY: Names = _MATRICES | _OBJECTS
"""Sparse matrices; they arrive as `Inert` objects, for `as_array`."""

CHUMPY: Names = _OBJECTS | {("chumpy", "*"), ("__builtin__", "set"), ("builtins", "set")}
"""All of chumpy, which cannot be imported any more, as `Inert` objects, for `as_array`; and the sets they hold."""

TORCH: Names = frozenset(
    {("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes"), ("_codecs", "encode")}
    | {("collections", "OrderedDict")}
)
"""Dense tensors; they arrive on the CPU, without gradients."""

_DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip
_STORAGES: Names = frozenset((module, f"{name}Storage") for module in ("torch", "torch.cuda") for name in _DTYPES)
_INSTRUCTIONS = {instruction.code: instruction for instruction in pickletools.opcodes}
_REMEMBERS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_NPY_HEADER = 2**14  # bytes: numpy itself takes headers of 10,000
_TORCH_MAGIC, _TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Inert:
    """Stands in for a class of another package: keeps the pickled state in `__dict__`, runs nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


def load_pickle(path: Path, allow: Names, expected: str) -> Any:
    """Read a pickle that may hold plain Python values and what `allow` names.

    Args:
        path: the file.
        allow: groups such as `NUMPY | TORCH`.
        expected: what the file should be, with its article, for the messages: "a body file".

    Raises:
        UserError: the file is missing, damaged or larger than 2 GiB, or names anything else, which is not run.
    """
    return _unpickle(read_within(path, ARRAYS, expected), allow, path, expected)


def load_npy(path: Path, allow: Names, expected: str) -> np.ndarray:
    """Read an .npy file: a plain array, or an array of objects, which is a pickle behind the file's header.

    A dictionary that was saved so comes as an array of no dimensions: `.item()` is the dictionary.

    Raises:
        UserError: as `load_pickle`.
    """
    content = read_within(path, ARRAYS, expected)
    return read_npy(io.BytesIO(content), len(content), allow, path, expected)


def as_array(value: Any) -> np.ndarray | None:
    """The numbers in a value that these readers return: an array, a tensor, a sparse matrix or a chumpy object.

    Of chumpy there are those that hold an array (`x`) and those that select or reshape another one's elements.

    Raises:
        ValueError: the parts of a sparse matrix or of a selection do not fit together.
    """
    try:
        return _numbers(value)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"a damaged one ({error})") from None


def _numbers(value: Any) -> np.ndarray | None:
    if isinstance(value, np.ndarray):
        return _numbers(value.item()) if value.dtype == object and value.ndim == 0 else np.asarray(value)
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if not isinstance(value, Inert):
        return None
    state, name = value.__dict__, type(value).__name__
    if name.endswith("_matrix"):
        return _dense(name, state)
    if "x" in state:
        return _numbers(state["x"])
    inner = _numbers(state.get("a"))
    if inner is None:
        return None
    chosen = inner.ravel()[state["idxs"]] if "idxs" in state else inner
    shape = state.get("preferred_shape", state.get("newshape"))
    return chosen if shape is None else chosen.reshape(shape)


class AllowedNames:
    """Looks up names on the allow-list and refuses all others: half of an unpickler."""

    _allow: Names
    _path: Path
    _expected: str

    def find_class(self, module: str, name: str) -> Any:
        # Whole pairs are compared, so that a dotted name, which would be looked up step by step, is never let through.
        if (module, name) in self._allow:
            return self._stand_in(module, name)
        if ("chumpy", "*") in self._allow and module.partition(".")[0] == "chumpy":
            return type("chumpy", (Inert,), {})
        raise UserError(
            f"{self._path}: refused: {shown(f'{module}.{name}', 100)} is not something {self._expected} may hold"
        )

    def _stand_in(self, module: str, name: str) -> Any:
        if (module, name) in _MATRICES | _STORAGES:
            return type(name, (Inert,), {})
        match name:
            case "ndarray" | "object":
                return type(name, (Inert,), {})
            case "dtype":
                return lambda spec, *_: DType(spec)
            case "_reconstruct":
                return lambda *_: np.empty(0, "b").view(_Array)
            case "scalar":
                return lambda dtype, data: np.frombuffer(_bytes(data), dtype.real, 1)[0]
            case "_frombuffer":
                return lambda data, dtype, shape, order: np.frombuffer(data, dtype.real).reshape(shape, order=order)
            case "encode":
                return lambda text, encoding: _bytes(text, encoding)
            case "_reconstructor":
                return lambda cls, *_: _made(cls)
            case "_load_from_bytes":
                return lambda data: _load_storage(data, self._path, self._expected)
            case "_rebuild_tensor_v2":
                return lambda storage, offset, size, stride, *_: _tensor(storage, offset, size, stride)
            case _:
                return {"set": set, "OrderedDict": OrderedDict}[name]  # of C: nothing can be set on them


class _Unpickler(AllowedNames, pickle.Unpickler):
    def __init__(self, file: io.BytesIO, allow: Names, path: Path, expected: str) -> None:
        super().__init__(file, encoding="latin1")
        self._file, self._allow, self._path, self._expected = file, allow, path, expected

    def load(self) -> Any:
        start = self._file.tell()
        _check_numbers(self._file)
        self._file.seek(start)
        return super().load()


class DType:
    """What a file says of a data type, where it is one of plain numbers, text or objects."""

    def __init__(self, spec: str) -> None:
        self.real = np.dtype(spec)
        if self.real.kind not in "biufcSUO":
            raise pickle.UnpicklingError(f"an array of {spec}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *parts = state[:5]
        if any(part is not None for part in parts):
            raise pickle.UnpicklingError("an array of records")
        if order in ("<", ">"):
            self.real = self.real.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose elements come after it was made, as they do in pickles."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        if not dtype.real.hasobject:
            data = _bytes(data)
            if math.prod(shape) * dtype.real.itemsize != len(data):
                raise pickle.UnpicklingError(f"an array of the shape {shown(shape)} in {len(data)} bytes")
        elif not isinstance(data, list) or len(data) != math.prod(shape):
            raise pickle.UnpicklingError("an array of objects that are not there")
        super().__setstate__((1, shape, dtype.real, fortran, data))

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


class _StorageUnpickler(_Unpickler):
    """Reads what torch wrote of one storage: its description, to which the numbers are appended in plain bytes."""

    def __init__(self, file: io.BytesIO, path: Path, expected: str) -> None:
        super().__init__(file, _STORAGES, path, expected)

    def persistent_load(self, pid: Any) -> tuple[str, torch.dtype]:
        tag, storage, key, _location, _count, view = pid
        if tag != "storage" or view is not None:
            raise pickle.UnpicklingError("a storage that is not a plain one")
        return key, _DTYPES[storage.__name__.removesuffix("Storage")]


def _load_storage(data: bytes, path: Path, expected: str) -> torch.Tensor:
    """What `torch.storage._load_from_bytes` does, as a flat tensor.

    torch's own calls `torch.load(weights_only=False)`, which runs what it is told to, and before version 2.6 even
    `weights_only=True` could be made to. So the format is read here: five pickles (magic number, version, machine,
    storage, keys), then the number of elements and the elements, little endian.
    """
    file = io.BytesIO(data)
    head = [_StorageUnpickler(file, path, expected).load() for _ in range(5)]
    if head[0] != _TORCH_MAGIC or head[1] != _TORCH_PROTOCOL or not head[2]["little_endian"]:
        raise pickle.UnpicklingError("a storage in a format of its own")
    key, dtype = head[3]
    if head[4] != [key]:
        raise pickle.UnpicklingError(f"{len(head[4])} storages in the place of one")
    (count,) = struct.unpack("<q", file.read(8))
    rest = file.read()
    if count < 0 or len(rest) != count * dtype.itemsize:
        raise pickle.UnpicklingError(f"a storage of {count} {dtype} in {len(rest)} bytes")
    if sys.byteorder != "little":
        raise pickle.UnpicklingError("storages can be read on little-endian machines only")
    return torch.frombuffer(bytearray(rest), dtype=dtype) if count else torch.empty(0, dtype=dtype)


def _check_numbers(file: io.BytesIO) -> None:
    """Go through one pickle's instructions, and refuse what would have memory taken for more than is in the file.

    Objects are remembered under numbers, and there is memory for all numbers up to the highest one: 64 GB, if a file
    says so. No pickle has more objects than bytes. Objects that are longer than the file are found here as well.
    """
    size, name = len(file.getbuffer()), ""
    while name != "STOP":
        instruction = _INSTRUCTIONS.get(file.read(1).decode("latin1"))
        if instruction is None:
            raise pickle.UnpicklingError("no pickle's instruction")
        name, argument = instruction.name, instruction.arg
        if name == "STRING":  # of Python 2: any bytes, which its own reader does not take
            file.readline()
        elif argument is not None and (number := argument.reader(file)) and name in _REMEMBERS and number > size:
            raise pickle.UnpicklingError(f"object number {number} in {size} bytes")


def _tensor(storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    """A tensor that shares nothing: one whose elements are the same numbers again and again may become large."""
    _check_size(math.prod(size) * storage.itemsize)
    return storage.as_strided(size, stride, offset).clone()


def _check_size(size: int) -> None:
    if size > ARRAYS:
        raise ValueError(f"an array of {size_text(size)}, expected at most {size_text(ARRAYS)}")


def _bytes(text: str | bytes, encoding: str = "latin1") -> bytes:
    """Bytes as pickles of protocol 2 and of Python 2 spell them."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes written in {encoding!r}")
    return text.encode("latin1") if isinstance(text, str) else text


def _made(cls: Any) -> Inert:
    if not issubclass(cls, Inert):
        raise pickle.UnpicklingError(f"an object of {cls.__name__}")
    return cls()


def _unpickle(content: bytes, allow: Names, path: Path, expected: str) -> Any:
    try:
        return _Unpickler(io.BytesIO(content), allow, path, expected).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise unreadable(path, expected, error) from None


def read_npy(file: IO[bytes], size: int, allow: Names, path: Path, expected: str) -> np.ndarray:
    """Read an .npy from the beginning of an open file, for `load_npy` and archives of such files.

    Args:
        file: that can go back to its beginning.
        size: bytes that are in it; what an array takes is held against them before it is made.
        allow: as `load_pickle`.
        path: for the messages.
        expected: for the messages.

    Raises:
        UserError: as `load_pickle`.
    """
    head = io.BytesIO(file.read(_NPY_HEADER))
    try:
        shape, dtype = _npy_header(head)
        needed = math.prod(shape) * dtype.itemsize
        if any(length < 0 for length in shape) or max(size - head.tell(), 0) < needed * (not dtype.hasobject):
            raise ValueError(f"numbers of the shape {shown(shape)} in {size} bytes")
        file.seek(0)
        if not dtype.hasobject:
            return np.lib.format.read_array(file, allow_pickle=False)
        file.seek(head.tell())
        content = file.read()
    except Exception as error:  # numpy evaluates the header as Python, and what unpacks a damaged archive differs
        raise unreadable(path, expected, error) from None
    array = _unpickle(content, allow, path, expected)
    if not isinstance(array, np.ndarray):
        raise unreadable(path, expected, f"{type(array).__name__} in the place of an array")
    return np.asarray(array)


def _npy_header(head: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the data type of an .npy file."""
    version = np.lib.format.read_magic(head)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format, which is for named columns")
    shape, _fortran, dtype = readers[version](head)
    if dtype.kind not in "biufSUO":
        raise ValueError(f"an array of {shown(dtype)}")
    return shape, dtype


def _dense(name: str, state: dict[str, Any]) -> np.ndarray:
    """A sparse matrix from its pickled parts; scipy's checks see that no index is outside it."""
    import scipy.sparse

    shape: Any = state.get("_shape", state.get("shape"))
    _check_size(math.prod(shape) * state["data"].itemsize)
    if name == "coo_matrix":
        place = state["coords"] if "coords" in state else (state["row"], state["col"])
        return scipy.sparse.coo_matrix((state["data"], tuple(place)), shape=shape).toarray()
    matrix = getattr(scipy.sparse, name)((state["data"], state["indices"], state["indptr"]), shape=shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()


def unreadable(path: Path, expected: str, error: object) -> UserError:
    """What to say of a file that something is wrong with."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{path}: expected {expected}, found something unreadable ({reason})")
