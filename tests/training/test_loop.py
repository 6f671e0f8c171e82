"""The training loop: its schedule in runs of any length, and disks and folders that fail it."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from hgg_pyg.training.checkpoint import Checkpoint, StepRecord
from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.training.run import RunConfig
from hgg_pyg.training.scalars import Scalars
from hgg_pyg.types import UserError


class Nothing(TrainingLoop[int]):
    """Trains one number towards zero."""

    def load(self, rng: np.random.Generator) -> int:
        return 0

    def loss(self, item: int) -> tuple[Tensor, Tensor]:
        loss = self.model.weight.square().sum()
        return loss, loss.detach()

    def validate(self) -> float | None:
        return None


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9, 10, 11, 29])
def test_the_rate_rises_and_falls_in_runs_of_any_length(tmp_path, steps):
    config = RunConfig(out=tmp_path, steps=steps, lr=0.1)
    loop = Nothing(config, Accelerator(cpu=True), torch.nn.Linear(1, 1, bias=False), "step")
    assert loop.run()
    rates = [record.lr for record in loop.history]
    assert len(rates) == steps
    assert all(0 < rate <= 0.1 for rate in rates)
    highest = rates.index(max(rates))
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)


def started(folder: Path, steps: int, **options: int) -> Nothing:
    config = RunConfig(out=folder, steps=steps, lr=0.1, **options)
    return Nothing(config, Accelerator(cpu=True), torch.nn.Linear(1, 1, bias=False), "step")


def test_a_disk_that_fills_keeps_the_checkpoint_of_before(tmp_path, monkeypatch):
    assert started(tmp_path, 2).run()
    folder, loop = tmp_path / "demo", started(tmp_path, 4, checkpoint_every=1)
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    loop.restore(Checkpoint.load(folder))

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"checkpoint\.pt: expected .*room in it, found: No space left on device"):
        loop.run()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == kept
    assert {"checkpoint.pt", "curves.png"} <= kept.keys()


@pytest.mark.parametrize("removed", ["demo", "demo/tensorboard"])
def test_a_folder_that_is_removed_ends_the_run_in_a_line(tmp_path, removed, capfd):
    class Robbed(Nothing):
        def loss(self, item: int) -> tuple[Tensor, Tensor]:
            if len(self.history) == 1:
                shutil.rmtree(tmp_path / removed)
            return super().loss(item)

    config = RunConfig(out=tmp_path, steps=4)
    loop = Robbed(config, Accelerator(cpu=True), torch.nn.Linear(1, 1, bias=False), "step")
    with pytest.raises(UserError, match=r"demo/tensorboard/events.*: expected .*No such file or directory"):
        loop.run()
    assert not (tmp_path / removed).exists()
    assert "Traceback" not in capfd.readouterr().err


def test_a_checkpoint_is_not_written_where_its_run_was_removed(tmp_path):
    loop = started(tmp_path, 2)
    with pytest.raises(UserError, match="demo: expected the run's folder, found nothing: it was removed"):
        loop.save()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_reads_what_is_written(tmp_path):
    for done, rate in ((0, 1.0), (3, 2.0)):
        scalars = Scalars(tmp_path, done)
        for step in range(done + 1, done + 6):
            scalars.add(StepRecord(step, 0.5, 20.0, rate, 30.0 if step == 5 else None))
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    rates = [(event.step, event.value) for event in events.Scalars("train/lr")]
    assert rates == [(1, 1.0), (2, 1.0), *((step, 2.0) for step in range(4, 9))]  # what a run goes on from is purged
    assert [event.step for event in events.Scalars("val/psnr")] == [5]
