"""A network's folder: its configuration as JSON, its weights with a digest of both."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hgg_pyg.config import changed_setting, config_from_json, config_json, settings_of
from hgg_pyg.io.files import write_text
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.io.tensors import TensorFile, load_tensors, save_tensors
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.types import UserError

CONFIG_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
_FREE = ("backend",)  # how attention is computed: the same operation, and machines differ in what they have

log = logging.getLogger("hgg_pyg")


def write_saved(folder: Path, config: ModelConfig, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write both files, each at once or not at all; see `HGGNet.save`."""
    write_text(folder / CONFIG_FILE, config_json(config))
    save_tensors(folder / WEIGHTS_FILE, weights, {**about, "model": json.dumps(settings_of(config))})


def read_saved(folder: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """What `write_saved` wrote, by the names in the file; weights that are all in half precision become float32.

    Raises:
        UserError: a file is missing or damaged, the weights are of another configuration, or one is not finite.
    """
    config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    for path in (config_path, weights_path):
        if not path.is_file():
            raise UserError(f"{path}: expected a saved model, found nothing")
    try:
        config = config_from_json(ModelConfig, read_json_object(config_path, "a model configuration"))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{config_path}: expected a model configuration ({shown(error, 300)})") from None
    file = load_tensors(weights_path)
    if file.sealed or file.metadata:
        _check_written_together(file, config, config_path, weights_path)
    else:
        log.warning("%s: an earlier version wrote no digest, so that damage would not be seen", weights_path)
    return config, _in_full(file.tensors)


def _check_written_together(file: TensorFile, config: ModelConfig, config_path: Path, weights_path: Path) -> None:
    """Refuse a configuration that the weights were not written with: their shapes may fit another network, too."""
    if not file.sealed or "model" not in file.metadata:
        raise UserError(f"{weights_path}: expected the digest of its content, found none: the file is damaged")
    if change := changed_setting(json.loads(file.metadata["model"]), config, _FREE):
        raise UserError(f"{config_path}: {change}: it is not the one that {weights_path.name} was written with")


def _in_full(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that are all in half precision as float32, others as they are."""
    halved = all(weight.dtype == torch.float16 for weight in weights.values())
    return {name: weight.float() if halved else weight for name, weight in weights.items()}
