"""Named tensors in a safetensors file that carries its own digest: what is read is what was written, or is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.seals import BLANK, LENGTH, is_intact, seal
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_KEY = "hgg_pyg sha256"  # of the metadata; files of other programs have none
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # with the smaller ones torch cannot calculate


@dataclass(frozen=True)
class TensorFile:
    """What such a file holds."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sealed: bool  # False: of another program or an earlier version, so that damage cannot be told


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, from any device, and texts about them; a reader finds all of the file or none of it.

    Raises:
        UserError: the file cannot be written, or the disk is full.
    """

    def write(temporary: Path) -> None:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(state, temporary, {**metadata, _KEY: BLANK.decode()})
        place = _place_of_seal(temporary)
        assert place is not None
        seal(temporary, place)

    write_atomically(path, write)


def load_tensors(path: Path) -> TensorFile:
    """Read tensors, on the CPU; those of another program's file, too, which has no digest to hold them to.

    Raises:
        UserError: there is no such file, it is not a safetensors file, its content is not what was written, or a weight
            is NaN or infinite.
    """
    try:
        with open_tensors(path) as file:
            metadata = dict(file.metadata() or {})
            if sealed := _KEY in metadata:
                place = _place_of_seal(path)
                if place is None or not is_intact(path, place):
                    raise UserError(f"{path}: expected the content that its digest was made of, found a damaged file")
                del metadata[_KEY]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: expected a safetensors file ({shown(error, 300)})") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.dtype not in _FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{path}: {shown(name)}: expected numbers of 16 bits or more, found {kind}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {shown(name)}: expected finite numbers, found NaN or infinity")
    return TensorFile(tensors, metadata, sealed)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts about the tensors alone, of a file that `load_tensors` has found intact."""
    with open_tensors(path) as file:
        return {name: text for name, text in (file.metadata() or {}).items() if name != _KEY}


@contextmanager
def open_tensors(path: Path) -> Iterator[safe_open]:
    """A safetensors file by any name, which the library takes in UTF-8 only.

    Raises:
        OSError, SafetensorError: there is no such file, or it is not one.
    """
    with path.open("rb") as file:
        name = str(path)
        if name.encode("utf-8", "ignore").decode() != name:
            name = f"/proc/self/fd/{file.fileno()}"
        with safe_open(name, "pt") as tensors:
            yield tensors


def misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first weight, by name, that is not of the shape and type that is expected; None where all are."""
    for name in sorted(expected.keys() | found.keys()):
        if (wanted := _form(expected.get(name))) != (there := _form(found.get(name))):
            return f"{shown(name)}: expected {wanted}, found {there}"
    return None


def _form(weight: Tensor | None) -> str:
    return (
        "no such weight" if weight is None else f"{tuple(weight.shape)} of {str(weight.dtype).removeprefix('torch.')}"
    )


def _place_of_seal(path: Path) -> int | None:
    """Where the digest starts in a file; None where there is none."""
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    found = re.search(rb'"' + _KEY.encode() + rb'":"([^"]{%d})"' % LENGTH, header)
    return None if found is None else 8 + found.start(1)
