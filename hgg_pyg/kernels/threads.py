"""One thread of torch for what has to come out the same, to the bit, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread inside, with as many as before after it; also a decorator.

    Where matrix products and vectorised functions cut their work depends on the number of threads, and with it the last
    digits. Torch keeps the number for each thread of Python, MKL one for all of them: threads that are to stay inside
    side by side are started inside.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
