"""Standard output and error that never end what is done: whatever they are set to, and when no one reads them."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def lasting_streams() -> Iterator[None]:
    r"""What is printed inside may have any letters, and go to a closed pipe or a full disk; a decorator, too.

    A letter that the stream's encoding lacks, or a byte of a file's name that is no letter, is written as in Python's
    code, \xb1. What cannot be written is dropped: a run that someone watches through `| head` is not to end there. Of
    standard output that did not get onto a disk, a line on standard error tells at the end, and the process exits with
    2, unless it ends for another reason.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_lasting, before)
    try:
        yield
        sys.stdout.flush()
        if lost := getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", None):
            print(f"error: standard output: expected room for all that was printed, found: {lost}", file=sys.stderr)
            sys.exit(2)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed when Python started
        return _over(-1, "utf-8", False)
    if type(stream) is not io.TextIOWrapper:  # a notebook's or a test's
        return stream
    stream.flush()
    return _over(stream.fileno(), stream.encoding, stream.line_buffering or stream.write_through)


def _over(descriptor: int, encoding: str, by_line: bool) -> TextIO:
    buffer = io.BufferedWriter(_Lasting(descriptor))  # pyright: ignore[reportArgumentType]
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=by_line)


class _Lasting(io.RawIOBase):
    """A file descriptor that takes all that it is given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost: str | None = None  # why something was dropped, unless there was nobody to read it

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EBADF):
                self.lost = error.strerror
            return len(data)
