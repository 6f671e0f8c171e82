"""How a soak starts commands: in a fresh interpreter, or forked from a server that has imported them all once."""

from __future__ import annotations

import os
import resource
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests import python

Start = Callable[[str, Sequence[str], Path, int | None], python.Process]
"""module, arguments, folder for what it says, and the bytes that a file may have"""


def _start(module: str, arguments: Sequence[str], place: Path, room: int | None, *, fresh: bool) -> python.Process:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HGG_CACHE": str(place / "mesh")}
    words = ("-m", "tests.soak.starting", module, place, room or 0, *arguments)
    return python.start(*words, env=environment, fresh=fresh)


start_fresh: Start = partial(_start, fresh=True)
"""as from a shell: importing takes longer than the work, and is killed more often"""
start_forked: Start = partial(_start, fresh=False)
"""forked from a server: all of a command's time is work"""


def _work(module: str, arguments: list[str], place: Path, room: int) -> None:
    output = os.open(place / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if room:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error to be met, as that of a full disk, not a signal
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[4:], Path(sys.argv[2]), int(sys.argv[3]))
