"""The training loop: one item per process and turn, gradients added up, state saved so that it can go on exactly."""

from __future__ import annotations

import logging
import math
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from tqdm import tqdm

from hgg_pyg.config import settings_of
from hgg_pyg.training.checkpoint import CHECKPOINT_FILE, Checkpoint, StepRecord
from hgg_pyg.training.curves import CURVES_FILE, save_curves
from hgg_pyg.training.run import RunConfig
from hgg_pyg.training.scalars import Scalars
from hgg_pyg.types import NotFiniteError, UserError

Item = TypeVar("Item")
log = logging.getLogger("hgg_pyg")


class TrainingLoop(ABC, Generic[Item]):
    """AdamW under a one-cycle learning rate; what is trained, and on what, a subclass says.

    Every random draw is seeded by the optimiser step and the item's number in it, so a run that goes on from a
    checkpoint takes the same items as one that was never stopped, and N processes take those of one process with N
    times the accumulation.

    A step whose loss or gradient is not finite ends the run before it changes the weights, even if it was a single
    item: inputs were checked when they were read, so that it is the weights or the arithmetic that went wrong, and to
    leave items out would hide it. A checkpoint that is due is written once the next step has found its weights good, so
    that it is never of a state that had already diverged; only the last step, and one after which the run was asked to
    stop, are written at once. Weights that are not finite are never written.
    `--resume` takes the same items again and ends at the same step, unless another machine's arithmetic avoids it.

    Args:
        config: the run.
        accelerator: devices, processes and precision.
        model: what is trained.
        unit: the progress bar's name for an item.
    """

    def __init__(self, config: RunConfig, accelerator: Accelerator, model: nn.Module, unit: str) -> None:
        self.run_config, self.accelerator, self.unit = config, accelerator, unit
        optimizer = self.make_optimizer(model)
        self.scheduler = self.make_scheduler(optimizer)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.history: list[StepRecord] = []
        self.settings = settings_of(config)
        self.stop_requested = False  # of this process
        self.stopping = False  # as all of them have agreed
        self.save_due = False
        self.saved_step: int | None = None  # of the checkpoint in the run's folder

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """AdamW on all weights."""
        config = self.run_config
        return torch.optim.AdamW(
            model.parameters(), config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
        )

    def make_scheduler(self, optimizer: Optimizer) -> LRScheduler:
        """A one-cycle learning rate."""
        total = self.run_config.steps + 1
        # A rise over less than a step would divide by zero.
        rise = max(0.1, 2 / total)
        return OneCycleLR(optimizer, self.run_config.lr, total_steps=total, pct_start=rise)

    @abstractmethod
    def load(self, rng: np.random.Generator) -> Item:
        """Draw an item and read it from disk; called on a thread of its own, one item ahead."""

    @abstractmethod
    def loss(self, item: Item) -> tuple[Tensor, Tensor]:
        """The loss of an item and the PSNR of its images."""

    @abstractmethod
    def validate(self) -> float | None:
        """PSNR of a validation subject, dB; None where there is none, or on another process than the main one."""

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint.

        Raises:
            UserError: it is of another network, optimiser or schedule, or holds weights that are not finite.
        """
        checkpoint.check_fits(
            self.run_config.folder / CHECKPOINT_FILE,
            self.accelerator.unwrap_model(self.model),
            self.optimizer,
            self.scheduler,
        )
        self.accelerator.unwrap_model(self.model).load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        self.history, self.settings = list(checkpoint.history), checkpoint.settings
        self.saved_step = checkpoint.step

    def run_from(self, checkpoint: Checkpoint | None) -> None:
        """Train from a checkpoint on, or from the start, to the end; stopped before it, processes exit with 130."""
        if checkpoint is not None:
            self.restore(checkpoint)
            if self.accelerator.is_main_process:
                if self.history:  # now, if it cannot be written, not after hours
                    save_curves(self.run_config.folder / CURVES_FILE, self.history)
                log.info("going on from step %d of %d", checkpoint.step, self.run_config.steps)
        if not self.run():
            sys.exit(130)

    def run(self) -> bool:
        """Train up to the configured step, saving checkpoints and curves.

        Returns:
            whether it got there; False after Ctrl-C or SIGTERM, once the state is saved.

        Raises:
            UserError: a loss or a gradient is not finite, or the run's folder cannot be written.
        """
        config, main = self.run_config, self.accelerator.is_main_process
        done = len(self.history)
        board = Scalars(config.folder / "tensorboard", done) if main else None
        bar = tqdm(
            total=config.steps * config.accumulation,
            initial=done * config.accumulation,
            desc="training",
            unit=self.unit,
            disable=not main,
            smoothing=0.05,
        )
        # A thread's first matrix product may take another number of threads than torch's, unless it has asked for that.
        loading = ThreadPoolExecutor(1, initializer=torch.get_num_threads)
        with self._signals(), bar, loading as loader:
            items = self._load_ahead(done, loader)
            for step in range(done, config.steps):
                record = self.train_step(step, items, bar)
                if record is None:
                    self.stopping = True
                    break
                self.history.append(record)
                if board is not None:
                    board.add(record)
                last = step + 1 == config.steps
                if last:
                    self.save()
                self.save_due = not last and (step + 1) % config.checkpoint_every == 0
                if self.stopping:
                    break
            finished = len(self.history) == config.steps
            if self.stopping and not finished:
                self.save()
                if main:
                    bar.close()  # the line is not to go on that of the bar
                    log.info("stopped at step %d and saved; --resume goes on", len(self.history))
            # A launcher ends all processes when it sees one end: not before the main one has saved.
            self.accelerator.wait_for_everyone()
        return finished

    def train_step(self, step: int, items: Iterator[Item], bar: tqdm) -> StepRecord | None:
        """One optimiser step over `accumulation` items per process; None if asked to stop before it was complete.

        Parameters change only at its end, so stopping within it leaves the state of the step before. Several processes
        stop together: at the end of the step in which one of them was asked to.

        Raises:
            UserError: the loss or its gradient is not finite; on all processes alike.
        """
        config, alone = self.run_config, self.accelerator.num_processes == 1
        losses, qualities, loss_mean, quality_mean, found = [], [], 0.0, 0.0, None
        self.model.train()
        for turn in range(config.accumulation):
            if self.stop_requested and alone:
                return None
            torch.manual_seed(int(self._seeds(step, turn).generate_state(1)[0]))  # of dropout
            with self.accelerator.accumulate(self.model):
                try:
                    loss, quality = self.loss(next(items))
                except NotFiniteError as error:
                    found = str(error)
                    loss = quality = self._no_loss()
                self.accelerator.backward(loss)
                losses.append(loss.detach())
                qualities.append(quality)
                if self.accelerator.sync_gradients:
                    norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
                    asked = loss.new_tensor(float(self.stop_requested and not alone))
                    seen = (torch.stack(losses).mean(), torch.stack(qualities).mean(), torch.as_tensor(norm), asked)
                    means = self.accelerator.reduce(torch.stack(seen), "mean")  # the same for all: they stop together
                    loss_mean, quality_mean, norm, asked = means.tolist()  # pyright: ignore[reportAttributeAccessIssue]
                    self.stopping = asked > 0
                    if not (math.isfinite(loss_mean) and math.isfinite(norm)):
                        raise self._diverged(step, found or f"a loss of {loss_mean:g}, a gradient of norm {norm:g}")
                    if self.save_due:
                        self.save()
                self.optimizer.step()
                self.optimizer.zero_grad()
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.4f}", psnr=f"{quality.item():.2f}", refresh=False)
        rate = float(self.scheduler.get_last_lr()[0])
        self.scheduler.step()
        look = (step + 1) % config.validate_every == 0 or step + 1 == config.steps
        try:
            return StepRecord(step + 1, loss_mean, quality_mean, rate, self.validate() if look else None)
        except NotFiniteError as error:
            raise self._diverged(step, str(error)) from None

    def _no_loss(self) -> Tensor:
        """NaN as the loss of an item that cannot be drawn, with a gradient: all processes wait for everyone's."""
        model: nn.Module = self.accelerator.unwrap_model(self.model)
        return torch.stack([p.sum() * math.nan for p in model.parameters() if p.requires_grad]).sum()

    def _diverged(self, step: int, found: str) -> UserError:
        """What to say of a run that ends because of a step (the first is 0)."""
        config = self.run_config
        kept = "nothing was saved yet" if self.saved_step is None else f"{CHECKPOINT_FILE} holds step {self.saved_step}"
        others = " or --precision no" if config.precision != "no" else ""
        return UserError(
            f"{config.folder}: step {step + 1}: expected a finite loss and gradient, found {found}; training has "
            f"diverged and stops ({kept}): try an --lr below {config.lr:g}{others}, under another --name"
        )

    def save(self) -> None:
        """Write the checkpoint, then the curves; the main process does, the others know of it.

        Raises:
            UserError: a weight is not finite, or a file cannot be written.
        """
        self.save_due, self.saved_step = False, len(self.history)
        if not self.accelerator.is_main_process:
            return
        folder = self.run_config.folder
        if not folder.is_dir():  # it would be made anew, without what belongs to the checkpoint
            raise UserError(f"{folder}: expected the run's folder, found nothing: it was removed during the run")
        Checkpoint(
            step=len(self.history),
            model=self.accelerator.unwrap_model(self.model).state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            history=tuple(self.history),
            settings=self.settings,
            processes=self.accelerator.num_processes,
        ).save(folder)
        if self.history:
            save_curves(folder / CURVES_FILE, self.history)

    def _seeds(self, step: int, turn: int) -> np.random.SeedSequence:
        item = turn * self.accelerator.num_processes + self.accelerator.process_index
        return np.random.SeedSequence([self.run_config.seed, step, item, 0])

    def _load_ahead(self, first_step: int, loader: ThreadPoolExecutor) -> Iterator[Item]:
        """Items in order, the next one loaded while one is trained on."""
        steps = range(first_step, self.run_config.steps)
        turns = [(step, turn) for step in steps for turn in range(self.run_config.accumulation)]
        coming = loader.submit(self._load_turn, *turns[0]) if turns else None
        for following in [*turns[1:], None]:
            assert coming is not None
            item = coming.result()
            coming = loader.submit(self._load_turn, *following) if following else None
            yield item

    def _load_turn(self, step: int, turn: int) -> Item:
        return self.load(np.random.default_rng(self._seeds(step, turn)))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM finish the item at hand, then save; a second one stops at once.

        Of several processes, each of which gets what its launcher gets and again what that passes on, the second one
        changes nothing.
        """

        def request_stop(number: int, frame: object) -> None:
            self.stop_requested = True
            if self.accelerator.num_processes == 1:
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

        before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
