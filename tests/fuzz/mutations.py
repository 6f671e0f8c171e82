"""Ways of damaging a file: bytes, text, and what is in it. Everything follows from the random numbers given."""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import torch

Mutate = Callable[[Random, Sequence[bytes]], bytes]  # one of the valid files, damaged

_NUMBERS = (
    *(b"0", b"-1", b"1", b"-0.0", b"1e999", b"-1e999", b"1e300", b"1e-400", b"NaN", b"Infinity", b"nan", b"inf"),
    *(b"255", b"65536", b"2147483648", b"9223372036854775808", b"18446744073709551616", b"9" * 400, b"9" * 5000),
)
_BYTES = (b"\0", b"\xff", b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\n", b'"', b"[", b"]", b"{", b"}", b"\xe9")
_DTYPES = ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?", "c8", "U3", "S3", "M8[s]", ">f8", "V4", "O")


def bytes_changed(rng: Random, valid: Sequence[bytes]) -> bytes:
    """Bits turned, pieces cut out, repeated, put in from another file or replaced, numbers exchanged, the end lost."""
    content = bytearray(rng.choice(valid))
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at, length = rng.randrange(len(content) + 1), min(1 << rng.randrange(8), 1 + len(content) // 2)
        if rng.random() < 0.5:
            at = min(at, rng.randrange(1024))  # headers are at the beginning
        match rng.randrange(8):
            case 0 | 1 if at < len(content):
                content[at] ^= 1 << rng.randrange(8)
            case 2:
                del content[at : at + length]
            case 3:
                content[at:at] = content[at : at + length] * rng.choice((1, 2, 100))
            case 4:
                other = rng.choice(valid)
                begin = rng.randrange(len(other) + 1)
                content[at : at + length] = other[begin : begin + length]
            case 5:
                content[at : at + rng.randrange(9)] = rng.choice(_BYTES)
            case 6:
                if found := [match.span() for match in re.finditer(rb"-?\d+(?:\.\d+)?", bytes(content[: 1 << 16]))]:
                    begin, end = rng.choice(found)
                    content[begin:end] = rng.choice(_NUMBERS)
            case _ if rng.random() < 0.3:
                del content[at:]
    return bytes(content)


def json_changed(rng: Random, valid: Sequence[bytes]) -> bytes:
    """Other values, keys and depths in a JSON file; now and then in another encoding, or a key twice."""
    values = json.loads(rng.choice(valid))
    for _ in range(rng.choice((1, 1, 2, 4))):
        values = changed(rng, values)
    text = json.dumps(values, default=str)
    for mark in re.findall(r'"raw:[^"]*"', text):
        text = text.replace(mark, mark[5:-1])
    if rng.random() < 0.1 and (keys := re.findall(r'"[^"]*":', text)):
        text = text.replace("{", "{" + f"{rng.choice(keys)} 1, ", rng.choice((1, 2)))
    return text.encode(rng.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "latin-1")), "replace")


def pickle_changed(rng: Random, valid: Sequence[bytes]) -> bytes:
    """Other values in a pickle of ours, in any protocol; the files given are pickles, or .npy files that hold one."""
    content = rng.choice(valid)
    start = content.index(b"\n") + 1 if content.startswith(b"\x93NUMPY") else 0
    values = pickle.loads(content[start:])
    inside = values.item() if isinstance(values, np.ndarray) and values.dtype == object and not values.ndim else values
    for _ in range(rng.choice((1, 1, 2))):
        inside = changed(rng, inside)
    if inside is not values and isinstance(values, np.ndarray) and values.dtype == object and not values.ndim:
        wrapped = np.empty((), object)
        wrapped[()] = inside
        inside = wrapped
    return content[:start] + pickle.dumps(inside, rng.randrange(6))


def npz_changed(rng: Random, valid: Sequence[bytes]) -> bytes:
    """Other arrays in an archive, or damaged ones behind checksums that are right, packed in any way."""
    with zipfile.ZipFile(io.BytesIO(rng.choice(valid))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(entries))
    if rng.random() < 0.5:
        entries[name] = bytes_changed(rng, [entries[name][:4096]]) + entries[name][4096:]
    elif rng.random() < 0.2:
        entries[rng.choice(("junk.npy", "a/b.npy", ".npy", "x.txt"))] = entries.pop(name)
    else:
        file = io.BytesIO()
        np.save(file, array_changed(rng, np.load(io.BytesIO(entries[name]), allow_pickle=True)), allow_pickle=True)
        entries[name] = file.getvalue()
    file = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return bytes_changed(rng, [file.getvalue()]) if rng.random() < 0.2 else file.getvalue()


def safetensors_changed(rng: Random, valid: Sequence[bytes]) -> bytes:
    """Another header of a safetensors file, whose length is stated as it is, or nearly."""
    content = rng.choice(valid)
    length = int.from_bytes(content[:8], "little")
    change = json_changed if rng.random() < 0.7 else bytes_changed
    header = change(rng, [content[8 : 8 + length]])
    stated = len(header) if rng.random() < 0.9 else rng.choice((0, len(header) + 1, 2**63, 2**64 - 1))
    return stated.to_bytes(8, "little") + header + content[8 + length :]


def changed(rng: Random, value: Any, depth: int = 0) -> Any:
    """A value with one thing in it exchanged, taken out, added or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, odd_text(rng): odd(rng)}
            case 2:
                return {(odd_text(rng) if k == key else k): v for k, v in value.items()}
            case _:
                return {**value, key: changed(rng, value[key], depth + 1)}
    if isinstance(value, list | tuple) and value and rng.random() < 0.9:
        items, at = list(value), rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                del items[at]
            case 1:
                items.insert(at, odd(rng))
            case _:
                items[at] = changed(rng, items[at], depth + 1)
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.ndarray | torch.Tensor) and rng.random() < 0.8:
        return array_changed(rng, np.asarray(value))
    return odd(rng)


def array_changed(rng: Random, array: np.ndarray) -> np.ndarray:
    """Another shape, another type, or numbers that are not there."""
    array = np.array(array)
    match rng.randrange(6):
        case 0:
            return np.broadcast_to(array, (rng.choice((0, 1, 2)), *array.shape)).copy()
        case 1:
            return array.reshape(-1)[: rng.randrange(array.size + 1)]
        case 2:
            return array[..., None] if rng.random() < 0.5 else array.T.copy()
        case 3:
            return np.zeros(array.shape, rng.choice(_DTYPES))
        case 4:
            return np.array(rng.choice(([], 0, [[]], "text", None, [[0, 1], [2]] and {"a": 1}, 1e300)))
        case _:
            if array.size and array.dtype.kind in "iuf":
                odd_one = rng.choice((np.nan, np.inf, -np.inf, 1e300, -1.0, 0.0, 1e-300))
                with np.errstate(all="ignore"):
                    array.reshape(-1)[rng.randrange(array.size)] = (
                        odd_one if array.dtype.kind == "f" else rng.choice((0, 1, 127))
                    )
            return array


def odd(rng: Random) -> Any:
    """What a file should not hold, or just might."""
    deep: Any = rng.choice((1, "x"))
    for _ in range(rng.choice((5, 40, 200))):
        deep = [deep] if rng.random() < 0.7 else {"a": deep}
    return rng.choice(
        (
            *(None, True, False, 0, -1, 1, 0.5, 1e300, -1e300, 2**31, 2**63, 2**64, 10**400, 10**4000),
            *(float("nan"), float("inf"), "", "text", "raw:1e999", "raw:" + "9" * 5000, "raw:-", "raw:{", "raw:01"),
            *([], {}, [[]], [1, 2, 3], [None], {"a": 1}, [[1, 2], [3]], [0] * 1000, deep, odd_text(rng)),
        )
    )


def odd_text(rng: Random) -> str:
    """Text that makes a bad name."""
    return rng.choice(
        ("", "a\nb", "\0", "..", "../x", "/", "é", "\ud800", "\udce9", "x" * 300, "raw:", "%s", "{}", "K")
    )
