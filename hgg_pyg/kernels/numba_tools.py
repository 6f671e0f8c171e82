"""What our numba kernels share: how they are compiled, and as many threads as torch has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numba import config, set_num_threads

OPTIONS: Any = {"cache": True, "error_model": "numpy"}
"""Options of every kernel: compiled once on a machine, division as in numpy."""

PARALLEL: Any = {"numpy": False, "fusion": False}
"""Of prange loops only: the rest would double the time to compile."""

_one_at_a_time = threading.Lock()


@contextmanager
def numba_threads() -> Iterator[int]:
    """Give numba as many threads as torch has, as far as numba has started that many, and say how many.

    One caller at a time: numba's simplest thread pool ends the process when two threads enter it, as a viewer's may.
    """
    started: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
    threads = torch.get_num_threads()
    with _one_at_a_time:
        set_num_threads(min(threads, started))
        if torch.get_num_threads() != threads:  # numba, when it starts its threads, sets the OpenMP library both share
            torch.set_num_threads(threads)
        yield min(threads, started)
