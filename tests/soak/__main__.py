"""`python -m tests.soak --minutes 10`: kill, damage, fill up and race at random, and see that nothing is lost.

Each trial starts from a world of tiny captures and one finished run of every command (see `world`), does one thing to a
command or to a file (see `trials`), lets the commands go on, and compares what comes out with what came out
undisturbed, to the bit. Not part of `make test`. Exits with 0 if every trial ended as promised, with 1 if one did not;
its number, seed and folder are then printed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from tests.soak.damage import damage
from tests.soak.starting import start_forked, start_fresh
from tests.soak.trials import TRIALS, Outcome
from tests.soak.world import World, make_world

_DAMAGES = 2  # files damaged in this process each second, while others run commands


@dataclass(frozen=True)
class SoakConfig:
    """How long, and from which seed."""

    minutes: float = 10.0
    """how long trials are begun; those that are under way are finished"""
    seed: int = 0
    """of what is done, and when; how far a command has come by then still differs from time to time"""
    jobs: int = os.cpu_count() or 2
    """commands that run side by side"""
    fresh: bool = False
    """start every command in an interpreter of its own, as a shell does: slower; else they are forked from a server"""
    out: Path | None = None
    """folder to work in, which keeps the trials that went wrong; by default a temporary one"""


def main(config: SoakConfig) -> int:
    """Run trials until the time is up."""
    out = config.out or Path(tempfile.mkdtemp(prefix="hgg_pyg_soak_"))
    world = make_world(out / "world", start_fresh if config.fresh else start_forked)
    found: list[tuple[str, Outcome]] = []
    end = time.monotonic() + 60 * config.minutes
    with tqdm(total=round(60 * config.minutes), unit="s", desc="soak") as bar:
        for label, outcome in _trials(config, world, out, end):
            found.append((label, outcome))
            if not outcome.kept:
                bar.write(f"WRONG {label}: {outcome.kind}: {outcome.said}")
            bar.set_postfix_str(f"{len(found)} trials, {sum(not o.kept for _, o in found)} wrong")
            bar.n = min(bar.total, bar.total - max(0, round(end - time.monotonic())))
    print(_table([outcome for _, outcome in found]))
    wrong = [label for label, outcome in found if not outcome.kept]
    shown = ", ".join(wrong[:10]) + (", ..." if len(wrong) > 10 else "")
    print(f"{out} keeps {shown}" if wrong else "nothing lost, nothing silently wrong")
    if not wrong and config.out is None:
        shutil.rmtree(out)
    return 1 if wrong else 0


def _trials(config: SoakConfig, world: World, out: Path, end: float) -> Iterator[tuple[str, Outcome]]:
    """Trials of commands on threads, each waiting for its processes; damaged files in between."""
    number = damaged = 0
    running: dict[Future[Outcome], str] = {}
    with ThreadPoolExecutor(config.jobs) as pool:
        while running or time.monotonic() < end:
            while time.monotonic() < end and len(running) < config.jobs:
                trial = TRIALS[number % len(TRIALS)]
                label = f"{number:04d}_{trial.__name__}"
                rng = np.random.default_rng([config.seed, 0, number])
                running[pool.submit(_in_place, trial, world, rng, out / label)] = label
                number += 1
            for _ in range(_DAMAGES if time.monotonic() < end else 0):
                label = f"{damaged:05d}_damage"
                yield label, _in_place(damage, world, np.random.default_rng([config.seed, 1, damaged]), out / label)
                damaged += 1
            done, _ = wait(running, timeout=1 if time.monotonic() < end else None, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()


def _in_place(trial, world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """One trial in a folder of its own, which goes away unless it went wrong."""
    place.mkdir(parents=True)
    try:
        outcome = trial(world, rng, place)
    except Exception as error:  # whatever escapes is what a soak looks for
        outcome = Outcome(trial.__name__, False, f"{type(error).__name__}: {error}")
    if outcome.kept:
        shutil.rmtree(place)
    return outcome


def _table(outcomes: list[Outcome]) -> str:
    kinds = sorted({outcome.kind for outcome in outcomes})
    ends = sorted({outcome.said if outcome.kept else "WRONG" for outcome in outcomes})
    counts = Counter((outcome.kind, outcome.said if outcome.kept else "WRONG") for outcome in outcomes)
    kills = sum(outcome.kills for outcome in outcomes)
    width = max(map(len, kinds), default=0)
    rows = [f"{'':{width}}  " + "  ".join(f"{end:>10}" for end in ends)]
    rows += [f"{kind:{width}}  " + "  ".join(f"{counts[kind, end]:>10}" for end in ends) for kind in kinds]
    return "\n".join([*rows, f"{len(outcomes)} trials, {kills} kills"])


if __name__ == "__main__":
    sys.exit(main(tyro.cli(SoakConfig)))
