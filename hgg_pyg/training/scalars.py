"""A run's numbers for TensorBoard, written by the thread that trains: what goes wrong is said there, in one line."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter

from hgg_pyg.io.files import writing
from hgg_pyg.training.checkpoint import StepRecord


class Scalars:
    """An event file, of which TensorBoard shows what all of a folder's say together. It is open only while it is
    written, so that a folder that was removed is noticed.

    Args:
        folder: is made.
        done: steps before this run goes on; what an earlier one wrote of later steps is not shown.

    Raises:
        UserError: it cannot be made or written.
    """

    def __init__(self, folder: Path, done: int) -> None:
        self.path = folder / f"events.out.tfevents.{time.time():010.0f}.{platform.node()}.{os.getpid()}.{done}"
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
        self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._append(Event(wall_time=time.time(), step=done, session_log=SessionLog(status=SessionLog.START)))

    def add(self, record: StepRecord) -> None:
        """Write what is known of a step.

        Raises:
            UserError: the folder was removed, or the disk is full.
        """
        values = {"train/loss": record.loss, "train/psnr": record.psnr, "train/lr": record.lr}
        if record.val_psnr is not None:
            values["val/psnr"] = record.val_psnr
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._append(Event(wall_time=time.time(), step=record.step, summary=summary))

    def _append(self, event: Event) -> None:
        with writing(self.path), self.path.open("ab", buffering=0) as file:
            RecordWriter(file).write(event.SerializeToString())
