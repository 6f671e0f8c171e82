"""Measuring in child processes, one for each setting of the memory allocator.

With glibc's default setting every large temporary tensor gets fresh pages that the kernel must clear, which is half of
the time of scatter operations on a CPU. A program can ask glibc to keep its pages, as our commands do. Neither setting
alone is a fair comparison, so everything is measured under both, by turns.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "tuned": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"},
}
_ALWAYS = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # a worker that is ended leaves no compilers behind
_LOOK_S = 0.5  # how often to see whether a worker is alive
_MEMORY_SHARE = 0.7  # of the memory that is available at the start: beyond it an allocation fails, and no one swaps


class WorkerDied(RuntimeError):
    """A worker ended while it worked, for want of memory as a rule. The next call starts a fresh one."""


class Worker:
    """A process that calls functions for this one, one at a time.

    It gets its allocator's setting from its environment, and nothing in it changes that; what was set in this process
    does not reach it.

    Args:
        setting: a name from SETTINGS.
        threads: of torch.
        device: a CPU's memory is limited to most of what is available, so that a variant fails instead of the machine.
    """

    def __init__(self, setting: str, threads: int, device: str = "cpu") -> None:
        self.setting = setting
        self._threads = threads
        self._device = device
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` in the worker; all of them can be pickled, and so can the result.

        Raises:
            WorkerDied: the process ended.
            RuntimeError: the function raised; the message names what.
        """
        return self.call_within(None, function, *args, **kwargs)

    def call_within(self, limit_s: float | None, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`call`, but the process is ended when the limit has passed."""
        if not self._process.is_alive():
            self._pipe.close()
            self._start()
        try:
            self._pipe.send((function, args, kwargs))
            self._wait(limit_s)
            result, error = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerDied(f"the process ended with code {self._process.exitcode}") from None
        if error is not None:
            raise error
        return result

    def _wait(self, limit_s: float | None) -> None:
        """Until there is an answer. The end of the pipe tells of an end of the process only if it has no children."""
        begin = time.monotonic()
        while not self._pipe.poll(_LOOK_S):
            if not self._process.is_alive():
                raise EOFError
            if limit_s is not None and time.monotonic() - begin > limit_s:
                self._process.kill()
                self._process.join()
                raise WorkerDied(f"took longer than {limit_s:.0f} s")

    def renew(self) -> None:
        """End the process and start a fresh one: after an allocation has failed, glibc keeps to no setting any more."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        with _environment(SETTINGS[self.setting]):
            # Not a daemon: those may not have children, and compiling may need one.
            self._process = context.Process(target=_serve, args=(theirs, self._threads, self._device))
            self._process.start()
        theirs.close()


@contextlib.contextmanager
def start_workers(device: str, threads: int) -> Iterator[list[Worker]]:
    """One worker for each setting that makes a difference here: all of them on a CPU under glibc, else the default."""
    both = device == "cpu" and platform.libc_ver()[0] == "glibc"
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Worker(name, threads, device)) for name in (SETTINGS if both else ["default"])]


@contextlib.contextmanager
def _environment(setting: dict[str, str]) -> Iterator[None]:
    """An environment of these settings of the allocator and no others, for as long as the context lasts."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES":
            del os.environ[name]
    os.environ.update(setting | _ALWAYS)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(pipe: Connection, threads: int, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted command ends its workers itself
    torch.set_num_threads(threads)
    if device == "cpu":
        _limit_memory()
    answer: tuple[Any, Exception | None]
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = function(*args, **kwargs), None
        except Exception as error:  # another one of its kind may not survive being pickled
            answer = None, RuntimeError(f"{type(error).__name__}: {str(error)[:300]}")
        pipe.send(answer)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError, StopIteration):
        import resource  # not on every system

        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        limit = int(_MEMORY_SHARE * available)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
