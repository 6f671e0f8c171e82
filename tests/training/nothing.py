"""A training loop over nothing: the loop itself, without data or networks."""

import numpy as np
from torch import Tensor

from hgg_pyg.training.loop import TrainingLoop


class Nothing(TrainingLoop[int]):
    """Trains one number towards zero."""

    def load(self, rng: np.random.Generator) -> int:
        return 0

    def loss(self, item: int) -> tuple[Tensor, Tensor]:
        loss = self.model.weight.square().sum()
        return loss, loss.detach()

    def validate(self) -> float | None:
        return None
