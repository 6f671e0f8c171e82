"""The training loop: one item per process and turn, gradients added up, state saved so that it can go on exactly."""

from __future__ import annotations

import logging
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
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from hgg_pyg.training.curves import save_curves
from hgg_pyg.training.run import Checkpoint, RunConfig, StepRecord

Item = TypeVar("Item")
log = logging.getLogger("hgg_pyg")


class TrainingLoop(ABC, Generic[Item]):
    """AdamW under a one-cycle learning rate; what is trained, and on what, a subclass says.

    Every random draw is seeded by the optimiser step and the item's number in it, so a run that goes on from a
    checkpoint takes the same items as one that was never stopped, and N processes take those of one process with N
    times the accumulation.

    Args:
        config: the run.
        accelerator: devices, processes and precision.
        model: what is trained.
        unit: the progress bar's name for an item.
    """

    def __init__(self, config: RunConfig, accelerator: Accelerator, model: nn.Module, unit: str) -> None:
        self.run_config, self.accelerator, self.unit = config, accelerator, unit
        optimizer = torch.optim.AdamW(
            model.parameters(), config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
        )
        total = config.steps + 1
        # A rise over less than a step would divide by zero.
        rise = max(0.1, 2 / total)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=total, pct_start=rise)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.history: list[StepRecord] = []
        self.stop_requested = False  # of this process
        self.stopping = False  # as all of them have agreed

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
        """Take over the state of a checkpoint."""
        self.accelerator.unwrap_model(self.model).load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        self.history = list(checkpoint.history)

    def run_from(self, checkpoint: Checkpoint | None) -> None:
        """Train from a checkpoint on, or from the start, to the end; stopped before it, processes exit with 130."""
        if checkpoint is not None:
            self.restore(checkpoint)
            if self.accelerator.is_main_process:
                log.info("going on from step %d of %d", checkpoint.step, self.run_config.steps)
        if not self.run():
            sys.exit(130)

    def run(self) -> bool:
        """Train up to the configured step, saving checkpoints and curves.

        Returns:
            whether it got there; False after Ctrl-C or SIGTERM, once the state is saved.
        """
        config, main = self.run_config, self.accelerator.is_main_process
        done = len(self.history)
        board = SummaryWriter(config.folder / "tensorboard", purge_step=done) if main else None
        bar = tqdm(
            total=config.steps * config.accumulation,
            initial=done * config.accumulation,
            desc="training",
            unit=self.unit,
            disable=not main,
            smoothing=0.05,
        )
        # A thread's first matrix product may take another number of threads than torch's, unless it has asked for that.
        with self._signals(), bar, ThreadPoolExecutor(1, initializer=torch.get_num_threads) as loader:
            items = self._load_ahead(done, loader)
            for step in range(done, config.steps):
                record = self.train_step(step, items, bar)
                if record is None:
                    self.stopping = True
                    break
                self.history.append(record)
                if board is not None:
                    _write_scalars(board, record)
                last = step + 1 == config.steps
                if main and (last or (step + 1) % config.checkpoint_every == 0):
                    self.save()
                if self.stopping:
                    break
            finished = len(self.history) == config.steps
            if self.stopping and main:
                self.save()
                if not finished:
                    bar.close()  # the line is not to go on that of the bar
                    log.info("stopped at step %d and saved; --resume goes on", len(self.history))
            # A launcher ends all processes when it sees one end: not before the main one has saved.
            self.accelerator.wait_for_everyone()
        if board is not None:
            board.close()
        return finished

    def train_step(self, step: int, items: Iterator[Item], bar: tqdm) -> StepRecord | None:
        """One optimiser step over `accumulation` items per process; None if asked to stop before it was complete.

        Parameters change only at its end, so stopping within it leaves the state of the step before. Several processes
        stop together: at the end of the step in which one of them was asked to.
        """
        config, alone = self.run_config, self.accelerator.num_processes == 1
        losses, qualities = [], []
        self.model.train()
        for turn in range(config.accumulation):
            if self.stop_requested and alone:
                return None
            torch.manual_seed(int(self._seeds(step, turn).generate_state(1)[0]))  # of dropout
            with self.accelerator.accumulate(self.model):
                loss, quality = self.loss(next(items))
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(loss.detach())
            qualities.append(quality)
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.4f}", psnr=f"{quality.item():.2f}", refresh=False)
        rate = float(self.scheduler.get_last_lr()[0])
        self.scheduler.step()
        asked = losses[0].new_tensor(float(self.stop_requested and not alone))
        means = torch.stack([torch.stack(losses).mean(), torch.stack(qualities).mean(), asked])
        loss, quality, asked = self.accelerator.reduce(means, "mean").tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self.stopping = asked > 0
        look = (step + 1) % config.validate_every == 0 or step + 1 == config.steps
        return StepRecord(step + 1, loss, quality, rate, self.validate() if look else None)

    def save(self) -> None:
        """Write the checkpoint, then the curves."""
        folder = self.run_config.folder
        Checkpoint(
            step=len(self.history),
            model=self.accelerator.unwrap_model(self.model).state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            history=tuple(self.history),
            processes=self.accelerator.num_processes,
        ).save(folder)
        if self.history:
            save_curves(folder / "curves.png", self.history)

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


def _write_scalars(board: SummaryWriter, record: StepRecord) -> None:
    board.add_scalar("train/loss", record.loss, record.step)
    board.add_scalar("train/psnr", record.psnr, record.step)
    board.add_scalar("train/lr", record.lr, record.step)
    if record.val_psnr is not None:
        board.add_scalar("val/psnr", record.val_psnr, record.step)
