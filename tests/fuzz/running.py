"""Give damaged files to a reader: it returns, or says in one line what is wrong; anything else is a finding."""

from __future__ import annotations

import logging
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hgg_pyg.types import UserError
from tests.fuzz.mutations import Mutate

SECONDS = 10  # that a reader may take for one file


@dataclass(frozen=True)
class Reader:
    """How one reader is fuzzed.

    Args:
        valid: writes what the reader needs into a folder and gives the valid contents of the file to be damaged.
        file: that file, within the folder.
        read: reads the folder.
        mutations: ways of damaging it.
        refusals: what the reader may raise.
    """

    valid: Callable[[Path], Sequence[bytes]]
    file: str
    read: Callable[[Path], object]
    mutations: tuple[Mutate, ...]
    refusals: tuple[type[Exception], ...] = (UserError,)


@dataclass
class Findings:
    """What came out: one example for each place that something was raised in."""

    inputs: int = 0
    refused: int = 0
    examples: dict[str, int] = field(default_factory=dict)  # the seed by what was raised and where
    count: int = 0


class TooSlow(BaseException):
    """Not an Exception: no reader may take it for damage."""


def damaged(name: str, reader: Reader, valid: Sequence[bytes], seed: int) -> bytes:
    """The file of a seed."""
    rng = Random(f"{name} {seed}")
    return rng.choice(reader.mutations)(rng, valid)


def fuzz(name: str, reader: Reader, folder: Path, seeds: Iterator[int], keep: Path | None = None) -> Findings:
    """Read one damaged file for each seed.

    Args:
        name: of the reader.
        reader: the reader.
        folder: to work in; the file read last stays there.
        seeds: of the files.
        keep: where files that findings are made with are kept, as NAME-SEED.
    """
    found = Findings()
    folder.mkdir(parents=True, exist_ok=True)
    valid = reader.valid(folder)
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    try:
        for content in valid:
            path.write_bytes(content)
            reader.read(folder)  # what is valid is read
        for seed in seeds:
            content = damaged(name, reader, valid, seed)
            path.write_bytes(content)
            (folder / "seed.txt").write_text(f"{seed}\n")
            found.inputs += 1
            said = wrong(reader, folder)
            if said == "refused":
                found.refused += 1
            elif said is not None:
                found.count += 1
                if said not in found.examples:
                    found.examples[said] = seed
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / f"{name}-{seed}").write_bytes(content)
    finally:
        logging.disable(logging.NOTSET)
    return found


def wrong(reader: Reader, folder: Path) -> str | None:
    """None where the reader reads the folder, "refused" where it says why not, else what it did instead."""
    try:
        with _within(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder)
        return None
    except reader.refusals as error:
        cause = error.__context__
        while cause is not None:
            if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
                return f"took too much memory: {_place(cause)}"
            cause = cause.__context__
        text = str(error)
        return "refused" if "\n" not in text and len(text) < 2000 else f"more than a line: {_place(error)}"
    except TooSlow as error:
        return f"took more than {SECONDS} s: {_place(error)}"
    except Exception as error:
        return f"{type(error).__name__}: {_place(error)}"


def _place(error: BaseException) -> str:
    """The lines that an error came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def until(seconds: float, first: int = 0) -> Iterator[int]:
    """Numbers from `first` on, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield first
        first += 1
