"""A run's folder belongs to one command at a time: it is claimed before any work, and given back at the end."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from accelerate import Accelerator

from hgg_pyg.processes import main_first
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.run import RunConfig, find_checkpoint
from hgg_pyg.types import UserError

LOCK_FILE = ".lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)

log = logging.getLogger("hgg_pyg")


@contextmanager
def begin_run(config: RunConfig, accelerator: Accelerator) -> Iterator[Checkpoint | None]:
    """Claim a run's folder for the processes that work on it, and find the checkpoint to go on from.

    Yields:
        the checkpoint, on every process; None to start afresh.

    Raises:
        UserError: on the main process, while the others end: another command works on the run; as `find_checkpoint`.
    """
    with ExitStack() as held:
        found: list[Checkpoint | None] = []

        def begin() -> None:
            held.enter_context(claimed(config.folder))
            found.append(find_checkpoint(config, accelerator.num_processes))

        main_first(accelerator, begin)
        yield found[0] if found else find_checkpoint(config, accelerator.num_processes)


@contextmanager
def claimed(folder: Path, instead: str = "or --name starts another") -> Iterator[None]:
    """Keep every other command from a run's folder, which is made; left empty, it is removed again.

    The lock is one of the kernel's on a file, on this machine and on network file systems that pass it on: what a
    killed process held is free at once.

    Args:
        folder: of the run.
        instead: what may be done but to wait, for the message.

    Raises:
        UserError: another command holds the folder, or it cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with ExitStack() as undone:
        for path in reversed(made):
            undone.callback(_remove_empty, path)
        try:
            file = undone.enter_context(_lock(folder, instead))
            undone.callback((folder / LOCK_FILE).unlink, missing_ok=True)
            file.truncate(0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            said = f"expected a folder that can be written ({error.strerror})"
            raise UserError(f"--out {folder.parent}: {said}") from error
        yield


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty
        folder.rmdir()


def _lock(folder: Path, instead: str) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        file = (folder / LOCK_FILE).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                file.seek(0)
                found = f"found {file.read().strip() or 'one'} at it"
                file.close()
                raise UserError(
                    f"{folder}: expected a run that no command works on, {found}: wait for it, {instead}"
                ) from None
            log.warning("%s: %s: nothing keeps a second command of this name away", folder, error.strerror)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK_FILE).stat()):
                break
        file.close()  # who held it has just removed it
    return file
