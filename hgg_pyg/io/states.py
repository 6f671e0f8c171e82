"""Nested states in an archive of torch.save with its own digest: torch writes checksums and never reads them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.seals import BLANK, LENGTH, is_intact, seal
from hgg_pyg.types import UserError

_LABEL = b"hgg_pyg sha256 "
_COMMENT = len(_LABEL) + LENGTH  # bytes of the archive's comment: the last thing in a zip file, free for anything


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state that `torch.load` reads; a reader finds the file of before or this one, whole.

    Raises:
        UserError: it cannot be written, or the disk is full.
    """

    def write(temporary: Path) -> None:
        torch.save(state, temporary)
        with temporary.open("r+b") as file:
            file.seek(-2, 2)  # the length of the comment, none so far
            file.write(_COMMENT.to_bytes(2, "little") + _LABEL + BLANK)
        seal(temporary, temporary.stat().st_size - LENGTH)

    write_atomically(path, write)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, on the CPU; nothing in it is executed.

    Raises:
        UserError: there is no such file, or it is not to the bit what was written.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _COMMENT))
            label = file.read(len(_LABEL))
        if label != _LABEL:
            found = "found none: it is damaged, or of an earlier version"
            raise UserError(f"{path}: expected a checkpoint of this program, with its digest at the end, {found}")
        if not is_intact(path, size - LENGTH):
            raise UserError(f"{path}: expected the content that its digest was made of, found a damaged file")
        state = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise UserError(f"{path}: expected a checkpoint, found nothing") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: expected a checkpoint of this program ({said})") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: expected a checkpoint of this program, found {type(state).__name__}")
    return state
