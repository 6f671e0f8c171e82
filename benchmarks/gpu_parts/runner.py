"""Parts one after another, each in a process with a limit of its own; what one does wrong, the others do not feel."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from benchmarks.gpu_parts.needs import Job, end_group, environment, last_line
from benchmarks.gpu_parts.parts import Part
from benchmarks.gpu_parts.setting import Setting, card
from benchmarks.report import Progress

LEAST_S = 5.0
"""a part that has less time than this is not started"""
INTERRUPTED = "interrupted"
NO_TIME = "no time left"
_LOOK_S = 0.1
_AGAIN_S = 3.0  # a second Ctrl-C within this time stops everything
_PATIENCE = 0.5  # of all the time: when so much has passed, no part waits for what is being built any more


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: str
    what: str
    outcome: str
    """"done", or why it is not whole"""
    seconds: float


class Requests:
    """What was asked by signals while the context lasts, noted instead of raised wherever the program happens to be.

    Ctrl-C asks to end the part at hand; a second one soon after, or SIGTERM, everything.
    """

    def __init__(self) -> None:
        self.part = self.everything = False
        self._last = -_AGAIN_S

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        now = time.monotonic()
        self.part = True
        self.everything = self.everything or number == signal.SIGTERM or now - self._last < _AGAIN_S
        self._last = now


def run_parts(
    parts: Mapping[str, Part],
    setting: Setting,
    jobs: Iterable[Job],
    until: float,
    report: Callable[[Outcome], object],
) -> None:
    """Run parts in their order, but those that wait for a job after others, as long as there are others.

    Ctrl-C ends the part at hand; a second one soon after, or SIGTERM, everything.

    Args:
        parts: by name.
        setting: of all of them; the name, the limit and what is being built are filled in.
        jobs: what is being built.
        until: `time.monotonic()` by when everything has to have ended.
        report: is told how each part ended, as it ends.

    Raises:
        KeyboardInterrupt: everything is to end; the part at hand has, and has been reported.
    """
    begin, jobs = time.monotonic(), list(jobs)
    patience = begin + _PATIENCE * (until - begin)
    remaining = dict(parts)
    with Requests() as requests, Progress(until - begin) as progress:
        while remaining:
            name = _next(remaining, jobs, min(patience, until), requests, progress)
            part = remaining.pop(name)
            limit = _limit(part, remaining.values(), until - time.monotonic())
            if limit < LEAST_S:
                report(Outcome(name, part.what, NO_TIME, 0.0))
                continue
            busy = " ".join(job.name for job in jobs if job.running)
            progress.begin(f"{name} ({part.what})", limit)
            outcome = _run(part, replace(setting, part=name, seconds=limit, meanwhile=busy), requests, progress)
            report(outcome)
            if requests.everything:
                raise KeyboardInterrupt
            if requests.part:
                requests.part = False
                progress.write(f"{name} interrupted; Ctrl-C again within {_AGAIN_S:.0f} s stops everything")


def _next(
    remaining: Mapping[str, Part], jobs: list[Job], patience: float, requests: Requests, progress: Progress
) -> str:
    """The first part whose jobs have ended; waits for one until patience ends, and then takes the first."""
    while True:
        busy = {job.name for job in jobs if job.running}
        ready = (name for name, part in remaining.items() if not busy.intersection(part.waits))
        if (name := next(ready, None)) is not None:
            return name
        if time.monotonic() > patience:
            return next(iter(remaining))
        if requests.part:
            raise KeyboardInterrupt
        progress.begin(f"waiting for {', '.join(sorted(busy))}", 0)
        _wait(progress)


def _wait(progress: Progress) -> None:
    time.sleep(_LOOK_S)
    progress.update(min(_LOOK_S, progress.total - progress.n))


def _limit(part: Part, others: Iterable[Part], left: float) -> float:
    """Seconds of those that are left that a part may take: what a part did not need is shared among those after it."""
    shares = part.share + sum(other.share for other in others)
    return left * part.share / shares if shares else left


def _run(part: Part, setting: Setting, requests: Requests, progress: Progress) -> Outcome:
    """Run a part to its end, that of its time or a request to end it."""
    begin, log = time.monotonic(), setting.work / "logs" / f"{setting.part}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            _command(setting),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(part, setting),
            start_new_session=True,
        )
    try:
        while process.poll() is None and time.monotonic() - begin < setting.seconds and not requests.part:
            _wait(progress)
        code = process.poll()
    finally:
        end_group(process)
    if code is not None:
        outcome = "done" if code == 0 else f"ended with code {code}: {last_line(log)}"
    else:
        outcome = INTERRUPTED if requests.part else f"over its limit of {setting.seconds:.0f} s"
    return Outcome(setting.part, part.what, outcome, time.monotonic() - begin)


def _command(setting: Setting) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu_parts", setting.to_json()]


def _environment(part: Part, setting: Setting) -> dict[str, str]:
    if not setting.toy:
        return environment(setting.work) | {"TORCH_CUDA_ARCH_LIST": card()}  # gsplat then takes the kernels of the job
    interpreted = {"TRITON_INTERPRET": "1"} if part.interpreted else {}
    return environment(setting.work) | {"CUDA_VISIBLE_DEVICES": ""} | interpreted
