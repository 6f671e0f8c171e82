"""Shards: the Gaussians of a few successive frames in one safetensors file, from which any one frame is read alone."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from io import FileIO
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import Gaussians, UserError

FORMAT = "shards 1"  # change it whenever the files are written in another way
FRAMES_PER_SHARD = 8

_FIELDS = tuple(field.name for field in fields(Gaussians))
_DTYPES = {"F16": torch.float16, "F32": torch.float32}
_LARGEST = torch.finfo(torch.float16).max
_LEFTOVER_S = 24 * 3600

log = logging.getLogger("hgg_pyg")


class DamagedShard(Exception):
    """A file that is not a whole shard, or lacks a frame that it should hold."""


def halve(gaussians: Gaussians, label: str) -> Gaussians:
    """All but the means in half precision, which is finer than the 8-bit images that Gaussians come from.

    Means stay as they are: up to two metres from the origin, half precision is half a millimetre off. Numbers beyond
    its range are cut to it, and the log says so under `label`.
    """
    halved = {}
    for name in _FIELDS[1:]:
        tensor: Tensor | None = getattr(gaussians, name)
        if tensor is None:
            raise ValueError(f"{label}: expected Gaussians with {name}, found none")
        least, most = tensor.aminmax() if tensor.numel() else (0, 0)
        if not (least >= -_LARGEST and most <= _LARGEST):  # or a NaN, which hides how large the others are
            if beyond := int((tensor.abs() > _LARGEST).sum()):
                log.warning("%s: %s: %d numbers beyond half precision were cut to %g", label, name, beyond, _LARGEST)
            tensor = tensor.clamp(-_LARGEST, _LARGEST)
        halved[name] = tensor.half()
    return replace(gaussians, **halved)


def write_shard(path: Path, frames: Mapping[int, Gaussians]) -> None:
    """Write frames by number; a reader finds all of the shard or none of it.

    Args:
        path: the file; its folder is made.
        frames: what `halve` gives, [M] each, M may differ.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    tensors = {f"{n:08d}.{f}": getattr(g, f).contiguous() for n, g in frames.items() for f in _FIELDS}
    with writing(path):
        write_atomically(path, lambda temporary: save_file(tensors, temporary))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line that a file of the cache cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: expected a folder that can be written, and room in it, found: {error}") from None


def read_frame(path: Path, number: int) -> Gaussians:
    """Read one frame, and of the file nothing else but its header. Safe in threads, which read side by side.

    Reading beats mapping: from a cold disk a mapped file comes in small pieces, at half the speed.

    Returns:
        [M] in float32, features included

    Raises:
        FileNotFoundError: there is no such file.
        DamagedShard: it is not a whole shard, or lacks the frame.
    """
    with path.open("rb", buffering=0) as file:
        entries = _read_header(file, path)
        names = {f"{number:08d}.{field}": field for field in _FIELDS}
        if lacking := names.keys() - entries.keys():
            raise DamagedShard(f"{path}: expected {', '.join(sorted(lacking))}, found no such tensor")
        runs: list[list[str]] = []
        for name in sorted(names, key=lambda name: entries[name].begin):
            if runs and entries[runs[-1][-1]].goes_on_with(entries[name]):
                runs[-1].append(name)
            else:
                runs.append([name])
        found = {}
        for run in runs:
            for name, tensor in zip(run, _read_run(file, path, [entries[name] for name in run]), strict=True):
                found[names[name]] = tensor.float()
    try:
        return Gaussians(**found)
    except ValueError as error:
        raise DamagedShard(f"{path}: frame {number}: {error}") from None


def read_counts(path: Path) -> dict[int, int]:
    """How many Gaussians each frame of a shard has, by frame number. Only the header is read.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedShard: it is not a whole shard.
    """
    with path.open("rb", buffering=0) as file:
        entries = _read_header(file, path)
    means = {name.partition(".")[0]: entry for name, entry in entries.items() if name.endswith(".means")}
    return {int(number): entry.shape[0] for number, entry in means.items()}


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that runs left when they were killed, a day old or more: younger ones may be in use."""
    for path in folder.glob(".*"):
        with suppress(FileNotFoundError):  # another process does the same
            if time.time() - path.stat().st_mtime > _LEFTOVER_S:
                path.unlink()


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies in a file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def goes_on_with(self, other: _Entry) -> bool:
        """Whether the other one follows at once, and is of the same kind."""
        return self.begin + self.size == other.begin and self.dtype == other.dtype


def _read_run(file: FileIO, path: Path, run: Sequence[_Entry]) -> Iterator[Tensor]:
    """Tensors that lie side by side, by one read."""
    sizes = [entry.size for entry in run]
    content = torch.empty(sum(sizes), dtype=torch.uint8)
    file.seek(run[0].begin)
    if file.readinto(content.numpy().data) != len(content):
        raise DamagedShard(f"{path}: it ends while it is read")
    for entry, part in zip(run, content.split(sizes), strict=True):
        yield part.view(entry.dtype).view(entry.shape)


def _read_header(file: FileIO, path: Path) -> Mapping[str, _Entry]:
    """The tensors of a file by name, once it is sure that they fill it: a shorter file, or another name, is found."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    try:
        if 8 + length > size:
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        return _parse_header(file.read(length), size)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedShard(f"{path}: not a whole shard ({type(error).__name__}: {error})") from None


@functools.lru_cache(256)  # training comes back to the same shards
def _parse_header(text: bytes, size: int) -> Mapping[str, _Entry]:
    """The tensors that a header describes, in a file of so many bytes."""
    start = 8 + len(text)
    entries, filled = {}, 0
    for name, value in json.loads(text).items():
        begin, end = value["data_offsets"]
        entry = _Entry(_DTYPES[value["dtype"]], tuple(value["shape"]), start + begin)
        if not all(type(n) is int and n >= 0 for n in (begin, end, *entry.shape)):
            raise ValueError(f"{name}: expected whole numbers, found {value}")
        if end - begin != entry.size:
            raise ValueError(f"{name}: expected {entry.size} bytes, found {end - begin}")
        entries[name] = entry
        filled += end - begin
    if start + filled != size:
        raise ValueError(f"expected {start + filled} bytes, found {size}")
    return MappingProxyType(entries)
