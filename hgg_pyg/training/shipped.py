"""The weights that come with hgg_pyg: a training run of preset `robust`, in half precision, in the package's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from hgg_pyg.io.tensors import read_metadata
from hgg_pyg.model.network import WEIGHTS_FILE, HGGNet
from hgg_pyg.training.run import CONFIG_FILE, MODEL_FOLDER

SHIPPED = Path(__file__).parent.parent / "shipped"
"""Folder of that run, for whatever takes one; MODEL_CARD.md in it says what it was trained on, and what it scores."""


def pack(run: Path, out: Path = SHIPPED) -> Path:
    """Copy what avatars need of a run: its configuration, and its weights in half precision.

    Args:
        run: folder of a training run.
        out: folder to write.

    Returns:
        The folder.

    Raises:
        UserError: no run, or a damaged one.
    """
    network = HGGNet.load(run / MODEL_FOLDER)
    network.half().save(out / MODEL_FOLDER, _about(run))
    shutil.copyfile(run / CONFIG_FILE, out / CONFIG_FILE)
    return out


def _about(run: Path) -> dict[str, str]:
    """What the run's weights say of themselves, without what `save` adds."""
    return {name: text for name, text in read_metadata(run / MODEL_FOLDER / WEIGHTS_FILE).items() if name != "model"}
