"""The training loop's schedule, for runs of any length."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.training.run import RunConfig


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
