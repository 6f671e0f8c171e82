"""How a soak starts commands: in a fresh interpreter, or forked from a server that has imported them all once."""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

_COMMANDS = ("train", "precompute", "finetune", "evaluate", "synthesize")
_forks = multiprocessing.get_context("forkserver")


class Started(Protocol):
    """A command that runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; negative for a signal. Raises subprocess.TimeoutExpired."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Send it a signal, if it still runs."""
        ...


Start = Callable[[str, Sequence[str], Path, int | None], Started]
"""module, arguments, folder for what it says, and the bytes that a file may have"""


def start_fresh(module: str, arguments: Sequence[str], place: Path, room: int | None) -> Started:
    """As from a shell: importing takes longer than the work, and is killed more often."""
    own = [sys.executable, "-m", "tests.soak.starting", module, str(place), str(room or 0), *arguments]
    return subprocess.Popen(own)


def start_forked(module: str, arguments: Sequence[str], place: Path, room: int | None) -> Started:
    """Forked from a server: all of a command's time is work. Its kernels are those of forked processes."""
    _forks.set_forkserver_preload([f"hgg_pyg.{name}" for name in _COMMANDS])
    process = _forks.Process(target=_work, args=(module, list(arguments), place, room))
    process.start()
    return _Forked(process, module)


class _Forked:
    def __init__(self, process: ForkServerProcess, module: str) -> None:
        self._process, self._module = process, module

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._module, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None and self._process.pid is not None:
            os.kill(self._process.pid, number)


def _work(module: str, arguments: list[str], place: Path, room: int | None) -> None:
    output = os.open(place / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {"OMP_NUM_THREADS": "1", "HGG_CACHE": str(place / "mesh")}
    if room:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error to be met, as that of a full disk, not a signal
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[4:], Path(sys.argv[2]), int(sys.argv[3]))
