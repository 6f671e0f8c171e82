"""Adam that lets rows without a gradient rest: those of frames that a step does not see."""

from __future__ import annotations

import torch
from torch import Tensor

_BETAS, _EPS = (0.9, 0.99), 1e-12


class RowAdam:
    """Adam (Kingma and Ba 2015) of one tensor, each row counting its own steps.

    Args:
        values: [N, ...] changed in place.
        rate: step size, in units of the values; or one for each column.
    """

    def __init__(self, values: Tensor, rate: float | Tensor) -> None:
        self.values, self.rate = values, rate
        self._mean, self._square = torch.zeros_like(values), torch.zeros_like(values)
        self._steps = values.new_zeros(len(values), *(1 for _ in values.shape[1:]))

    @torch.no_grad()
    def step(self, gradient: Tensor, rows: Tensor | None = None, scale: float = 1.0) -> None:
        """Move some rows, all by default, against a gradient [N, ...]; `scale` multiplies the rate."""
        chosen = slice(None) if rows is None else rows
        gradient = gradient[chosen]
        steps = self._steps[chosen] + 1
        mean = self._mean[chosen].lerp(gradient, 1 - _BETAS[0])
        square = self._square[chosen].lerp(gradient.square(), 1 - _BETAS[1])
        self._steps[chosen], self._mean[chosen], self._square[chosen] = steps, mean, square
        deviation = (square / (1 - _BETAS[1] ** steps)).sqrt() + _EPS
        self.values[chosen] -= scale * self.rate * (mean / (1 - _BETAS[0] ** steps)) / deviation
