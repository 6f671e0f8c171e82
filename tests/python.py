"""Other processes, started as a shell starts Python: `python.run("-m", "hgg_pyg.train", "--steps", "3")`.

They are forked from a server, one for each process of tests, which has imported the commands once: that takes seconds
of a core, a fork takes none. For the rest they are processes like any: with arguments, a folder, an environment, an
output, an exit code and signals of their own; OpenMP has one thread, and warnings are not shown. `fresh=True` takes a
fresh interpreter, where imports themselves are tested, or what they read of the environment.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.python_server import CODE

ROOT = Path(__file__).parents[1]


def run(*arguments: object, timeout: float = 300, **options) -> subprocess.CompletedProcess[str]:
    """Start a process and wait for its end; see `start`."""
    return start(*arguments, **options).finish(timeout)


def start(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
    forks: bool = False,
    fresh: bool = False,
) -> Process:
    """Start a process.

    Args:
        arguments: of Python: a script, `-c` and a program, or `-m` and a module, then their own.
        cwd: its folder; by default this process's.
        env: all of its environment; by default this process's.
        new_session: make it lead a group of its own.
        forks: what it starts itself is forked, too: modules that it has imported, and what `multiprocessing` spawns.
        fresh: take a fresh interpreter.
    """
    words = [str(argument) for argument in arguments]
    folder, environment = str(cwd or Path.cwd()), {**(os.environ if env is None else env)}
    stdout, stderr = _Output(), _Output()
    if fresh:
        command = [sys.executable, "-W", "ignore", *words]
        files = {"stdin": subprocess.DEVNULL, "stdout": stdout.file, "stderr": stderr.file}
        started = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=new_session, **files)
    else:
        order = {"arguments": words, "cwd": folder, "env": environment, "new_session": new_session}
        order |= {"forks": forks}
        started = _Forked(order, stdout, stderr)
    return Process(words, started, stdout, stderr)


class Process:
    """A process under way; `stdout` and `stderr` are what it has said until now."""

    def __init__(self, arguments: list[str], started: _Started, stdout: _Output, stderr: _Output) -> None:
        self._arguments, self._started, self._stdout, self._stderr = arguments, started, stdout, stderr

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def stdout(self) -> str:
        return self._stdout.read()

    @property
    def stderr(self) -> str:
        return self._stderr.read()

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._started.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises subprocess.TimeoutExpired."""
        return self._started.wait(timeout)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def finish(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end; one that takes longer is killed, and subprocess.TimeoutExpired raised."""
        try:
            code = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGKILL)
            self.wait()
            raise
        return subprocess.CompletedProcess(self._arguments, code, self.stdout, self.stderr)


class _Output:
    """A file without a name that a process writes to."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self.file = os.dup(file.fileno())

    def read(self) -> str:
        return os.pread(self.file, os.fstat(self.file).st_size, 0).decode(errors="replace")

    def __del__(self) -> None:
        os.close(self.file)


class _Started(Protocol):
    """What `Process` takes of subprocess.Popen."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class _Forked:
    """A process that the server has forked; the server tells its number, and its exit code when it has ended."""

    def __init__(self, order: Mapping[str, object], stdout: _Output, stderr: _Output) -> None:
        self._code: int | None = None
        self._report, theirs = os.pipe()
        with tempfile.TemporaryFile() as ordered, open(theirs, "wb") as report:
            ordered.write(json.dumps(order).encode())
            ordered.flush()
            files = [report.fileno(), ordered.fileno(), stdout.file, stderr.file]
            socket.send_fds(_server(), [b"x"], files)
        self.pid = self._read()

    def poll(self) -> int | None:
        if self._code is None and select.select([self._report], [], [], 0)[0]:
            self._code = self._read()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None and not select.select([self._report], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("python", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def _read(self) -> int:
        told = os.read(self._report, CODE.size)
        if not told:
            raise RuntimeError("the server of tests/python.py has ended: its last words are above")
        return CODE.unpack(told)[0]

    def __del__(self) -> None:
        os.close(self._report)


_lock = threading.Lock()
_started: list[tuple[int, socket.socket]] = []  # the server's socket, and the process it belongs to


def _server() -> socket.socket:
    """The socket of this process's server, which is started now if there is none."""
    with _lock:
        if not _started or _started[0][0] != os.getpid():
            ours, theirs = socket.socketpair()
            command = [sys.executable, "-W", "ignore", "-m", "tests.python_server", str(theirs.fileno())]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            server = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
            theirs.close()
            atexit.register(lambda: (ours.close(), server.kill(), server.wait()))
            _started[:] = [(os.getpid(), ours)]
        return _started[0][1]
