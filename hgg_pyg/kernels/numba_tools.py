"""What our numba kernels share: how they are compiled, and as many threads as torch has."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numba import config, njit, set_num_threads

from hgg_pyg.kernels.kernel_cache import kernel_cache

_PARALLEL: Any = {"numpy": False, "fusion": False}  # prange loops only: the rest would double the time to compile

_one_at_a_time = threading.Lock()
_forked = False


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function, once on a machine where that can be kept; division as in numpy; without Python's lock."""
    return _compile(function)


def parallel_kernel(function: Callable[..., Any]) -> Any:
    """The same with threads in its `prange` loops; in a forked process without, for threads do not outlive a fork.

    To be called from Python, inside `numba_threads`, and not by other kernels.
    """
    parallel, serial = _compile(function, parallel=_PARALLEL), _compile(function, "serial")

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return (serial if _forked else parallel)(*args)

    return call


def _compile(function: Callable[..., Any], variant: str = "", **options: Any) -> Any:
    dispatcher: Any = njit(nogil=True, error_model="numpy", **options)(function)
    dispatcher._cache = kernel_cache(function, variant)  # as numba's own cache=True does with its own cache
    return dispatcher


@contextmanager
def numba_threads() -> Iterator[int]:
    """Give numba as many threads as torch has, as far as numba has started that many, and say how many.

    One caller at a time: numba's simplest thread pool ends the process when two threads enter it, as a viewer's may.
    One thread in a forked process. Ctrl-C waits until the caller is done with its kernels.
    """
    started: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
    threads = torch.get_num_threads()
    with _one_at_a_time, _interrupted_afterwards():
        if _forked:
            yield 1
            return
        set_num_threads(min(threads, started))
        if torch.get_num_threads() != threads:  # numba, when it starts its threads, sets the OpenMP library both share
            torch.set_num_threads(threads)
        yield min(threads, started)


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end, if it was to be raised inside.

    Numba goes on where looking at arguments has raised something: Python then ends with a SystemError, or crashes.
    """
    before, interrupts = signal.getsignal(signal.SIGINT), 0
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(*_: Any) -> None:
        nonlocal interrupts
        interrupts += 1

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupts:
            raise KeyboardInterrupt


def _after_fork() -> None:
    """A child has none of its parent's threads: numba would end it, OpenMP wait for them, and so would our lock."""
    global _forked, _one_at_a_time
    _forked, _one_at_a_time = True, threading.Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
