"""What the processes of one command do together beside training: wait for each other, and end for one reason."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator

from hgg_pyg.types import UserError

_LONGEST = timedelta(days=30)  # that a process which is done waits for the others; torch gives up after minutes


def main_first(accelerator: Accelerator, work: Callable[[], object]) -> None:
    """Let the main process do what may be refused; if it is, all processes end, and that one says why.

    Raises:
        UserError: of the main process's work, there.
    """
    refused: list[UserError | None] = [None]
    if accelerator.is_main_process:
        try:
            work()
        except UserError as error:
            refused[0] = error
    if accelerator.num_processes > 1:
        dist.broadcast_object_list(refused, src=0, group=everyone(), device=torch.device("cpu"))
    if refused[0] is not None:
        if accelerator.is_main_process:
            raise refused[0]
        sys.exit(2)


def wait_for_all(accelerator: Accelerator) -> None:
    """Wait until all processes are here, however long their shares of the work are; to be called by all of them."""
    if accelerator.num_processes > 1:
        dist.barrier(everyone())


@functools.cache
def everyone() -> dist.ProcessGroup:
    """All processes; gloo, on GPUs too, notices at once when one of them ends, and may be told to wait for days."""
    return dist.new_group(timeout=_LONGEST, backend="gloo")  # pyright: ignore[reportReturnType]
