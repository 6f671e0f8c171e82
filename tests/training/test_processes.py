"""Several processes that train together: they stop together, none waits for one that is lost."""

import os
import signal
import socket
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from hgg_pyg import processes
from hgg_pyg.processes import join_processes
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.training.run import RunConfig, find_checkpoint
from hgg_pyg.types import UserError
from tests import python

LOOP = """
import os
import torch
from accelerate import Accelerator
from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.training.run import RunConfig, create_run
from hgg_pyg.training.claim import begin_run
from hgg_pyg.processes import join_processes
from hgg_pyg.runtime import run_command


class Line(TrainingLoop[torch.Tensor]):
    def load(self, rng):
        return torch.from_numpy(rng.normal(size=(4, 3))).float()

    def loss(self, item):
        loss = self.model(item).square().mean()
        if self.accelerator.process_index == 1 and len(self.history) == int(os.environ["AFTER"]):
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        return loss, loss.detach()

    def validate(self):
        return None


def main(config: RunConfig) -> None:
    accelerator = join_processes(config.precision, config.accumulation)
    with begin_run(config, accelerator) as checkpoint:
        torch.manual_seed(0)
        loop = Line(config, accelerator, torch.nn.Linear(3, 2), "item")
        if accelerator.is_main_process and checkpoint is None:
            create_run(config)
        loop.run_from(checkpoint)


if __name__ == "__main__":
    run_command(RunConfig, main)
"""


def start(tmp_path: Path, count: int, *options: str, **environment: str) -> list[tuple[int, str]]:
    """Run a small training by some processes. Returns the exit code and stderr of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    started = [
        python.start(
            *("-c", LOOP, "--out", tmp_path, *options),
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), **environment},
        )
        for rank in range(count)
    ]
    ended = [process.finish(timeout=120) for process in started]
    return [(process.returncode, process.stderr) for process in ended]


@pytest.mark.slow
def test_two_stop_together_go_on_as_one_with_twice_the_accumulation_and_end_when_one_is_killed(tmp_path):
    options = ("--steps", "6", "--name", "two", "--checkpoint-every", "1")
    (main, said), (other, quiet) = start(tmp_path, 2, *options, SIGNAL=str(int(signal.SIGTERM)), AFTER="2")
    assert (main, other) == (130, 130), said + quiet
    assert said.count("stopped at step 3 and saved; --resume goes on") == 1
    assert "stopped" not in quiet
    assert Checkpoint.load(tmp_path / "two").step == 3
    with pytest.raises(UserError, match=r"expected as many processes as the run was trained by, 2, found 1: "):
        find_checkpoint(RunConfig(out=tmp_path, name="two", steps=6, checkpoint_every=1, resume=True))

    killed = start(tmp_path, 2, *options, "--resume", SIGNAL=str(int(signal.SIGKILL)), AFTER="5")
    (main, said), (other, _) = killed
    assert (main, other) == (1, -signal.SIGKILL), said
    assert "Traceback" not in said
    assert said.count("error: another process has ended or cannot be reached (Connection closed by peer") == 1

    alone: dict[str, Any] = {"__name__": "alone"}
    exec(LOOP, alone)
    alone["main"](RunConfig(out=tmp_path, name="one", steps=6, accumulation=2))
    two, one = Checkpoint.load(tmp_path / "two"), Checkpoint.load(tmp_path / "one")
    assert len(two.history) == 4  # what is due is saved once the next step has found it good
    assert [record.loss for record in two.history] == pytest.approx(
        [record.loss for record in one.history[:4]], rel=1e-6
    )


class Nothing(TrainingLoop[int]):
    """Trains one number towards zero."""

    def load(self, rng: np.random.Generator) -> int:
        return 0

    def loss(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.stop_requested |= self.stop_at == len(self.history)
        loss = self.model.weight.square().sum()
        return loss, loss.detach()

    def validate(self) -> float | None:
        return None

    stop_at: int | None = None


class OneOfTwo:
    """An accelerator that says it were of two; the other one is asked to stop in a step."""

    def __init__(self, index: int, asked_in: int | None) -> None:
        self.process_index, self.num_processes = index, 2
        self.real = Accelerator(cpu=True, gradient_accumulation_steps=2)
        self.asked_in, self.steps = asked_in, 0

    def __getattr__(self, name: str):
        return getattr(self.real, name)

    @property
    def is_main_process(self) -> bool:
        return self.process_index == 0

    def reduce(self, means: torch.Tensor, how: str) -> torch.Tensor:
        assert how == "mean"
        other = means.clone()
        other[-1] = float(self.asked_in == self.steps)
        self.steps += 1
        return (means + other) / 2


@pytest.mark.parametrize(("index", "own", "other"), [(0, 2, None), (0, None, 2), (1, 2, None), (1, None, 2)])
def test_the_step_in_which_either_is_asked_is_the_last_of_both(tmp_path, caplog, index, own, other):
    caplog.set_level("INFO", "hgg_pyg")
    config = RunConfig(out=tmp_path, steps=5, accumulation=2)
    loop = Nothing(config, cast(Accelerator, OneOfTwo(index, other)), torch.nn.Linear(1, 1, bias=False), "step")
    loop.stop_at = own
    with pytest.raises(SystemExit) as stop:
        loop.run_from(None)
    assert stop.value.code == 130
    assert len(loop.history) == 3
    assert caplog.messages == (["stopped at step 3 and saved; --resume goes on"] if index == 0 else [])
    assert (config.folder / "checkpoint.pt").exists() == (index == 0)
    if index == 0:
        assert (Checkpoint.load(config.folder).step, Checkpoint.load(config.folder).processes) == (3, 2)


def test_launchers_are_understood(monkeypatch):
    """What each says in the environment, and whether our processes are joined."""
    made: list[bool] = []

    class Fake:
        num_processes = 1

        def __init__(self, cpu: bool, **_: object) -> None:
            made.append(cpu)

    monkeypatch.setattr(processes, "Accelerator", Fake)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "ACCELERATE_USE_CPU", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value, joined in (("WORLD_SIZE", "2", True), ("WORLD_SIZE", "1", False),
                                ("OMPI_COMM_WORLD_SIZE", "2", True), ("PMI_SIZE", "4", True),
                                ("ACCELERATE_USE_CPU", "True", False)):  # fmt: skip
        with monkeypatch.context() as told:
            told.setenv(name, value)
            join_processes()
        assert made.pop() == joined, name
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_PORT", "29500")  # of accelerate launch --cpu --num_processes 2, which starts one
    with pytest.raises(UserError, match="accelerate launch --cpu starts one process, whatever --num_processes says"):
        join_processes()
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")  # of its --mpirun_hostfile
    join_processes()
    assert made.pop()
    monkeypatch.undo()
    monkeypatch.setattr(processes, "Accelerator", Fake)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"expected at most one process per GPU on a machine, 2, found 3"):
        join_processes()
