"""Every choice of every configuration is checked when it is made, from Python, a command line or a file."""

import dataclasses
import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig
from hgg_pyg.backbones.lgm.augment import AugmentConfig
from hgg_pyg.check import CheckConfig
from hgg_pyg.config import ClipConfig, config_from_json, config_json
from hgg_pyg.evaluate import EvaluateConfig
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.inspect import InspectConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.precompute import PrecomputeConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.run import TrainConfig

CONFIGS: tuple[Any, ...] = (
    TrainConfig(), FinetuneConfig(), PrecomputeConfig(), ModelConfig(), ClipConfig(), BackboneConfig(), AugmentConfig(),
    SynthesizeConfig(Path("out")), EvaluateConfig(Path("run")), InspectConfig(Path("run")), CheckConfig(Path("data")),
)  # fmt: skip


def parts(config: Any) -> Iterator[Any]:
    """A configuration and all that it holds."""
    yield config
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(getattr(config, field.name)):
            yield from parts(getattr(config, field.name))


def everything() -> dict[type, Any]:
    return {type(part): part for config in CONFIGS for part in parts(config)}


CHOICES = [
    (part, name, typing.get_args(hint))
    for part in everything().values()
    for name, hint in typing.get_type_hints(type(part)).items()
    if typing.get_origin(hint) is Literal
]


@pytest.mark.parametrize(("config", "name", "choices"), CHOICES, ids=lambda x: x if isinstance(x, str) else None)
def test_a_wrong_choice_lists_the_right_ones(config: Any, name: str, choices: tuple[str, ...]) -> None:
    assert len(choices) > 1
    with pytest.raises(ValueError, match=rf"\.{name}: expected one of {', '.join(map(str, choices))}, found 'of mine'"):
        dataclasses.replace(config, **{name: "of mine"})


@pytest.mark.parametrize("config", everything().values(), ids=lambda config: type(config).__name__)
def test_a_wrong_type_is_refused_in_every_field(config: Any) -> None:
    for field in dataclasses.fields(config):
        with pytest.raises(ValueError, match=rf"{type(config).__name__}\.{field.name}: expected .*found"):
            dataclasses.replace(config, **{field.name: object()})


@pytest.mark.parametrize("config", [TrainConfig.preset("recommended"), FinetuneConfig(), PrecomputeConfig()])
def test_json_gives_back_what_was_written(config: Any) -> None:
    assert config_from_json(type(config), json.loads(config_json(config))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, "TrainConfig: expected some of data, name, .*; found stepz"),
        ({"model": {"layers": 6}}, "ModelConfig: expected some of conv, backend, num_layers, .*; found layers"),
        ({"model": {"norm": "middle"}}, "ModelConfig.norm: expected one of pre, post, found 'middle'"),
        ({"model": 6}, "ModelConfig: expected an object, found 6"),
        ({"graph": {"relations": ["binds", "nearby"]}}, "relation 'nearby': expected one of binds, near"),
    ],
)
def test_json_with_a_mistake_is_refused(change: dict[str, Any], message: str) -> None:
    values = json.loads(config_json(TrainConfig()))
    with pytest.raises(ValueError, match=message):
        config_from_json(TrainConfig, values | change)


def test_presets_are_what_their_names_say() -> None:
    paper = TrainConfig.preset("paper")
    assert (paper.model.num_layers, paper.model.hidden_channels, paper.model.num_tokens) == (6, 128, 1)
    assert paper.graph == GraphSpec()
    assert TrainConfig.preset("demo") == TrainConfig()
    one = TrainConfig.preset("one-camera")
    assert (one.clip.input_views, one.graph.anchors, one.graph.born, one.graph.tell_seen) == (
        1,
        "best-seen",
        True,
        True,
    )
    for name in TrainConfig.PRESETS:
        TrainConfig.preset(name)


def help_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str) -> str:
    monkeypatch.setattr(sys, "argv", ["train.py", option])
    with pytest.raises(SystemExit) as stop:
        run_command(TrainConfig, lambda config: None)
    assert not stop.value.code
    return capsys.readouterr().out


def test_help_shows_the_twenty_options_that_matter_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short, whole = help_of(monkeypatch, capsys, "--help"), help_of(monkeypatch, capsys, "--help-all")
    shown = [line.split()[0].strip(",") for line in short.splitlines() if line.startswith("  --")]
    assert len(shown) == 20
    assert all(option in whole for option in shown)
    assert [f"{group}:" in short for group in TrainConfig.MAIN_OPTIONS] == [True] * len(TrainConfig.MAIN_OPTIONS)
    hidden = int(short.rpartition("--help-all shows ")[2].split()[0])
    assert hidden > 20
    assert "--model.ffn-ratio" in whole
    assert "--model.ffn-ratio" not in short
