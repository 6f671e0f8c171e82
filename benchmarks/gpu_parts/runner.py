"""Parts one after another, each in a process with a limit of its own; what one does wrong, the others do not feel."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from benchmarks.gpu_parts.needs import Job, end_group, environment, last_line
from benchmarks.gpu_parts.parts import Part
from benchmarks.gpu_parts.setting import Setting, card
from benchmarks.report import Progress

LEAST_S = 5.0
"""a part that has less time than this is not started"""
INTERRUPTED = "interrupted"
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


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything is to end."""


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
    begin, jobs, interrupted = time.monotonic(), list(jobs), -_AGAIN_S
    patience = begin + _PATIENCE * (until - begin)
    remaining = dict(parts)
    with _sigterm_raises(), Progress(until - begin) as progress:
        while remaining:
            name = _next(remaining, jobs, min(patience, until), progress)
            part = remaining.pop(name)
            limit = _limit(part, remaining.values(), until - time.monotonic())
            if limit < LEAST_S:
                report(Outcome(name, part.what, "no time left", 0.0))
                continue
            busy = " ".join(job.name for job in jobs if job.running)
            progress.begin(f"{name} ({part.what})", limit)
            outcome = _run(part, replace(setting, part=name, seconds=limit, meanwhile=busy), progress, report)
            if outcome == INTERRUPTED:
                if time.monotonic() - interrupted < _AGAIN_S:
                    raise KeyboardInterrupt
                interrupted = time.monotonic()
                progress.write(f"{name} interrupted; Ctrl-C again within {_AGAIN_S:.0f} s stops everything")


def _next(remaining: Mapping[str, Part], jobs: list[Job], patience: float, progress: Progress) -> str:
    """The first part whose jobs have ended; waits for one until patience ends, and then takes the first."""
    while True:
        busy = {job.name for job in jobs if job.running}
        ready = (name for name, part in remaining.items() if not busy.intersection(part.waits))
        if (name := next(ready, None)) is not None:
            return name
        if time.monotonic() > patience:
            return next(iter(remaining))
        progress.begin(f"waiting for {', '.join(sorted(busy))}", 0)
        time.sleep(_LOOK_S)
        progress.update(min(_LOOK_S, progress.total - progress.n))


def _limit(part: Part, others: Iterable[Part], left: float) -> float:
    """Seconds of those that are left that a part may take: what a part did not need is shared among those after it."""
    shares = part.share + sum(other.share for other in others)
    return left * part.share / shares if shares else left


def _run(part: Part, setting: Setting, progress: Progress, report: Callable[[Outcome], object]) -> str:
    """Run a part to its end or that of its time, and report; returns how it ended."""
    begin, log = time.monotonic(), setting.work / "logs" / f"{setting.part}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    outcome = INTERRUPTED
    with log.open("w") as file:
        process = subprocess.Popen(
            _command(setting),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(part, setting),
            start_new_session=True,
        )
    try:
        while process.poll() is None and time.monotonic() - begin < setting.seconds:
            time.sleep(_LOOK_S)
            progress.update(min(_LOOK_S, progress.total - progress.n))
        if process.poll() is None:
            outcome = f"over its limit of {setting.seconds:.0f} s"
        else:
            code = process.returncode
            outcome = "done" if code == 0 else f"ended with code {code}: {last_line(log)}"
    except Terminated:
        raise
    except KeyboardInterrupt:
        pass
    finally:
        end_group(process)
        report(Outcome(setting.part, part.what, outcome, time.monotonic() - begin))
    return outcome


def _command(setting: Setting) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu_parts", setting.to_json()]


def _environment(part: Part, setting: Setting) -> dict[str, str]:
    if not setting.toy:
        return environment(setting.work) | {"TORCH_CUDA_ARCH_LIST": card()}  # gsplat then takes the kernels of the job
    interpreted = {"TRITON_INTERPRET": "1"} if part.interpreted else {}
    return environment(setting.work) | {"CUDA_VISIBLE_DEVICES": ""} | interpreted


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
