"""From contestants to rows: each is checked first, then all that are right are timed by turns, under every setting."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch

from benchmarks.floors import Floor
from benchmarks.timing import Spread, Work, extra_peak_mb, give_back_memory, interleaved
from benchmarks.workers import Worker, WorkerDied

PARTS = ("forward", "forward_backward")
_NO_MEMORY = "out of memory"
_TRIAL_LIMIT_S = 300.0  # a contestant whose trial, compiling included, has not ended by then is not timed


@dataclass(frozen=True)
class Limits:
    """How long contestants may take."""

    slow_s: float = 10.0
    """one whose forward and backward pass take longer than this once is not timed, but said to"""
    patience_s: float = 12.0
    """one that has been timed for so long gets no more samples"""


@dataclass(frozen=True)
class Contestant:
    """Something to time."""

    forward: Work
    forward_backward: Work | None
    """None: it has no backward pass"""
    check: Callable[[Any], float] | None
    """from what the pass to and back (or the forward one, if it is the only one) returns, the largest relative error
    against what is known to be right; None: it computes something else"""
    tolerance: float = 0.0
    """the largest error that counts as rounding"""
    error: Callable[[Any], float] | None = None
    """as `check`, against what is right for inputs that have not been stored in fewer bits; None: not asked"""


class Problem(Protocol):
    """The contestants that are timed against one another on the same data."""

    device: str

    def prepare(self) -> None:
        """Compute what the checks need."""
        ...

    def contestant(self, name: str) -> Contestant:
        """The contestant of a name."""
        ...


Build = Callable[..., Problem]
"""From a case, which can be hashed and pickled, to its problem: a function of a module."""


@dataclass(frozen=True)
class Trial:
    """What came of running a contestant once."""

    status: str
    """"right", "another operation", "wrong" or why it did not run"""
    deviation: float | None = None
    error: float | None = None
    """the deviation that storing inputs in fewer bits is part of"""

    @property
    def counts(self) -> bool:
        """Whether the contestant's time means anything."""
        return self.status in ("right", "another operation")


@dataclass(frozen=True)
class Measured:
    """One contestant under one setting."""

    forward: Spread
    forward_backward: Spread | None
    forward_mb: float | None
    forward_backward_mb: float | None

    def columns(self, setting: str) -> dict[str, float | int | None]:
        """Its columns in the table."""
        found: dict[str, float | int | None] = {}
        for name in PARTS:
            spread: Spread | None = getattr(self, name)
            numbers = asdict(spread) if spread else dict.fromkeys(Spread.__dataclass_fields__)
            found |= {f"{name}_{k if k == 'samples' else k + '_ms'}_{setting}": v for k, v in numbers.items()}
            found[f"{name}_extra_peak_mb_{setting}"] = getattr(self, f"{name}_mb")
        return found


@dataclass(frozen=True)
class Result:
    """One contestant of one case."""

    trial: Trial
    measured: Mapping[str, Measured] = field(default_factory=dict)
    """by setting; empty unless the trial counts under every setting"""
    floors: Mapping[str, Floor] = field(default_factory=dict)
    """of PARTS, where they are known"""

    def columns(self) -> dict[str, object]:
        """Its columns in the table."""
        found: dict[str, object] = {"status": self.trial.status, "deviation": self.trial.deviation}
        if self.trial.error is not None:
            found["error"] = self.trial.error
        for setting, measured in self.measured.items():
            found |= measured.columns(setting)
        for part, floor in self.floors.items():
            found |= floor.columns(part)
        return found

    def median(self, what: str, setting: str) -> float | None:
        """Median milliseconds of "forward" or "forward_backward"."""
        spread = getattr(self.measured[setting], what) if setting in self.measured else None
        return spread.median if spread else None


def run_case(
    workers: Sequence[Worker],
    build: Build,
    case: Hashable,
    names: Iterable[str],
    repeats: int,
    advance: Callable[[float], object] = lambda share: None,
    limits: Limits = Limits(),
) -> dict[str, Result]:
    """Try and time the contestants of one case under every worker's setting.

    Args:
        workers: one for each setting.
        build: makes the problem in a worker.
        case: what to build.
        names: which of its contestants.
        repeats: samples of each time.
        advance: is told which share of the work has been done since it was told last.
        limits: how long the contestants may take.

    Returns:
        Results by name. A contestant that is wrong, or does not run, under any setting is not timed under any.
    """
    names = list(names)
    trials = dict.fromkeys(names, Trial("right"))
    measured: dict[str, dict[str, Measured]] = {name: {} for name in names}
    step = 1 / (len(workers) * len(names) * 2)
    for worker in workers:
        for name in names:
            if trials[name].counts:
                trials[name] = _try(worker, build, case, name, limits)
                if _NO_MEMORY in trials[name].status:
                    worker.renew()
            advance(step)
        worker.call(forget)
    for worker in workers:
        right = [name for name in names if trials[name].counts]
        try:
            found = worker.call(measure, build, case, right, repeats, limits)
        except RuntimeError:  # by turns they need more memory than each in its trial: then one after the other
            found = {}
            worker.renew()
            for name in right:
                try:
                    found |= worker.call(measure, build, case, [name], repeats, limits)
                except RuntimeError as error:
                    trials[name] = Trial(f"{error} ({worker.setting})")
                    worker.renew()
        for name, times in found.items():
            measured[name][worker.setting] = times
        worker.call(forget)
        advance(step * len(names))
    return {name: Result(trials[name], measured[name] if trials[name].counts else {}) for name in names}


def _try(worker: Worker, build: Build, case: Hashable, name: str, limits: Limits) -> Trial:
    try:
        trial = worker.call_within(_TRIAL_LIMIT_S, attempt, build, case, name, limits)
    except WorkerDied as death:
        trial = Trial(str(death))
    return trial if trial.counts else Trial(f"{trial.status} ({worker.setting})", trial.deviation, trial.error)


# What follows runs in the workers.

_problems: dict[Hashable, Problem] = {}


def attempt(build: Build, case: Hashable, name: str, limits: Limits = Limits()) -> Trial:
    """Run a contestant once, and compare what it computes with what is known to be right."""
    try:
        problem = _problem(build, case)
        problem.prepare()
        contestant = problem.contestant(name)
        work = contestant.forward_backward or contestant.forward
        result, took = _timed(work, problem.device)
        if took > limits.slow_s:  # the first run may have compiled something
            result, took = _timed(work, problem.device)
        if took > limits.slow_s:
            return Trial(f"takes {took:.0f} s")
        if contestant.check is None:
            return Trial("another operation")
        deviation = contestant.check(result)
        error = contestant.error(result) if contestant.error else None
    except Exception as error:
        if "CUDA error" in str(error):  # nothing runs on the device any more: a fresh process is needed
            raise SystemExit(f"{name}: {error}") from None
        return Trial(_reason(error))
    return Trial("right" if deviation <= contestant.tolerance else "wrong", deviation, error)


def _timed(work: Work, device: str) -> tuple[object, float]:
    begin = time.perf_counter()
    result = work()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - begin


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return _NO_MEMORY
    return f"fails: {type(error).__name__}: {lines[0][:100]}"


def measure(
    build: Build, case: Hashable, names: Sequence[str], repeats: int, limits: Limits = Limits()
) -> dict[str, Measured]:
    """Time contestants in turn, and look at the memory that each needs."""
    problem = _problem(build, case)
    contestants = {name: problem.contestant(name) for name in names}
    backward = {name: s.forward_backward for name, s in contestants.items() if s.forward_backward}
    forward = {name: s.forward for name, s in contestants.items()}
    forward_ms = interleaved(forward, repeats, problem.device, limits.patience_s)
    backward_ms = interleaved(backward, repeats, problem.device, limits.patience_s)
    gc.collect()
    return {
        name: Measured(
            forward_ms[name],
            backward_ms.get(name),
            extra_peak_mb(forward[name], problem.device),
            extra_peak_mb(backward[name], problem.device) if name in backward else None,
        )
        for name in names
    }


def forget() -> None:
    """Free the problem that is at hand, so that the next worker has the memory."""
    _problems.clear()
    gc.collect()
    gc.freeze()  # what is left is modules, which need not be looked through every time
    give_back_memory()


def _problem(build: Build, case: Hashable) -> Problem:
    if case not in _problems:
        _problems.clear()
        _problems[case] = build(case)
    return _problems[case]
