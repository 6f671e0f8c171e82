"""What a soak does to a command while it runs. Each trial has a folder of its own, and ends in an `Outcome`."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.soak.world import COMMANDS, Command, World, output, run

_PATIENCE_S = 300  # longer than any of the commands takes on a busy machine


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    kind: str
    kept: bool  # what is promised was kept
    said: str  # how it ended, in a word; of a broken promise, what happened
    kills: int = 0


def kill(world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """SIGKILL at any moment, up to eight times; what goes on afterwards ends as if nothing had happened."""
    command, kills = _any_command(rng), 0
    for _ in range(rng.integers(1, 9)):
        process = run(command, world, place)
        try:
            process.wait(rng.uniform(0.3, 1.0) * world.seconds[command.name])
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        if (code := process.wait()) not in (0, -signal.SIGKILL):
            return Outcome(f"kill {command.name}", False, f"exit {code} before it was killed", kills)
    return _finished(f"kill {command.name}", command, world, place, kills)


def stop(world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """SIGTERM or Ctrl-C: the command says so in a line, without a traceback, and goes on later."""
    command = _any_command(rng)
    process = run(command, world, place)
    number = signal.SIGTERM if rng.random() < 0.5 else signal.SIGINT
    try:
        process.wait(rng.uniform(0.5, 1.1) * world.seconds[command.name])
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    code = process.wait(_PATIENCE_S)
    if code not in (0, 130, -number):  # it ends by the signal itself before work has begun
        return Outcome(f"stop {command.name}", False, f"exit {code} after signal {number}")
    if command.name in ("train", "finetune") and code == 130 and "Traceback" in output(place):
        return Outcome(f"stop {command.name}", False, "a traceback after it was told to stop")
    return _finished(f"stop {command.name}", command, world, place)


def fill(world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """No file can grow beyond some size, as on a full disk: one line and exit 2; with room again, it goes on."""
    command, room = _any_command(rng), int(2 ** rng.uniform(8, 18))
    code = run(command, world, place, room).wait(_PATIENCE_S)
    said = output(place)
    if code not in (0, 2) or "Traceback" in said:
        return Outcome(f"fill {command.name}", False, f"exit {code} with {room} bytes of room")
    return _finished(f"fill {command.name}", command, world, place)


def race(world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """Two runs of one name at about one time: one is refused, or both do the same; the result is one run's."""
    command = COMMANDS[0] if rng.random() < 0.5 else COMMANDS[2]
    first = run(command, world, place)
    time.sleep(rng.uniform(0, 0.5))
    second = run(command, world, place)
    codes = sorted((first.wait(_PATIENCE_S), second.wait(_PATIENCE_S)))
    if codes not in ([0, 0], [0, 2]):
        return Outcome(f"race {command.name}", False, f"exits {codes}")
    return _finished(f"race {command.name}", command, world, place)


def wreck(world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """A killed run, one of its files cut off or emptied: it is made anew, or refused in one line."""
    command = COMMANDS[int(rng.integers(3))]
    process = run(command, world, place)
    try:
        process.wait(rng.uniform(0.5, 1.0) * world.seconds[command.name])
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait()
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != "output.txt")
    if files:
        path = files[int(rng.integers(len(files)))]
        size = int(rng.integers(path.stat().st_size)) if path.stat().st_size and rng.random() < 0.7 else 0
        path.write_bytes(path.read_bytes()[:size])
        (place / "output.txt").open("a").write(f"\n{path} was cut to {size} bytes\n")
    before = len(output(place))
    code = run(command, world, place).wait(_PATIENCE_S)
    said = output(place)[before:]
    if code == 2 and "Traceback" not in said and "error: " in said:
        return Outcome(f"wreck {command.name}", True, "refused", 1)
    if code:
        return Outcome(f"wreck {command.name}", False, f"exit {code}", 1)
    same = command.result(place) == world.results[command.name]
    return Outcome(f"wreck {command.name}", same, "same" if same else "another result", 1)


TRIALS = (kill, kill, stop, kill, fill, kill, race, kill, wreck)


def _any_command(rng: np.random.Generator) -> Command:
    return COMMANDS[int(rng.choice(len(COMMANDS), p=[0.4, 0.15, 0.15, 0.15, 0.15]))]


def _finished(kind: str, command: Command, world: World, place: Path, kills: int = 0) -> Outcome:
    """Let the command go to its end, and look at what it leaves."""
    if code := run(command, world, place).wait(_PATIENCE_S):
        return Outcome(kind, False, f"exit {code} when it went on", kills)
    same = command.result(place) == world.results[command.name]
    if left := [path.name for path in place.rglob(".*.*") if path.is_file()]:
        return Outcome(kind, False, f"left {', '.join(left)}", kills)
    return Outcome(kind, same, "same" if same else "another result", kills)
