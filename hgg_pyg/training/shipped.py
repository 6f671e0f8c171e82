"""The weights that come with hgg_pyg: a training run of preset `robust`, in half precision, in the package's folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hgg_pyg.config import config_json, settings_of
from hgg_pyg.io.files import write_text
from hgg_pyg.io.tensors import read_metadata
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.saved import WEIGHTS_FILE
from hgg_pyg.training.run import (
    CONFIG_FILE,
    MODEL_FOLDER,
    RUN_SETTINGS,
    TrainConfig,
    check_settings,
    read_config,
)

SHIPPED = Path(__file__).parent.parent / "shipped"
"""Folder of that run, for whatever takes one; MODEL_CARD.md in it says what it was trained on, and what it scores."""


def pack(run: Path, out: Path = SHIPPED) -> Path:
    """Copy what avatars need of a run: its configuration, without where files were, and its weights, halved.

    Args:
        run: folder of a training run.
        out: folder to write.

    Returns:
        The folder.

    Raises:
        UserError: no run, a damaged one, or weights of another configuration.
    """
    network, config = HGGNet.load(run / MODEL_FOLDER), read_config(run)
    kept = json.loads(read_metadata(run / MODEL_FOLDER / WEIGHTS_FILE).get(RUN_SETTINGS, "{}"))
    check_settings(run, kept, config, f"{MODEL_FOLDER}/{WEIGHTS_FILE}")
    usual = TrainConfig()
    config = replace(
        config, name=out.name, **{name: getattr(usual, name) for name in ("data", "out", "cache", "body", "start")}
    )
    network.half().save(out / MODEL_FOLDER, {RUN_SETTINGS: json.dumps(settings_of(config))})
    write_text(out / CONFIG_FILE, config_json(config))
    return out
