"""The training loop: one clip a process and turn, gradients added up, state saved so that it can go on exactly."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch_geometric.data import HeteroData
from tqdm import tqdm

from hgg_pyg.body import BodyModel
from hgg_pyg.data.clips import load_clip, load_target, sample_clip
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.evaluation import evaluate, input_range
from hgg_pyg.losses import rendering_loss
from hgg_pyg.lpips import LPIPS
from hgg_pyg.metrics import psnr
from hgg_pyg.model import Avatar, HumanGaussianGraph
from hgg_pyg.pictures import save_curves
from hgg_pyg.render import render
from hgg_pyg.run import Checkpoint, StepRecord, TrainConfig
from hgg_pyg.types import BodyPose, Cameras

_VALIDATION_VIEWS = 12


@dataclass(frozen=True)
class LoadedClip:
    """A clip in memory."""

    graph: HeteroData
    targets: list[tuple[BodyPose, Cameras, Tensor, Tensor]]  # pose of one frame, V cameras, rgb, alpha


class Trainer:
    """Trains a model on the captures of `train`, looking at one subject of `val` now and then.

    Every random draw is seeded by the optimiser step, the turn and the process, so a run that goes on from a
    checkpoint takes the same clips as one that was never stopped.

    Args:
        config: the run.
        accelerator: devices, processes and precision.
        train: training captures.
        val: validation captures; the first is looked at.
        limit_frames: train only on frames that may be input, because test subjects are among the captures.
        lpips: the perceptual term of the loss, or None to go without.
    """

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        train: Sequence[FrameSource],
        val: Sequence[FrameSource],
        limit_frames: bool = False,
        lpips: LPIPS | None = None,
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.train_sources, self.val_sources = train, val
        self.limit_frames = limit_frames
        self.body: BodyModel = deepcopy(train[0].body).to(accelerator.device)
        self.lpips = None if lpips is None else lpips.to(accelerator.device)
        torch.manual_seed(config.seed)
        settings = replace(config.model, feature_dim=train[0].backbone.feature_dim, num_vertices=self.body.num_vertices)
        model = HumanGaussianGraph(settings)
        optimizer = torch.optim.AdamW(
            model.parameters(), config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay
        )
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.lr, total_steps=config.steps + 1, pct_start=0.1
        )
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.history: list[StepRecord] = []
        self.stop_requested = False

    @property
    def network(self) -> HumanGaussianGraph:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint."""
        self.network.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        self.history = list(checkpoint.history)

    def run(self) -> bool:
        """Train up to the configured step, saving checkpoints and curves.

        Returns:
            whether it got there; False after Ctrl-C or SIGTERM, once the state is saved.
        """
        config, main = self.config, self.accelerator.is_main_process
        done = len(self.history)
        board = SummaryWriter(config.folder / "tensorboard", purge_step=done) if main else None
        bar = tqdm(
            total=config.steps * config.accumulation,
            initial=done * config.accumulation,
            desc="training",
            unit="clip",
            disable=not main,
            smoothing=0.05,
        )
        with self._signals(), bar, ThreadPoolExecutor(1) as loader:
            clips = self._load_ahead(done, loader)
            for step in range(done, config.steps):
                record = self.train_step(step, clips, bar)
                if record is None:
                    break
                self.history.append(record)
                if board is not None:
                    _write_scalars(board, record)
                last = step + 1 == config.steps
                if main and (last or (step + 1) % config.checkpoint_every == 0):
                    self.save()
        if board is not None:
            board.close()
        if self.stop_requested and main:
            self.save()
        return len(self.history) == config.steps

    def train_step(self, step: int, clips: Iterator[LoadedClip], bar: tqdm) -> StepRecord | None:
        """One optimiser step over `accumulation` clips a process; None if asked to stop before it was complete.

        Parameters change only at its end, so stopping within it leaves the state of the step before.
        """
        config = self.config
        losses, qualities = [], []
        self.model.train()
        for turn in range(config.accumulation):
            if self.stop_requested:
                return None
            torch.manual_seed(int(self._seeds(step, turn).generate_state(1)[0]))  # of dropout
            with self.accelerator.accumulate(self.model):
                loss, quality = self.clip_loss(next(clips))
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
        means = torch.stack([torch.stack(losses).mean(), torch.stack(qualities).mean()])
        loss, quality = self.accelerator.reduce(means, "mean").tolist()  # pyright: ignore[reportAttributeAccessIssue]
        look = (step + 1) % config.validate_every == 0 or step + 1 == config.steps
        return StepRecord(step + 1, loss, quality, rate, self.validate() if look else None)

    def clip_loss(self, clip: LoadedClip) -> tuple[Tensor, Tensor]:
        """The loss of one clip and the PSNR of its images, means over its targets."""
        device = self.accelerator.device
        graph = clip.graph.to(str(device))
        avatar = Avatar(self.model(graph), graph["avatar"].binding, graph.betas)
        losses, qualities = [], []
        for pose, cameras, rgb, alpha in clip.targets:
            rgb, alpha = rgb.to(device), alpha.to(device)
            drawn = render(avatar.repose(self.body, pose.to(device))[0], cameras.to(device))
            losses.append(rendering_loss(drawn, rgb, alpha, self.config.loss, self.lpips))
            qualities.append(psnr(drawn.rgb.detach(), rgb).mean())
        return torch.stack(losses).mean(), torch.stack(qualities).mean()

    def validate(self) -> float | None:
        """Novel-pose PSNR of a validation subject, dB; None where there is none, or on another process."""
        if not self.val_sources or not self.accelerator.is_main_process:
            return None
        report = evaluate(
            self.network, self.val_sources[:1], self.config.graph, self.config.clip.frames, limit=_VALIDATION_VIEWS
        )
        return report.mean("novel pose", "ours", "psnr")

    def save(self) -> None:
        """Write the checkpoint, then the curves."""
        folder: Path = self.config.folder
        Checkpoint(
            step=len(self.history),
            model=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            history=tuple(self.history),
        ).save(folder)
        if self.history:
            save_curves(folder / "curves.png", self.history)

    def _seeds(self, step: int, turn: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.config.seed, step, turn, self.accelerator.process_index])

    def _load_ahead(self, first_step: int, loader: ThreadPoolExecutor) -> Iterator[LoadedClip]:
        """Clips in order, the next one loaded while one is trained on."""
        steps = range(first_step, self.config.steps)
        turns = [(step, turn) for step in steps for turn in range(self.config.accumulation)]
        coming = loader.submit(self._load_clip, *turns[0]) if turns else None
        for following in [*turns[1:], None]:
            assert coming is not None
            clip = coming.result()
            coming = loader.submit(self._load_clip, *following) if following else None
            yield clip

    def _load_clip(self, step: int, turn: int) -> LoadedClip:
        """The clip of a turn, drawn by its own seed and read from disk."""
        rng = np.random.default_rng(self._seeds(step, turn))
        source = self.train_sources[int(rng.integers(len(self.train_sources)))]
        capture = source.capture
        frames = input_range(capture) if self.limit_frames else len(capture.frames)
        plan = sample_clip(frames, len(capture.cameras), source.cameras, self.config.clip, rng)
        targets = [(capture.poses[[target.frame]], *load_target(capture, target)) for target in plan.targets]
        return LoadedClip(load_clip(source, plan.frames, self.config.graph, plan.chosen), targets)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM finish the clip at hand, then save; a second Ctrl-C stops at once."""

        def request_stop(number: int, frame: object) -> None:
            self.stop_requested = True
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
        board.add_scalar("val/novel_pose_psnr", record.val_psnr, record.step)
