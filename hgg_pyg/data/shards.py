"""Shards: the Gaussians of a few successive frames in one safetensors file, from which any one frame is read alone."""

from __future__ import annotations

import functools
import logging
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import FileIO
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import save_file
from torch import Tensor

from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.json_files import parse_json
from hgg_pyg.io.limits import JSON_FILE
from hgg_pyg.io.shown import shown
from hgg_pyg.types import Gaussians

FORMAT = "shards 2"  # change it whenever the files are written in another way
FRAMES_PER_SHARD = 8

_FIELDS = tuple(field.name for field in fields(Gaussians))
_DTYPES = {"F16": torch.float16, "F32": torch.float32}
_CHECKSUMS = "checksums"  # of the metadata: NUMBER=CHECKSUM of each frame, hexadecimal, between blanks
_BLOCK = 4096  # bytes that are summed up in a checksum, as 64-bit numbers
_LARGEST = torch.finfo(torch.float16).max

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
    """Write frames by number, with a checksum of each; a reader finds all of the shard or none of it.

    Args:
        path: the file; its folder is made.
        frames: what `halve` gives, [M] each, M may differ.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    tensors = {f"{n:08d}.{f}": getattr(g, f).contiguous() for n, g in frames.items() for f in _FIELDS}
    sums = " ".join(
        f"{n:08d}={_checksum(n, {f: _describe(getattr(g, f)) for f in _FIELDS}):08x}" for n, g in frames.items()
    )
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {_CHECKSUMS: sums}))


def read_frame(path: Path, number: int) -> Gaussians:
    """Read one frame, and of the file nothing else but its header. Safe in threads, which read side by side.

    Reading beats mapping: from a cold disk a mapped file comes in small pieces, at half the speed.

    Returns:
        [M] in float32, features included

    Raises:
        FileNotFoundError: there is no such file.
        DamagedShard: it is not a whole shard, lacks the frame, or has other bytes there than were written.
    """
    with path.open("rb", buffering=0) as file:
        entries, checksums = _read_header(file, path)
        names = {f"{number:08d}.{field}": field for field in _FIELDS}
        if lacking := names.keys() - entries.keys():
            raise DamagedShard(f"{path}: expected {', '.join(sorted(lacking))}, found no such tensor")
        runs: list[list[str]] = []
        for name in sorted(names, key=lambda name: entries[name].begin):
            if runs and entries[runs[-1][-1]].goes_on_with(entries[name]):
                runs[-1].append(name)
            else:
                runs.append([name])
        found, described = {}, {}
        for run in runs:
            for name, tensor in zip(run, _read_run(file, path, [entries[name] for name in run]), strict=True):
                described[names[name]] = _describe(tensor)
                found[names[name]] = tensor.float()
    if _checksum(number, described) != checksums.get(f"{number:08d}"):
        raise DamagedShard(f"{path}: frame {number}: its checksum is of other bytes")
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
        entries, _ = _read_header(file, path)
    means = {name.partition(".")[0]: entry for name, entry in entries.items() if name.endswith(".means")}
    return {int(number): entry.shape[0] for number, entry in means.items()}


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


_Header = tuple[Mapping[str, _Entry], Mapping[str, int]]
"""where each tensor lies, by its name, and the checksum of each frame, by its number of eight digits"""


def _describe(tensor: Tensor) -> str:
    """All that a tensor's numbers depend on: its type, its shape, and the CRC-32 of sums over blocks of its bytes.

    A flipped bit changes a block's sum, and so does a run of wrong bits, up to 32, or a block of zeros; blocks that are
    exchanged change the CRC. Summed, the bytes cost a tenth of what their CRC would, and other threads run meanwhile.
    """
    content = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    whole = len(content) - len(content) % _BLOCK
    sums = content[:whole].view("<u8").reshape(-1, _BLOCK // 8).sum(1)
    return f"{tensor.dtype} {tuple(tensor.shape)} {zlib.crc32(content[whole:].data, zlib.crc32(sums.data)):08x}"


def _checksum(number: int, described: Mapping[str, str]) -> int:
    """Of a frame: its number, and its fields as `_describe` says them."""
    return zlib.crc32(" ".join([str(number), *(f"{name} {described[name]}" for name in _FIELDS)]).encode())


def _read_run(file: FileIO, path: Path, run: Sequence[_Entry]) -> Iterator[Tensor]:
    """Tensors that lie side by side, by one read."""
    sizes = [entry.size for entry in run]
    content = torch.empty(sum(sizes), dtype=torch.uint8)
    file.seek(run[0].begin)
    if file.readinto(content.numpy().data) != len(content):
        raise DamagedShard(f"{path}: it ends while it is read")
    for entry, part in zip(run, content.split(sizes), strict=True):
        yield part.view(entry.dtype).view(entry.shape)


def _read_header(file: FileIO, path: Path) -> _Header:
    """Tensors and checksums by name, once it is sure that the tensors fill the file: a shorter file is found."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    try:
        if 8 + length > size or length > JSON_FILE:
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        return _parse_header(file.read(length), size)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedShard(f"{path}: not a whole shard ({type(error).__name__}: {shown(error, 200)})") from None


@functools.lru_cache(256)  # training comes back to the same shards
def _parse_header(text: bytes, size: int) -> _Header:
    """The tensors that a header describes, in a file of so many bytes, and the frames' checksums."""
    start = 8 + len(text)
    entries, filled = {}, 0
    described = parse_json(text)
    sums = (each.split("=") for each in described.pop("__metadata__")[_CHECKSUMS].split())
    for name, value in described.items():
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
    return MappingProxyType(entries), MappingProxyType({frame: int(found, 16) for frame, found in sums})
