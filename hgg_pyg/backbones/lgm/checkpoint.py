"""LGM's weights: which file, and what is wrong with another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from hgg_pyg.backbones.lgm.network import LGM, PRESETS, Preset
from hgg_pyg.io.shown import shown
from hgg_pyg.io.tensors import load_tensors, save_tensors
from hgg_pyg.io.weights import own_names
from hgg_pyg.types import UserError

PUBLIC_FILE, PUBLIC_SIZE = "model_fp16_fixrot.safetensors", 256
_WHERE = f"{PUBLIC_FILE} (830 MB, preset big) of huggingface.co/ashawkey/LGM"


@dataclass(frozen=True)
class LoadedLGM:
    """Frozen weights in float32 on the CPU, and what they were made for."""

    network: LGM
    preset: Preset
    size: int  # of the images


def load_lgm(checkpoint: Path | None, preset: Preset | None = None, size: int | None = None) -> LoadedLGM:
    """Read weights. Preset and size are those that the file names, where it does, else big and 256.

    Prefixes of DistributedDataParallel, torch.compile and trainers before the names of weights are understood.

    Args:
        checkpoint: the public file, or one that `save_lgm` wrote.
        preset: what is expected of the file.
        size: another size of images.

    Raises:
        UserError: there is no file, it cannot be read, it is damaged (which the digest of one that `save_lgm` wrote
            tells), a weight is not finite, or it is of another preset.
    """
    if checkpoint is None:
        raise UserError(f"backbone lgm: expected weights, found none: give {_WHERE} by --backbone.checkpoint PATH")
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: expected LGM's weights, found no such file; the public ones: {_WHERE}")
    file = load_tensors(checkpoint)
    said, state = file.metadata, file.tensors
    named = said.get("preset", "big")
    if preset is None and named not in PRESETS:
        raise UserError(f"{checkpoint}: preset: expected one of {', '.join(PRESETS)}, found {named[:40]!r}")
    chosen = preset or cast(Preset, named)
    with torch.device("meta"):
        model = LGM(PRESETS[chosen])
    state = own_names(state, model.state_dict())
    _check_state(checkpoint, chosen, model.state_dict(), state)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True, assign=True)
    known = said.get("size", "")
    return LoadedLGM(
        model.eval().requires_grad_(False), chosen, size or (int(known) if known.isdecimal() else PUBLIC_SIZE)
    )


def save_lgm(network: LGM, preset: Preset, size: int, path: Path) -> None:
    """Write weights under the names of the public file, with preset, size and digest, all at once or not at all."""
    save_tensors(path, network.state_dict(), {"preset": preset, "size": str(size)})


def _check_state(path: Path, preset: Preset, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Name the first three weights that do not fit."""
    wrong = [
        f"{shown(name)}: expected {_shape(expected.get(name))}, found {_shape(found.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if _shape(expected.get(name)) != _shape(found.get(name))
    ]
    if wrong:
        raise UserError(f"{path}: {len(wrong)} weights are not those of preset {preset}: {'; '.join(wrong[:3])}")


def _shape(tensor: Tensor | None) -> str:
    if tensor is None:
        return "none"
    return str(tuple(tensor.shape)) if tensor.is_floating_point() else f"{tuple(tensor.shape)} of {tensor.dtype}"
