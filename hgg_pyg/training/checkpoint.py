"""The state of a run after some steps: written with its digest, read to the bit, refused where it does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hgg_pyg.io.states import load_state, save_state
from hgg_pyg.io.tensors import misfit
from hgg_pyg.types import UserError

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(frozen=True)
class StepRecord:
    """What is known of one optimiser step."""

    step: int
    loss: float
    psnr: float  # of the training images, dB
    lr: float
    val_psnr: float | None  # of the validation subject, dB, where it was looked at


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` optimiser steps, enough to go on as if nothing had happened."""

    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    history: tuple[StepRecord, ...]
    settings: dict[str, Any]  # the run's, as `settings_of` says them
    processes: int = 1  # that worked together; others would take other items

    def save(self, folder: Path) -> None:
        """Write into a run's folder: a reader finds the old checkpoint or this one, whole.

        Raises:
            UserError: a weight is not finite, or the file cannot be written; the old checkpoint stays.
        """
        path = folder / CHECKPOINT_FILE
        if name := _not_finite(self.model):
            raise UserError(f"{path}: {name}: expected finite weights to save, found NaN or infinity")
        state = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        state["history"] = [dataclasses.astuple(record) for record in self.history]
        save_state(path, state)

    @staticmethod
    def load(folder: Path) -> Checkpoint:
        """Read a run's checkpoint; nothing in it is executed.

        Raises:
            UserError: missing, damaged, or with a history of another length.
        """
        path = folder / CHECKPOINT_FILE
        state = load_state(path)
        try:
            state["history"] = tuple(StepRecord(*record) for record in state["history"])
            checkpoint = Checkpoint(**state)
            for name in ("model", "optimizer", "scheduler", "settings"):
                if not isinstance(state[name], dict):
                    raise TypeError(f"{name}: expected values by name, found {type(state[name]).__name__}")
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: expected a checkpoint of this program ({error})") from None
        steps = [record.step for record in checkpoint.history]
        if steps != list(range(1, len(steps) + 1)) or checkpoint.step != len(steps):
            found = f"step {checkpoint.step} after a history of {len(steps)} steps"
            raise UserError(f"{path}: expected every step up to the last in its history, found {found}")
        return checkpoint

    def check_fits(self, path: Path, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> None:
        """Refuse a state of another network or optimiser, or weights that are not finite.

        Raises:
            UserError: the file, what of it does not fit, what was expected and what was found.
        """
        try:
            wrong = misfit(model.state_dict(), self.model) or _optimizer_misfit(self, optimizer, scheduler)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            wrong = f"expected states of a model, an optimiser and a scheduler ({type(error).__name__}: {error})"
        if not wrong and (name := _not_finite(self.model)):
            wrong = f"{name}: expected finite weights, found NaN or infinity"
        if wrong:
            raise UserError(f"{path}: {wrong}: the checkpoint is not of this run")


def _not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """The name of the first weight with a NaN or an infinity."""
    for name, weight in weights.items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            return name
    return None


def _optimizer_misfit(checkpoint: Checkpoint, optimizer: Optimizer, scheduler: LRScheduler) -> str | None:
    """What of an optimiser's or scheduler's state is not of this one."""
    groups, own = checkpoint.optimizer["param_groups"], optimizer.state_dict()["param_groups"]
    if [(len(group["params"]), sorted(group)) for group in groups] != [(len(g["params"]), sorted(g)) for g in own]:
        counts = [sum(len(group["params"]) for group in kind) for kind in (own, groups)]
        return f"optimizer: expected a state of {counts[0]} weights, found {counts[1]}, or other options"
    weights = {
        key: weight
        for group, mine in zip(groups, optimizer.param_groups, strict=True)
        for key, weight in zip(group["params"], mine["params"], strict=True)
    }
    state = checkpoint.optimizer["state"]
    if unknown := state.keys() - weights.keys():
        return f"optimizer: expected weights among {len(weights)}, found number {min(unknown)}"
    if checkpoint.step and not state:
        return f"optimizer: expected the averages of {checkpoint.step} steps, found none"
    for key, averages in state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            form, found = tuple(weights[key].shape), averages[name]
            if tuple(found.shape) != form or not torch.isfinite(found).all():
                return f"optimizer: {name} of weight {key}: expected finite numbers {form}, found {tuple(found.shape)}"
    wanted, found = scheduler.state_dict(), checkpoint.scheduler
    if found.keys() != wanted.keys() or found.get("total_steps") != wanted.get("total_steps"):
        steps = wanted.get("total_steps", "other")
        return f"scheduler: expected a schedule of {steps} steps, found {found.get('total_steps')}"
    if found["last_epoch"] != checkpoint.step:
        return f"scheduler: expected it after step {checkpoint.step}, found {found['last_epoch']}"
    return None
