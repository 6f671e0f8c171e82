"""Many runs of training side by side, each in a process of its own on one thread; any of them can go on later."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

import torch

from benchmarks.ablation_studies import expected_seconds
from benchmarks.report import Progress
from benchmarks.timing import machine, write_table
from hgg_pyg import train
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.evaluator import evaluate
from hgg_pyg.runtime import keep_memory_pages
from hgg_pyg.training.run import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    Checkpoint,
    TrainConfig,
    find_checkpoint,
    read_config,
)
from hgg_pyg.training.trained import open_run
from hgg_pyg.types import UserError

Split = Literal["val", "test"]

MACHINE_FILE = "machine.csv"
_ATTEMPTS = 2  # at a run whose process is ended from outside, by the system for want of memory as a rule
_LOOK_S = 0.5  # how often to see how far runs are
_USER_ERROR = 2  # what commands exit with when there is a mistake
_SAVED_AND_STOPPED = 130  # what training exits with when it is asked to end
_PATIENCE_S = 60  # that a run which is stopped gets to finish its clip and to save
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


def metrics_file(run: TrainConfig, split: Split) -> Path:
    """Where a run's scores of validation or test subjects are."""
    return (run.folder / "val" if split == "val" else run.folder) / "metrics.json"


def is_finished(run: TrainConfig, split: Split) -> bool:
    """Whether a run has been trained and scored.

    Raises:
        UserError: the folder holds a run of other options.
    """
    if (run.folder / CONFIG_FILE).is_file() and read_config(run.folder) != run:
        find_checkpoint(run)  # refuses differences that matter
    return metrics_file(run, "test").is_file() and metrics_file(run, split).is_file()


def steps_done(run: TrainConfig) -> int:
    """The optimiser steps of a run's checkpoint; 0 where it has none."""
    return Checkpoint.load(run.folder).step if (run.folder / CHECKPOINT_FILE).is_file() else 0


def log_file(run: TrainConfig) -> Path:
    """What a run's process said."""
    return run.out / "logs" / f"{run.name}.log"


def train_all(runs: Sequence[TrainConfig], split: Split, workers: int) -> tuple[str, ...]:
    """Train and score runs, `workers` at a time, with one bar for all of them.

    A run that fails stops no other, unless it is refused before its first step, as all would be. One whose process is
    ended from outside is gone on with, once. When this process is interrupted or asked to end, runs save their state.

    Returns:
        what went wrong, a line for each run that is not finished.
    """
    if not runs:
        return ()
    tasks = [_Task(run, split) for run in runs]
    waiting, running, failures = deque(tasks), list[_Task](), list[str]()
    with _end_is_interrupt(), Progress(sum(task.weight for task in tasks)) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    running.append(waiting.popleft())
                    running[-1].start(progress)
                connection.wait([task.process.sentinel for task in running], timeout=_LOOK_S)
                for task in [task for task in running if task.look()]:
                    running.remove(task)
                    if task.stopped and task.attempts < _ATTEMPTS:
                        waiting.append(task)
                    elif task.process.exitcode:
                        failures.append(f"{task.run.name}: {task.reason()}")
                        if task.refused:
                            waiting.clear()
                count = f"{len(tasks) - len(waiting) - len(running)} of {len(tasks)} runs"
                progress.set_description_str(", ".join([count, *(task.describe() for task in running)]), refresh=False)
        finally:
            _stop(running)
    return tuple(failures)


class _Task:
    """A run and the process that trains it."""

    process: SpawnProcess

    def __init__(self, run: TrainConfig, split: Split) -> None:
        self.run, self.split = run, split
        self.attempts = 0
        self._step = self._first = steps_done(run)
        self._changed = 0  # when the checkpoint did, by the file's time
        self._advance: Callable[[float], None] | None = None
        self.weight = max(1.0, (1 - self._first / run.steps) * expected_seconds(run))

    def start(self, progress: Progress) -> None:
        self.attempts += 1
        self._advance = self._advance or progress.begin(self.run.name, self.weight)
        self.process = get_context("spawn").Process(target=_train_one, args=(self.run, self.split), name=self.run.name)
        with _inherited():
            self.process.start()

    def look(self) -> bool:
        """Fill the bar up to where the run is; returns whether its process has ended."""
        ended = not self.process.is_alive()
        with contextlib.suppress(FileNotFoundError):
            changed = (self.run.folder / CHECKPOINT_FILE).stat().st_mtime_ns
            if changed != self._changed:
                step, self._changed = steps_done(self.run), changed
                if self._advance is not None and self._first < self.run.steps:
                    self._advance((step - self._step) / (self.run.steps - self._first))
                self._step = step
        return ended

    def describe(self) -> str:
        return f"{self.run.name} {self._step}/{self.run.steps}"

    @property
    def stopped(self) -> bool:
        """Whether someone ended the process: it neither got there nor failed."""
        code = self.process.exitcode
        return code is not None and (code < 0 or code == _SAVED_AND_STOPPED)

    @property
    def refused(self) -> bool:
        """Whether the user made a mistake that shows before there is anything to save."""
        return self.process.exitcode == _USER_ERROR and self._step == 0

    def reason(self) -> str:
        """The line that the process ended with."""
        if self.stopped:
            return f"stopped by someone or by the system, {self.attempts} times"
        lines = [line.strip() for line in log_file(self.run).read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1].removeprefix("error: ") if lines else f"ended with code {self.process.exitcode}"


def _stop(tasks: Sequence[_Task]) -> None:
    """Ask runs to save and to end; those that do not, or a second interrupt, are killed."""
    for task in tasks:
        task.process.terminate()
    try:
        until = time.monotonic() + _PATIENCE_S
        for task in tasks:
            task.process.join(max(0, until - time.monotonic()))
    finally:
        for task in tasks:
            task.process.kill()
            task.process.join()


@contextmanager
def _end_is_interrupt() -> Iterator[None]:
    """Let SIGTERM stop this process as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _inherited() -> Iterator[None]:
    """Processes started in this context have one thread and leave Ctrl-C to this one, which stops them by SIGTERM."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _train_one(run: TrainConfig, split: Split) -> None:
    """In a process of its own: train and score what is not there yet. What is said goes to the log."""
    _write_to(log_file(run))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(1)
    keep_memory_pages()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if not metrics_file(run, "test").is_file():
            write_table(run.folder / MACHINE_FILE, [machine(device, 1)])
            train.main(run)
        if not metrics_file(run, split).is_file():
            _score_validation(run, device)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(_USER_ERROR)


def _score_validation(run: TrainConfig, device: str) -> None:
    """What training does for the test subjects at its end, for those of validation."""
    trained = open_run(run.folder, device=torch.device(device))
    report = evaluate(
        trained.model,
        some_usable(trained.sources(trained.captures.val)),
        run.graph,
        run.clip.frames,
        seen_in_training=trained.captures.shared_subjects,
    )
    report.save(metrics_file(run, "val").parent)


def _write_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())


def _end_with_parent() -> None:
    """A command that was killed leaves no runs behind that the next one would start a second time."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
