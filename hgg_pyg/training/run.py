"""A run: its configuration, its folder and the checkpoint that it goes on from."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig
from hgg_pyg.config import (
    Bounds,
    ClipConfig,
    LearningRate,
    Pixels,
    Repeats,
    Seconds,
    Seed,
    Steps,
    Weight,
    changed_setting,
    check_choices,
    config_from_json,
    config_json,
    flat_config,
)
from hgg_pyg.data.protocols import ProtocolName
from hgg_pyg.data.variety import VarietyConfig
from hgg_pyg.io.files import LONGEST_NAME, is_folder_name, write_atomically, write_text
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.multiview.base import FrontConfig
from hgg_pyg.synthetic import DEMO
from hgg_pyg.training.checkpoint import CHECKPOINT_FILE, Checkpoint
from hgg_pyg.training.losses import LossConfig
from hgg_pyg.types import UserError

CONFIG_FILE, MODEL_FOLDER = "config.json", "model"
RUN_SETTINGS = "run"  # of the metadata of a trained network's weights: what the run's configuration was
_MAY_CHANGE = {"resume", "checkpoint_every", "refine"}  # options that do not change what is learnt
_PLACES = {
    "data",
    "out",
    "name",
    "cache",
    "body",
    "start",
    "checkpoint",
    "backbone.lgm.checkpoint",
    "backbone.ply.folder",
    "front.checkpoint",
}
_FREE = _MAY_CHANGE | _PLACES | {"model.backend"}  # options of a finished run that another machine may need otherwise

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
    image_size: Pixels = 128
    """longest side of the images, in pixels; larger images are shrunk to it"""
    crop: bool = False
    """crop each image to a square around the person, image_size pixels wide"""
    protocol: ProtocolName = "own"
    """own: splits from splits.json, or by order of names; paper: its ten test scans, 60 frames per subject, evenly
    spaced training clips"""
    steps: Steps = 960
    """number of optimiser steps"""
    accumulation: Repeats = 1
    """clips per process and optimiser step, whose gradients are averaged (the paper: 8); N processes take N times as
    many, and give what one process with N times the accumulation gives, up to rounding"""
    lr: LearningRate = 2e-3
    """highest learning rate of the one-cycle schedule (the paper: 4e-4)"""
    weight_decay: Weight = 0.05
    """weight decay of AdamW"""
    clip_norm: Annotated[float, Bounds(0, 1e30, above=True)] = 1.0
    """norm to which larger gradients are clipped"""
    seed: Seed = 0
    """random seed of weights, clips and dropout"""
    precision: Literal["no", "bf16"] = "no"
    """number format of the network: no for float32, bf16 for bfloat16; rendering is always in float32"""
    checkpoint_every: Steps = 80
    """optimiser steps between checkpoints"""
    validate_every: Steps = 160
    """optimiser steps between validations, each on one subject"""
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        check_choices(self)
        if not is_folder_name(self.name):
            found = repr(self.name) if len(self.name) <= 60 else f"{len(self.name)} characters, {self.name[:40]!r}..."
            raise ValueError(f"name: expected a plain folder name of at most {LONGEST_NAME} bytes, found {found}")

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
    start: Path | None = None
    """folder of a run whose weights training starts from; what that network lacks starts untrained"""
    refine: Seconds | None = None
    """seconds for which the avatar that the run leaves is fitted to its input images; by default not at all (numbers
    are of the forward pass: `evaluate --refine` measures the fit)"""
    model: ModelConfig = field(default_factory=ModelConfig)
    graph: GraphSpec = field(default_factory=GraphSpec)
    clip: ClipConfig = field(default_factory=ClipConfig)
    variety: VarietyConfig = field(default_factory=VarietyConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    front: FrontConfig = field(default_factory=FrontConfig)

    PRESETS: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "demo": "the paper's network at the size of the demo, L = 2 and D = 64 (the default)",
            "paper": "the paper's network, L = 6 and D = 128",
            "recommended": "the demo's, told what direct binding gets wrong: better, for little more time",
            "robust": "looks three times, for images of many sizes, 1 to 8 cameras, 1 to 16 frames, poses a bit off: "
            "the weights that come with hgg_pyg",
            "one-camera": "recommended, of a single camera: starts from the Gaussians that saw each part best",
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
        one_hop = GraphSpec(hops=1)
        if name == "robust":
            return cls(
                model=ModelConfig(shift="surface", feedback=3, rounds=3, mend=3),
                graph=one_hop,
                clip=ClipConfig(target_views=4, pose_noise=4.0),
                variety=VarietyConfig(image_sizes=(96, 512), crops=0.3),
                loss=LossConfig(error="log", alpha=0.2),
                image_size=256,
            )
        if name == "one-camera":
            return cls(
                model=ModelConfig(shift="surface", feedback=4),
                graph=replace(one_hop, anchors="best-seen", born=True, tell_seen=True),
                clip=ClipConfig(input_views=1, target_views=4),
            )
        model, graph = {
            "demo": (ModelConfig(), GraphSpec()),
            "paper": (ModelConfig(num_layers=6, hidden_channels=128, heads=8), GraphSpec()),
            "recommended": (ModelConfig(shift="surface", feedback=2), one_hop),
        }[name]
        return cls(model=model, graph=graph)


def find_checkpoint(config: RunConfig, processes: int = 1) -> Checkpoint | None:
    """The checkpoint to go on from, None to start afresh. Writes nothing.

    Args:
        config: the run. Paths may differ from the run's: what is there is compared once it is read, by `check_inputs`.
        processes: that would go on.

    Raises:
        UserError: the folder already holds a run and `resume` is off, or one of another configuration or number of
            processes, or what was trained without its configuration, or a checkpoint that is damaged or of another run.
    """
    folder = config.folder
    if not (folder / CONFIG_FILE).is_file():
        if kept := next((name for name in (CHECKPOINT_FILE, MODEL_FOLDER) if (folder / name).exists()), None):
            raise UserError(
                f"{folder / CONFIG_FILE}: expected the configuration that {kept} was made under, found nothing: "
                f"a run would overwrite {kept}; put it back, or --name starts another"
            )
        return None
    if not config.resume:
        raise UserError(f"{folder}: already holds a run; --resume goes on with it, --name starts another")
    found = read_config(folder, type(config))
    _check_same(folder / CONFIG_FILE, found, config)
    if not (folder / CHECKPOINT_FILE).exists():
        return None
    checkpoint = Checkpoint.load(folder)
    check_settings(folder, checkpoint.settings, found, CHECKPOINT_FILE)
    if checkpoint.processes != processes:
        raise UserError(
            f"{folder / CHECKPOINT_FILE}: expected as many processes as the run was trained by, "
            f"{checkpoint.processes}, found {processes}: each takes items of its own; --name starts another run"
        )
    return checkpoint


def check_settings(folder: Path, kept: Mapping[str, Any], config: RunConfig, file: str) -> None:
    """Refuse a run whose configuration is not the one that a file of the run was made under.

    Where things lie may differ, and how attention is computed: a run may be moved to another machine.

    Args:
        folder: the run's.
        kept: what `settings_of` said when the file was made.
        config: what the configuration says now.
        file: name of the file.

    Raises:
        UserError: the first option that differs.
    """
    if change := changed_setting(kept, config, _FREE):
        raise UserError(f"{folder / CONFIG_FILE}: {change}: it is not the one that {file} was made under")


def create_run(config: RunConfig) -> None:
    """Make the run's folder with the state of the source tree and the configuration."""
    write_atomically(config.folder / "git.txt", lambda path: path.write_bytes(_git_state()))
    _write_config(config)


def follow_places(config: RunConfig) -> None:
    """Let a run's configuration say where its files are now."""
    if places_of(read_config(config.folder, type(config))) != places_of(config):
        _write_config(config)


def _write_config(config: RunConfig) -> None:
    write_text(config.folder / CONFIG_FILE, config_json(config))


def read_config(folder: Path, kind: type[Record] = TrainConfig) -> Record:
    """The configuration of a run of some kind.

    Raises:
        UserError: no run there, or its configuration is damaged or of another version.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{path}: expected the configuration of a run, found nothing")
    try:
        return config_from_json(kind, read_json_object(path, "the configuration of a run"))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: expected a configuration that can be used here ({shown(error, 300)})") from None


def places_of(config: RunConfig) -> dict[str, Any]:
    """The options that say where something is, by dotted names: what is there counts, not where."""
    return {name: value for name, value in flat_config(config).items() if name in _PLACES}


def _check_same(path: Path, found: RunConfig, wanted: RunConfig) -> None:
    before, now = flat_config(found), flat_config(wanted)
    for name in before:
        if name not in _MAY_CHANGE | _PLACES and before[name] != now[name]:
            raise UserError(
                f"{path}: {name}: the run has {before[name]}, the command line says {now[name]}; "
                "--resume needs the same options, --name starts another run"
            )


def _git_state() -> bytes:
    """Commit and uncommitted changes of the source tree, in its own letters: what a result can be traced to."""
    here = Path(__file__).parent
    try:
        parts = [
            subprocess.run(["git", *args], cwd=here, capture_output=True, check=True).stdout
            for args in (("rev-parse", "HEAD"), ("status", "--short"), ("diff", "HEAD"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return b"not a git checkout\n"
    return b"\n".join(parts)
