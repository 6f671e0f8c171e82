"""Numbers that no machine could do with end where a configuration is made, in every field of every command."""

import dataclasses
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from graphs import GraphSpec
from hgg_pyg.check import CheckConfig
from hgg_pyg.config import ClipConfig
from hgg_pyg.evaluate import EvaluateConfig
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.losses import LossConfig
from hgg_pyg.training.run import TrainConfig

ROOT = Path(__file__).parents[1]
WRONG = (float("nan"), float("inf"), -float("inf"), -1, 10**18, -(10**18))
ALLOWED = {
    (r".*\.seed", 10**18): "any number names a sequence of random numbers",
    (r".*\.clip_norm", 10**18): "gradients are not clipped by a norm that none has",
    (r"GalleryConfig\.amplify", 10**18): "any factor shows the smallest differences",
    (r"AnimateConfig\.(azimuth|elevation|turns)", -1): "a camera may go and look either way",
}
WITH = {  # what other options need
    "AnimateConfig": {"camera": "orbit"},
    "WeightsConfig": {"name": "clip"},
    "PrepareConfig": {"videos": (Path("somewhere"),), "calibration": (Path("somewhere"),)},
}


def command_configs() -> Iterator[Any]:
    """The configuration of every command of ours, with what it needs."""
    for folder in ("hgg_pyg", "benchmarks"):
        for path in sorted([*(ROOT / folder).glob("*.py"), *(ROOT / folder).glob("*/__main__.py")]):
            source = path.read_text("utf-8")
            if start := re.search(r"^    run_command\((\w+), \w+\)", source, re.M):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                kind = getattr(importlib.import_module(name), start[1])
                hints, given = typing.get_type_hints(kind), WITH.get(kind.__name__, {})
                needed = {
                    name: "somewhere" if hints[name] is str else Path("somewhere")
                    for name, field in inspect.signature(kind).parameters.items()
                    if field.default is inspect.Parameter.empty and name not in given
                }
                yield kind(**needed, **given)


def parts(config: Any) -> Iterator[Any]:
    yield config
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(getattr(config, field.name)):
            yield from parts(getattr(config, field.name))


def kinds_of(hint: Any) -> Iterator[tuple[type, bool]]:
    """The kinds of numbers that a field may hold, and whether several in a tuple."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from kinds_of(options[0])
    elif origin in (typing.Union, types.UnionType):
        for option in options:
            yield from kinds_of(option)
    elif origin is tuple:
        yield from ((kind, True) for option in options for kind, _ in kinds_of(option))
    elif hint in (int, float):
        yield hint, False


FIELDS = {
    f"{type(part).__name__}.{name}": (part, name, several)
    for config in command_configs()
    for part in parts(config)
    for name, hint in typing.get_type_hints(type(part), include_extras=True).items()
    if name in {field.name for field in dataclasses.fields(part)} - {"relations"}  # whose number is tried below
    for _, several in kinds_of(hint)
}


def test_all_commands_are_looked_at() -> None:
    commands = {name.partition(".")[0] for name in FIELDS}
    assert {"TrainConfig", "FinetuneConfig", "GraphSpec", "SurfaceConfig", "PlyConfig", "LGMConfig"} < commands
    assert {"AvatarConfig", "PrepareConfig", "FitConfig", "TriangulationConfig"} < commands
    assert {"AblationBenchmark", "GpuBenchmark", "AugmentConfig", "LossConfig", "ClipConfig"} < commands
    assert len(FIELDS) > 120


@pytest.mark.parametrize("field", FIELDS)
def test_no_number_field_takes_what_no_machine_could_do(field: str) -> None:
    part, name, several = FIELDS[field]
    for value in WRONG:
        if any(value == allowed and re.fullmatch(pattern, field) for pattern, allowed in ALLOWED):
            dataclasses.replace(part, **{name: value})
            continue
        with pytest.raises(ValueError, match=rf"{field}: expected .*, found") as refused:
            dataclasses.replace(part, **{name: (value,) if several else value})
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainConfig(seed=-1), "TrainConfig.seed: expected at least 0, found -1"),
        (lambda: TrainConfig(steps=10**12), "TrainConfig.steps: expected at most 1,000,000,000, found 1000000000000"),
        (lambda: TrainConfig(weight_decay=float("nan")), "weight_decay: expected a number from 0 to 1e.07, found nan"),
        (lambda: TrainConfig(lr=0), "TrainConfig.lr: expected more than 0, found 0"),
        (lambda: TrainConfig(image_size=10**6), "TrainConfig.image_size: expected at most 65,535, found 1000000"),
        (lambda: GraphSpec(k=1_000_000), "GraphSpec.k: expected an integer from 1 to 1000, found 1000000"),
        (lambda: GraphSpec(hops=10**6), "GraphSpec.hops: expected an integer from 1 to 1000, found 1000000"),
        (lambda: ModelConfig(heads=5), "ModelConfig.heads: expected a divisor of hidden_channels 64, found 5"),
        (lambda: ModelConfig(hidden_channels=10**400), r"at most 8,192, found 10{79}\.\.\. \(401 characters\)"),
        (lambda: ModelConfig(relations=(("gaussian", "binds", "vertex", 10**9),)), "relations: expected"),
        (lambda: ModelConfig(dropout=1), "ModelConfig.dropout: expected less than 1, found 1"),
        (lambda: LossConfig(alpha=-1.0), "LossConfig.alpha: expected at least 0, found -1.0"),
        (lambda: FinetuneConfig(size=48), "size: expected a multiple of 32, found 48"),
        (lambda: ClipConfig(frames=True), "ClipConfig.frames: expected an integer, found True"),
        (lambda: SynthesizeConfig(Path(), subjects=2), "SynthesizeConfig.subjects: expected at least 3, found 2"),
        (lambda: EvaluateConfig(Path(), views=0), "EvaluateConfig.views: expected at least 1, found 0"),
        (lambda: CheckConfig(Path(), image_size=8), "CheckConfig.image_size: expected at least 32, found 8"),
    ],
)
def test_the_message_says_what_was_expected(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a/b", "/a", "a\\b", "a\0b", "a\nb", "a\x1b[31m", "end.", " a", "a ", "nul", "COM1.txt",
     "x" * 300, "ü" * 101, "\udcff"],
)  # fmt: skip
def test_a_name_that_is_no_folders_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name: expected a plain folder name of at most 200 bytes, found") as refused:
        TrainConfig(name=name)
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["demo", "a b", "größe.1", "人", "conv-my_conv:MyConv-seed0", "..a", "x" * 200])
def test_other_names_are_taken(name: str) -> None:
    assert TrainConfig(name=name).folder.name == name
