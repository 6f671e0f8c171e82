"""The processes that torchrun, mpirun or accelerate started: how they join, wait for one another and end together."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from accelerate import Accelerator

from hgg_pyg.types import UserError

_STARTED = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # where launchers say how many
_LONGEST = timedelta(days=30)  # that a process which is done waits for the others; torch gives up after minutes


def join_processes(precision: Literal["no", "bf16"] = "no", accumulation: int = 1) -> Accelerator:
    """This process among those that torchrun, mpirun or accelerate started.

    Raises:
        UserError: several were asked for and one was started, there are too few GPUs, or they do not find each other.
    """
    started = next((int(os.environ[name]) for name in _STARTED if name in os.environ), 1)
    if started == 1 and os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ:
        raise UserError(
            "accelerate launch --cpu starts one process, whatever --num_processes says: "
            "expected torchrun --nproc-per-node N -m hgg_pyg.COMMAND, or --num_processes 1"
        )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus and here > gpus and os.environ.get("ACCELERATE_USE_CPU") != "True":
        raise UserError(
            f"expected at most one process per GPU on a machine, {gpus}, found {here}: "
            'start fewer, or hide the GPUs by CUDA_VISIBLE_DEVICES=""'
        )
    try:
        # Without a GPU, accelerate joins the processes only if it is told to use the CPU: else each of them is alone.
        accelerator = Accelerator(
            cpu=started > 1 and not gpus, mixed_precision=precision, gradient_accumulation_steps=accumulation
        )
        if accelerator.num_processes > 1:
            _patient()  # now, while all of them are here
    except (ValueError, dist.DistError) as error:
        raise UserError(f"expected {started} processes that find each other, found: {error}") from error
    return accelerator


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
        dist.broadcast_object_list(refused, src=0, group=_patient(), device=torch.device("cpu"))
    if refused[0] is not None:
        if accelerator.is_main_process:
            raise refused[0]
        sys.exit(2)


def wait_for_all(accelerator: Accelerator) -> None:
    """Wait until all processes are here, however long their shares of the work are; to be called by all of them."""
    if accelerator.num_processes > 1:
        dist.barrier(_patient())


@functools.cache
def _patient() -> dist.ProcessGroup:
    """All processes; gloo, on GPUs too, notices at once when one of them ends, and may be told to wait for days."""
    return dist.new_group(timeout=_LONGEST, backend="gloo")  # pyright: ignore[reportReturnType]


def lost_a_process(error: RuntimeError) -> bool:
    """Whether an error is a collective's that waited for a process in vain, rather than of the work itself."""
    return isinstance(error, dist.DistError) or (dist.is_initialized() and "gloo" in str(error))
