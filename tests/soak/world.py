"""What a soak starts from: tiny captures, commands that work on them, and what each leaves undisturbed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.numpy import load_file

from hgg_pyg.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.training.checkpoint import Checkpoint
from tests.python import Process
from tests.soak.starting import Start

RUN = "run"
_SYNTHETIC = ("--subjects", 3, "--frames", 4, "--views", 5, "--size", 32, "--workers", 1)
_TRAINED = (
    *("--image-size", 32, "--steps", 5, "--accumulation", 2, "--checkpoint-every", 1, "--validate-every", 2),
    *("--model.num-layers", 1, "--model.hidden-channels", 8, "--model.heads", 2, "--model.feedback", 1),
    *("--clip.frames", 2, "--clip.target-views", 4, "--clip.target-poses", 2),
)
_TUNED = (
    *("--size", 32, "--target-size", 32, "--steps", 4, "--checkpoint-every", 1, "--validate-every", 2),
    *("--test-frames", 1),
)

Result = Mapping[str, object]


@dataclass(frozen=True)
class Command:
    """One of the commands: how it is started in a folder, and what of its outcome must not depend on disturbances."""

    name: str
    arguments: Callable[[World, Path], tuple[object, ...]]
    result: Callable[[Path], Result]


@dataclass(frozen=True)
class World:
    """Captures, and what the commands make of them undisturbed."""

    captures: Path
    done: Path  # where each command ran to its end, in a folder of its name
    start: Start
    results: Mapping[str, Result]
    seconds: Mapping[str, float]  # that each took


def run(command: Command, world: World, place: Path, room: int | None = None) -> Process:
    """Start a command whose outputs go into a folder, where no file can grow beyond `room` bytes."""
    arguments = tuple(map(str, command.arguments(world, place)))
    return world.start(f"hgg_pyg.{command.name}", arguments, place, room)


def output(place: Path) -> str:
    """What all commands of a folder said."""
    return (place / "output.txt").read_text(errors="replace")


def make_world(folder: Path, start: Start) -> World:
    """Captures, and every command undisturbed.

    Args:
        folder: for all of it.
        start: how commands are started.

    Raises:
        RuntimeError: a command failed by itself.
    """
    captures = folder / "captures"
    synthesize(SynthesizeConfig(out=captures, subjects=3, frames=4, views=5, size=32, workers=1))
    world = World(captures, folder, start, {}, {})
    results, seconds = {}, {}
    for command in COMMANDS:
        place = folder / command.name
        place.mkdir()
        begin = time.monotonic()
        if run(command, world, place).wait():
            raise RuntimeError(f"{command.name} failed undisturbed: {output(place)[-500:]}")
        seconds[command.name] = time.monotonic() - begin
        results[command.name] = command.result(place)
        world = replace(world, results=dict(results), seconds=dict(seconds))
    return world


def _files(folder: Path, pattern: str) -> Result:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


def _weights(path: Path) -> Result:
    return {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in load_file(path).items()}


def _trained(place: Path) -> Result:
    folder = place / "runs" / RUN
    return {
        "weights": _weights(folder / "model" / "model.safetensors"),
        "history": Checkpoint.load(folder).history,
        "scores": _files(folder, "scores.csv"),
        "cache": _files(place / "cache", "*.safetensors"),
    }


def _tuned(place: Path) -> Result:
    folder = place / "runs" / RUN
    scores = json.loads((folder / "metrics.json").read_text())["scores"]
    return {"weights": _weights(folder / "lgm.safetensors"), "scores": scores}


COMMANDS = (
    Command(
        "train",
        lambda world, place: (
            *("--data", world.captures, "--out", place / "runs", "--name", RUN, "--cache", place / "cache"),
            *("--resume", *_TRAINED),
        ),
        _trained,
    ),
    Command(
        "precompute",
        lambda world, place: ("--data", world.captures, "--cache", place / "cache", "--image-size", 32),
        lambda place: _files(place / "cache", "*.safetensors"),
    ),
    Command(
        "finetune",
        lambda world, place: (
            *("--data", world.captures, "--out", place / "runs", "--name", RUN, "--resume", *_TUNED),
        ),
        _tuned,
    ),
    Command(
        "evaluate",
        lambda world, place: (world.done / "train" / "runs" / RUN, "--out", place / "report", "--views", 2),
        lambda place: _files(place / "report", "scores.csv"),
    ),
    Command(
        "synthesize",
        lambda world, place: ("--out", place / "captures", *_SYNTHETIC),
        lambda place: _files(place / "captures", "*.*"),
    ),
)
