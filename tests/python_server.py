"""The server of `tests/python.py`: imports everything, then forks a process for each order, and tells how it ended."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.context
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.kernels import numba_tools

CODE = struct.Struct("i")
"""what is told of a process: its number at first, its exit code at last"""
_COMMANDS = ("train", "evaluate", "finetune", "precompute", "synthesize", "check", "inspect", "export", "avatar")
_BENCHMARKS = ("ablation", "attention", "gpu")
_READ = "TRITON_INTERPRET"  # of the environment, by an import


def serve(orders: socket.socket) -> list[int]:
    """Fork processes until no orders can come any more.

    Returns:
        in each forked process: the files of its order, which are the order itself, its stdout and its stderr.
    """
    running: dict[int, int] = {}  # where to tell a process's end, by its number
    noticed, notice = os.pipe()
    os.set_blocking(notice, False)
    signal.set_wakeup_fd(notice)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes
    while True:
        ready, _, _ = select.select([orders, noticed], [], [])
        if noticed in ready:
            os.read(noticed, 1000)
            for pid, report in list(running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    _tell(report, os.waitstatus_to_exitcode(status))
                    os.close(running.pop(pid))
        if orders in ready:
            message, given, *_ = socket.recv_fds(orders, 1, 4)
            if not message:
                sys.exit()
            report, *files = given
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                _forget_handlers()
                for file in (orders.detach(), noticed, notice, report, *running.values()):
                    os.close(file)
                return files
            running[pid] = report
            _tell(report, pid)
            for file in files:
                os.close(file)


def _tell(report: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever started it no longer wants to know
        os.write(report, CODE.pack(number))


def become(order: int, stdout: int, stderr: int) -> None:
    """Do in this process what an order's arguments of Python say."""
    with open(order, "rb") as file:
        file.seek(0)
        wanted = json.load(file)
    if wanted["new_session"]:
        os.setsid()
    for file, stream in ((os.open(os.devnull, os.O_RDONLY), 0), (stdout, 1), (stderr, 2)):
        os.dup2(file, stream)
        os.close(file)
    os.chdir(wanted["cwd"])
    numba_tools._forked = False  # of a server without threads: its kernels are those of any new process
    if wanted["forks"]:
        _fork_further()
    _run(wanted["arguments"], wanted["env"])


def _run(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """What `python WORDS` does."""
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through="PYTHONUNBUFFERED" in environment)  # which Python reads when it starts
    np.random.seed()  # every fork would draw the same
    how, name, *rest = words if words[0] in ("-c", "-m") else ("script", *words)
    place = {"-c": "", "-m": os.getcwd(), "script": str(Path(name).resolve().parent)}[how]
    sys.path[:] = [place, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    sys.argv[:] = ["-c" if how == "-c" else name, *rest]
    with _noted():
        if how == "-m":
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        elif how == "script":
            runpy.run_path(name, run_name="__main__")
        else:
            module = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(name, "<string>", "exec"), module.__dict__)


def _forget_handlers() -> None:
    """Handle signals as a new program does: those that are ignored stay so."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


class _Process(multiprocessing.context.ForkProcess):
    def run(self) -> None:
        _forget_handlers()
        super().run()


class _Context(multiprocessing.context.ForkContext):
    Process = _Process


def _fork_further() -> None:
    """From now on, fork what this process starts: modules that it has imported, and what would be spawned."""
    multiprocessing.context._concrete_contexts["spawn"] = _Context()
    start = subprocess.Popen.__init__

    def fork(self: subprocess.Popen, args: Any, *others: Any, **options: Any) -> None:
        words = [] if isinstance(args, str) else [os.fspath(word) for word in args]
        environment = options.get("env") or dict(os.environ)
        if words[:1] == [sys.executable] and "-m" in words and environment.get(_READ) == os.environ.get(_READ):
            words = words[words.index("-m") :]
            if words[1] in sys.modules:
                sys.stdout.flush()  # or the fork would say it, too
                options["preexec_fn"] = partial(_run_and_leave, words, environment, options.get("pass_fds", ()))
        start(self, args, *others, **options)

    subprocess.Popen.__init__ = fork


def _run_and_leave(words: Sequence[str], environment: Mapping[str, str], kept: Collection[int]) -> None:
    """In place of the program that a process is to become, with its files and folder: run one, and end."""
    for file in {*map(int, os.listdir("/proc/self/fd"))} - {0, 1, 2, *kept}:
        with contextlib.suppress(OSError):
            os.close(file)  # the one, too, that tells the parent of a failure as long as it is open
    _forget_handlers()
    try:
        _run(words, environment)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()  # `_leave` at last


_code = 0  # of this process when it ends; negative for the signal that it ends by


@contextlib.contextmanager
def _noted() -> Iterator[None]:
    """Note what exit code Python gives for what is raised inside."""
    global _code
    try:
        yield
    except SystemExit as end:
        _code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except BaseException as error:
        _code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        raise


def _leave() -> None:
    """End this process without taking all of its modules apart, which takes longer than most of what it did."""
    sys.stdout.flush()
    sys.stderr.flush()
    if _code < 0:
        signal.signal(-_code, signal.SIG_DFL)
        os.kill(os.getpid(), -_code)
    os._exit(_code & 0xFF)


def _import_all() -> None:
    for name in (*(f"hgg_pyg.{name}" for name in _COMMANDS), *(f"benchmarks.{name}" for name in _BENCHMARKS)):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # forked processes share what they leave as it is


if __name__ == "__main__":
    atexit.register(_leave)  # the first, which is called last
    _import_all()
    # At the top, as any program: Python itself says what was raised, and waits for threads.
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
