"""LGM's weights: which file, and what is wrong with another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hgg_pyg.backbones.lgm.network import LGM, PRESETS, Preset
from hgg_pyg.types import UserError

PUBLIC_FILE = "model_fp16_fixrot.safetensors"
_WHERE = f"{PUBLIC_FILE} (830 MB, preset big) of huggingface.co/ashawkey/LGM"


def load_lgm(preset: Preset, checkpoint: Path | None) -> LGM:
    """A frozen LGM in float32, on the CPU.

    Raises:
        UserError: there is no file, it cannot be read, or it is of another preset.
    """
    if checkpoint is None:
        raise UserError(f"backbone lgm: expected weights, found none: give {_WHERE} by --backbone.checkpoint PATH")
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: expected LGM's weights, found no such file; the public ones: {_WHERE}")
    try:
        state = load_file(checkpoint)
    except SafetensorError as error:
        raise UserError(f"{checkpoint}: expected a safetensors file ({error})") from None
    with torch.device("meta"):
        model = LGM(PRESETS[preset])
    _check_state(checkpoint, preset, model.state_dict(), state)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def _check_state(path: Path, preset: Preset, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Name the first three weights that do not fit."""
    wrong = [
        f"{name}: expected {_shape(expected.get(name))}, found {_shape(found.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if _shape(expected.get(name)) != _shape(found.get(name))
    ]
    if wrong:
        raise UserError(f"{path}: {len(wrong)} weights are not those of preset {preset}: {'; '.join(wrong[:3])}")


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else str(tuple(tensor.shape))
