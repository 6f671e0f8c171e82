"""The fit: Adam on Gaussians, poses and shape, from where the forward pass ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.refine.adam import RowAdam
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.figure import Figure
from hgg_pyg.refine.observations import Observations, check_poses, observe
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose

_CHECKS = 10  # of what is held back, evenly over the seconds or steps
_HELD_BACK = 0.125  # of all images


@dataclass(frozen=True)
class Record:
    """A check of a fit under way."""

    seconds: float
    steps: int
    loss: float  # mean over the steps since the last check, per pixel of the person
    held_back: float  # PSNR of the images that were held back, dB


@dataclass(frozen=True)
class Refined:
    """What a fit ends with."""

    avatar: BoundAvatar  # betas mended
    poses: BodyPose  # of the T frames, with the avatar's betas
    steps: int
    seconds: float
    stopped: str  # why, for people
    history: tuple[Record, ...]


def refine(
    avatar: BoundAvatar,
    source: FrameSource,
    frames: Sequence[int],
    config: RefineConfig,
    progress: bool = False,
    poses: BodyPose | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Refined:
    """Fit an avatar, and poses of some frames, to the images of the input cameras in these frames.

    Of several images one in eight is held back, and the state with the best PSNR there, the start included, is
    returned: a view of each of some frames, or where there is one camera whole frames. With one camera and one frame
    nothing can be held back, and the last state is returned if its loss is below the start's.

    Args:
        avatar: to begin with; the fit is on its device.
        source: the capture, and which of its cameras are looked through.
        frames: T frames by position.
        config: what is fitted and for how long.
        progress: show a bar.
        poses: of these frames, to begin with; the capture's by default.
        clock: tells seconds; `time.process_time` where others use the machine too.

    Raises:
        UserError: a file is broken, a pose is not finite, or the masks of a frame show nobody.
    """
    begin = clock()
    device = avatar.gaussians.means.device
    body = source.body if source.body.weights.device == device else deepcopy(source.body).to(device)
    poses = source.capture.poses[list(frames)] if poses is None else poses
    check_poses(source, frames, poses)
    seen = observe(source, frames, source.cameras, device)
    figure = Figure(avatar, body, poses.to(device))
    return Fit(figure, seen, config, begin, clock).run(progress)


class Fit:
    """One fit under way."""

    def __init__(
        self,
        figure: Figure,
        seen: Observations,
        config: RefineConfig,
        begin: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.figure, self.seen, self.config, self.begin, self.clock = figure, seen, config, begin, clock
        self._rng = np.random.default_rng(config.seed)
        self._held, self._used = hold_back(*seen.rgb.shape[:2])
        self._order: list[tuple[int, int]] = []
        self._gaussians = RowAdam(figure.residuals, config.gaussian_rate)
        self._turns = RowAdam(figure.degrees, config.degrees_rate)
        self._places = RowAdam(figure.metres, config.metres_rate)
        self._shape = RowAdam(figure.shape, config.shape_rate)

    def run(self, progress: bool) -> Refined:
        """Step until the time is over."""
        config, figure, steps = self.config, self.figure, 0
        start = best = self._check()
        kept = tuple(value.clone() for value in figure.tensors())
        history, losses, due = [Record(self._elapsed(), 0, float("nan"), start)], [], 1
        bar = tqdm(total=100, desc="refining", unit="%", disable=not progress)
        stopped = "nothing to do"
        while True:
            done = self._share(steps)
            bar.update(int(100 * min(done, 1)) - bar.n)
            if steps and (done >= due / _CHECKS or done >= 1):
                due = int(done * _CHECKS) + 1
                held_back = self._check()
                history.append(Record(self._elapsed(), steps, float(np.mean(losses)), held_back))
                losses = []
                if held_back > best:
                    best, kept = held_back, tuple(value.clone() for value in figure.tensors())
            if done >= 1:
                stopped = "out of steps" if config.steps is not None and steps >= config.steps else "out of time"
                break
            losses.append(self._step(done))
            steps += 1
        bar.close()
        figure.load(kept)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            avatar, poses = figure.now(), figure.poses_now()
        return Refined(avatar, poses, steps, self._elapsed(), stopped, tuple(history))

    def _elapsed(self) -> float:
        return self.clock() - self.begin

    def _share(self, steps: int) -> float:
        """How much of the time or of the steps has been used."""
        config = self.config
        by_time = 0.0 if config.seconds is None else self._elapsed() / config.seconds
        return max(by_time, 0.0 if config.steps is None else steps / config.steps)

    def _draw(self) -> list[tuple[int, int]]:
        """The next images, of different frames as far as there are: one after the other of a shuffled deck."""
        chosen: list[tuple[int, int]] = []
        while len(chosen) < min(self.config.images, len(self._used)):
            if not self._order:
                self._order = [self._used[i] for i in self._rng.permutation(len(self._used))]
            taken = {frame for frame, _ in chosen}
            fresh = next((pair for pair in self._order if pair[0] not in taken), self._order[0])
            self._order.remove(fresh)
            chosen.append(fresh)
        return chosen

    def _step(self, done: float) -> float:
        figure, config = self.figure, self.config
        chosen = self._draw()
        wanted = (config.gaussians, config.poses, config.poses, config.shape)
        tensors = figure.tensors()
        for tensor, on in zip(tensors, wanted, strict=True):
            tensor.requires_grad_(on)
        loss = self._error(chosen) + self._prior(sorted({row for row, _ in chosen}))
        asked = [tensor for tensor in tensors if tensor.requires_grad]
        gradients = iter(torch.autograd.grad(loss, asked))
        for tensor in tensors:
            tensor.requires_grad_(False)
        rows = torch.tensor(sorted({row for row, _ in chosen}), device=figure.metres.device)
        scale = 1.0 if done < 0.7 else max(0.1, 1 - (done - 0.7) / 0.3)
        for adam, on, some in (
            (self._gaussians, wanted[0], None),
            (self._turns, wanted[1], rows),
            (self._places, wanted[2], rows),
            (self._shape, wanted[3], None),
        ):
            if on:
                adam.step(next(gradients), some, scale)
        return float(loss.detach())

    def _error(self, chosen: Sequence[tuple[int, int]]) -> Tensor:
        """Squared error of colour and mask per pixel of the person. []"""
        rendered, rgb, alpha = self._render(chosen)
        error = (rendered.rgb - rgb).square().sum() / 3 + (rendered.alpha - alpha).square().sum()
        return error / (len(chosen) * self.seen.person)

    def _render(self, chosen: Sequence[tuple[int, int]]):
        frames, views = (list(part) for part in zip(*chosen, strict=True))
        rows = sorted(set(frames))
        posed = self.figure.posed(rows)
        posed = posed[[rows.index(frame) for frame in frames]] if rows != frames else posed
        cameras = self.seen.cameras
        picked = type(cameras)(
            cameras.viewmats[frames, views][:, None], cameras.Ks[frames, views][:, None], cameras.width, cameras.height
        )
        out = render(posed, picked)
        return out, self.seen.rgb[frames, views][:, None], self.seen.alpha[frames, views][:, None]

    def _prior(self, rows: list[int]) -> Tensor:
        """How improbable what was added to poses and shape is. []"""
        figure, config = self.figure, self.config
        off = (figure.degrees[rows] / config.degrees_sigma).square().sum() / len(rows)
        off = off + (figure.metres[rows] / config.metres_sigma).square().sum() / len(rows)
        return config.pose_prior * (off + (figure.shape / config.shape_sigma).square().sum())

    @torch.no_grad()
    def _check(self) -> float:
        """PSNR of what is held back, of all images where nothing is; dB."""
        errors = []
        for pair in self._held or self._used:
            rendered, rgb, _ = self._render([pair])
            errors.append((rendered.rgb.clamp(0, 1) - rgb).square().mean().clamp_min(1e-10))
        return float((-10 * torch.stack(errors).log10()).mean())


def hold_back(frames: int, views: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Which images of T frames by V cameras are held back, and which are fitted to, as pairs of positions.

    With several cameras, other views of evenly spread frames, so that every frame keeps one; with one, whole frames.
    One image is fitted to.
    """
    every = [(frame, view) for frame in range(frames) for view in range(views)]
    count = max(1, round(_HELD_BACK * len(every)))
    if views > 1:
        count = min(count, frames)
        rows = np.linspace(0, frames - 1, count).round().astype(int).tolist()
        held = [(row, (1 + i) % views) for i, row in enumerate(rows)]
    elif frames > 1:
        rows = np.linspace(0, frames - 1, min(count, frames - 1) + 2).round().astype(int)[1:-1].tolist()
        held = [(row, 0) for row in dict.fromkeys(rows)]
    else:
        held = []
    return held, [pair for pair in every if pair not in held]
