"""A run: its configuration, its folder and the checkpoint that it goes on from."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig
from hgg_pyg.config import ClipConfig, check_choices, config_from_json, config_json, flat_config
from hgg_pyg.data.protocols import ProtocolName
from hgg_pyg.io.files import write_atomically
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.synthetic import DEMO
from hgg_pyg.training.losses import LossConfig
from hgg_pyg.types import UserError

CONFIG_FILE, CHECKPOINT_FILE, MODEL_FOLDER = "config.json", "checkpoint.pt", "model"
_MAY_CHANGE = {"resume", "out", "cache", "checkpoint_every"}  # options that do not change what is learnt

Record = TypeVar("Record")


@dataclass(frozen=True)
class RunConfig:
    """What every training run has, whatever it trains."""

    data: Path | None = None
    """folder of captures; when not given, synthetic ones are made in captures/demo (`synthesize` makes others)"""
    name: str = "demo"
    """name of the run: its folder under OUT"""
    out: Path = Path("runs")
    """folder of runs; this one is written to OUT/NAME"""
    resume: bool = False
    """continue from the run's last checkpoint, if there is one"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) or its folder; by default $HGG_BODY_MODELS, else the open body"""
    image_size: int = 128
    """longest side of the images, in pixels; larger images are shrunk to it"""
    crop: bool = False
    """crop each image to a square around the person, image_size pixels wide"""
    protocol: ProtocolName = "own"
    """own: splits from splits.json, or by order of names; paper: its ten test scans, 60 frames per subject, evenly
    spaced training clips"""
    steps: int = 960
    """number of optimiser steps"""
    accumulation: int = 1
    """clips per process and optimiser step, whose gradients are averaged (the paper: 8); N processes take N times as
    many, and give what one process with N times the accumulation gives, up to rounding"""
    lr: float = 2e-3
    """highest learning rate of the one-cycle schedule (the paper: 4e-4)"""
    weight_decay: float = 0.05
    """weight decay of AdamW"""
    clip_norm: float = 1.0
    """norm to which larger gradients are clipped"""
    seed: int = 0
    """random seed of weights, clips and dropout"""
    precision: Literal["no", "bf16"] = "no"
    """number format of the network: no for float32, bf16 for bfloat16; rendering is always in float32"""
    checkpoint_every: int = 80
    """optimiser steps between checkpoints"""
    validate_every: int = 160
    """optimiser steps between validations, each on one subject"""
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("image_size", "steps", "accumulation", "checkpoint_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected 0 to 2^63 - 1, found {self.seed}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay: expected 0 or more, found {self.weight_decay}")
        for name in ("lr", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a positive number, found {getattr(self, name)}")
        if not self.name.strip() or self.name == ".." or Path(self.name).name != self.name:
            raise ValueError(f"name: expected a plain folder name, found {self.name!r}")

    @property
    def captures(self) -> Path:
        """Where the captures are."""
        return self.data or DEMO.out

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.out / self.name


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Everything a training run depends on. The defaults are the demo: synthetic captures, CPU size."""

    cache: Path = Path("runs/cache")
    """folder where per-frame Gaussians are stored"""
    model: ModelConfig = field(default_factory=ModelConfig)
    graph: GraphSpec = field(default_factory=GraphSpec)
    clip: ClipConfig = field(default_factory=ClipConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)

    PRESETS: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "demo": "the paper's network at the size of the demo, L = 2 and D = 64 (the default)",
            "paper": "the paper's network, L = 6 and D = 128",
            "recommended": "the demo's, told what direct binding gets wrong: better, for little more time",
        }
    )

    MAIN_OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "captures": ("data", "body", "image-size", "crop", "clip.frames"),
            "run": ("name", "resume", "steps", "lr", "seed", "precision"),
            "graph": ("graph.relations", "graph.k", "graph.hops"),
            "network": (
                *("model.conv", "model.backend", "model.num-layers", "model.hidden-channels", "model.heads"),
                "model.feedback",
            ),
        }
    )
    """the options of `--help`"""

    @classmethod
    def preset(cls, name: str) -> Self:
        """The defaults, but for what the preset of a name changes.

        Raises:
            KeyError: there is none of that name.
        """
        model, graph = {
            "demo": (ModelConfig(), GraphSpec()),
            "paper": (ModelConfig(num_layers=6, hidden_channels=128, heads=8), GraphSpec()),
            "recommended": (ModelConfig(shift="surface", feedback=2), GraphSpec(hops=1)),
        }[name]
        return cls(model=model, graph=graph)


@dataclass(frozen=True)
class StepRecord:
    """What is known of one optimiser step."""

    step: int
    loss: float
    psnr: float  # of the training images, dB
    lr: float
    val_psnr: float | None  # of the validation subject, dB, where it was looked at


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` optimiser steps, enough to go on as if nothing had happened."""

    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    history: tuple[StepRecord, ...]
    processes: int = 1  # that worked together; others would take other items

    def save(self, folder: Path) -> None:
        """Write into a run's folder: a reader finds the old checkpoint or this one, whole."""
        state = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        state["history"] = [dataclasses.astuple(record) for record in self.history]
        write_atomically(folder / CHECKPOINT_FILE, lambda path: torch.save(state, path))

    @staticmethod
    def load(folder: Path) -> Checkpoint:
        """Read a run's checkpoint; nothing in it is executed.

        Raises:
            UserError: missing or damaged.
        """
        path = folder / CHECKPOINT_FILE
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            state["history"] = tuple(StepRecord(*record) for record in state["history"])
            return Checkpoint(**state)
        except FileNotFoundError:
            raise UserError(f"{path}: expected a checkpoint, found nothing") from None
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{path}: expected a checkpoint of this program ({said})") from None


def find_checkpoint(config: RunConfig, processes: int = 1) -> Checkpoint | None:
    """The checkpoint to go on from, None to start afresh. Writes nothing.

    Args:
        config: the run. Paths may differ from the run's: what is there is compared once it is read, by `check_inputs`.
        processes: that would go on.

    Raises:
        UserError: the folder already holds a run and `resume` is off, or one of another configuration, or of another
            number of processes.
    """
    folder = config.folder
    if not (folder / CONFIG_FILE).is_file():
        return None
    if not config.resume:
        raise UserError(f"{folder}: already holds a run; --resume goes on with it, --name starts another")
    _check_same(folder / CONFIG_FILE, read_config(folder, type(config)), config)
    if not (folder / CHECKPOINT_FILE).is_file():
        return None
    checkpoint = Checkpoint.load(folder)
    if checkpoint.processes != processes:
        raise UserError(
            f"{folder / CHECKPOINT_FILE}: expected as many processes as the run was trained by, "
            f"{checkpoint.processes}, found {processes}: each takes items of its own; --name starts another run"
        )
    return checkpoint


def create_run(config: RunConfig) -> None:
    """Make the run's folder with the state of the source tree and the configuration."""
    write_atomically(config.folder / "git.txt", lambda path: path.write_text(_git_state()))
    _write_config(config)


def follow_paths(config: RunConfig) -> None:
    """Let a run's configuration say where its files are now."""
    before = read_config(config.folder, type(config))
    if {name: flat_config(before)[name] for name in paths_of(config)} != {
        name: flat_config(config)[name] for name in paths_of(config)
    }:
        _write_config(config)


def _write_config(config: RunConfig) -> None:
    write_atomically(config.folder / CONFIG_FILE, lambda path: path.write_text(config_json(config)))


def read_config(folder: Path, kind: type[Record] = TrainConfig) -> Record:
    """The configuration of a run of some kind.

    Raises:
        UserError: no run there, or its configuration is damaged or of another version.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{path}: expected the configuration of a run, found nothing")
    try:
        return config_from_json(kind, json.loads(path.read_text()))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: expected a configuration that can be used here ({error})") from None


def paths_of(config: RunConfig) -> set[str]:
    """Dotted names of the options that say where something is; what is there counts, not where."""
    return {name for name, value in flat_config(config).items() if isinstance(value, Path)}


def _check_same(path: Path, found: RunConfig, wanted: RunConfig) -> None:
    before, now = flat_config(found), flat_config(wanted)
    free = _MAY_CHANGE | paths_of(found) | paths_of(wanted)
    for name in before:
        if name not in free and before[name] != now[name]:
            raise UserError(
                f"{path}: {name}: the run has {before[name]}, the command line says {now[name]}; "
                "--resume needs the same options, --name starts another run"
            )


def _git_state() -> str:
    """Commit and uncommitted changes of the source tree, so that a result can be traced to its code."""
    here = Path(__file__).parent
    try:
        parts = [
            subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True).stdout
            for args in (("rev-parse", "HEAD"), ("status", "--short"), ("diff", "HEAD"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout\n"
    return "\n".join(parts)
