"""Progress of a stage, with an estimate of the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Bar = Callable[[int], Callable[[int], object]]
"""Given how much there is to do, returns what is called with how much has been done, once and again"""


@contextmanager
def progress_bars(what: str, unit: str) -> Iterator[Bar]:
    """A progress bar that is drawn once it is known how much there is to do; nothing for what was done earlier."""
    bars: list[tqdm] = []

    def begin(total: int) -> Callable[[int], object]:
        bars.append(tqdm(total=total, desc=what, unit=unit))
        return bars[-1].update

    try:
        yield begin
    finally:
        for bar in bars:
            bar.close()
