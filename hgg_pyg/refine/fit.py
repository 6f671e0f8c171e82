"""The fit: Adam on Gaussians, poses and shape, from where the forward pass ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
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
from hgg_pyg.refine.likeness import Colours, Likeness
from hgg_pyg.refine.observations import Observations, check_poses, observe
from hgg_pyg.refine.priors import Priors
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, NotFiniteError, RenderOutput

_CHECKS = 10  # of what is held back, evenly over the seconds or steps
_HELD_BACK = 0.125  # of all images
_SLOWING = 0.7  # of the seconds or steps, from which on steps become smaller
_SMALLEST = 0.1  # of a step, at the end

Clock = Callable[[], float]
Pair = tuple[int, int]  # frame and view, by position among those of the fit


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
    rig: Tensor  # [V, 6] how cameras turned, degrees, and moved, metres; none where cameras were not fitted
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
    clock: Clock = time.perf_counter,
) -> Refined:
    """Fit an avatar, and poses of some frames, to the images of the input cameras in these frames.

    Of several images one in eight is held back, and the state with the best PSNR there, the start included, is
    returned: a view of each of some frames, or where there is one camera whole frames. With one camera and one frame
    nothing can be held back, and the state with the best PSNR of that image is returned.

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
    poses = source.capture.poses[list(frames)] if poses is None else poses
    check_poses(source, frames, poses)
    seen = observe(source, frames, source.cameras, device)
    figure = Figure(avatar, source.body.on(device), poses.to(device))
    return Fit(figure, seen, config, Colours(), begin, clock).run(progress)


class Fit:
    """One fit under way.

    Args:
        figure: what is changed.
        seen: what it is compared with.
        config: what of it is fitted, and for how long.
        likeness: how it is compared.
        begin: the clock's time from which seconds count.
        clock: tells seconds.
    """

    def __init__(
        self,
        figure: Figure,
        seen: Observations,
        config: RefineConfig,
        likeness: Likeness,
        begin: float,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.figure, self.seen, self.config, self.likeness, self.begin = figure, seen, config, likeness, begin
        self._rng = np.random.default_rng(config.seed)
        self._held, self._used = hold_back(*seen.rgb.shape[:2])
        self._deck: list[Pair] = []
        self._sigma = _columns(figure.moved, config.degrees_sigma, config.metres_sigma)
        self._camera_sigma = _columns(figure.rig, config.camera_degrees_sigma, config.camera_metres_sigma)
        self._priors = Priors(figure, seen.numbers, self._sigma, config)
        pose_rates = _columns(figure.moved, config.degrees_rate, config.metres_rate)
        camera_rates = _columns(figure.rig, config.camera_degrees_rate, config.camera_metres_rate)
        rates = (config.gaussian_rate, pose_rates, config.shape_rate, camera_rates)
        self._adams = [RowAdam(values, rate) for values, rate in zip(figure.tensors(), rates, strict=True)]
        self._started = 0.0
        self._fitted = (config.gaussians, config.poses, config.shape, len(figure.rig) > 0)

    @torch.enable_grad()
    def run(self, progress: bool = False) -> Refined:
        """Step until the seconds or steps are over, or numbers are no numbers any more.

        Raises:
            NotFiniteError: what it is to begin with has such numbers.
        """
        figure, steps, due, losses, self._started = self.figure, 0, 1, [], self._elapsed()
        best, stopped = self.check(), "gone astray"
        history = [Record(self._elapsed(), 0, float("nan"), best)]
        kept = [value.clone() for value in figure.tensors()]
        with tqdm(total=100, desc="refining", unit="%", disable=not progress) as bar, suppress(NotFiniteError):
            while True:
                done = self._done(steps)
                bar.update(int(100 * min(done, 1)) - bar.n)
                if steps and _CHECKS * done >= due:
                    due = int(_CHECKS * done) + 1
                    history.append(Record(self._elapsed(), steps, float(np.mean(losses)), self.check()))
                    losses.clear()
                    if history[-1].held_back > best:
                        best, kept = history[-1].held_back, [value.clone() for value in figure.tensors()]
                if done >= 1:
                    stopped = "out of steps" if steps == self.config.steps else "out of time"
                    break
                losses.append(self._step(done))
                steps += 1
        figure.load(kept)
        with torch.no_grad():
            avatar, poses = figure.now(), figure.poses_now()
        return Refined(avatar, poses, figure.rig.clone(), steps, self._elapsed(), stopped, tuple(history))

    def _elapsed(self) -> float:
        return self.clock() - self.begin

    def _done(self, steps: int) -> float:
        """How much of the seconds that were left when it started, or of the steps, has been used."""
        config = self.config
        by_time = 0.0
        if config.seconds is not None:
            left = max(config.seconds - self._started, 1e-9)
            by_time = (self._elapsed() - self._started) / left
        return max(by_time, 0.0 if config.steps is None else steps / config.steps)

    def _draw(self) -> list[Pair]:
        """The next images, of different frames as far as there are: one after the other of a shuffled deck."""
        chosen: list[Pair] = []
        while len(chosen) < min(self.config.images, len(self._used)):
            if not self._deck:
                self._deck = [self._used[i] for i in self._rng.permutation(len(self._used))]
            taken = {frame for frame, _ in chosen}
            card = next((pair for pair in self._deck if pair[0] not in taken), self._deck[0])
            self._deck.remove(card)
            chosen.append(card)
        return sorted(chosen)

    def _step(self, done: float) -> float:
        tensors = self.figure.tensors()
        for values, fitted in zip(tensors, self._fitted, strict=True):
            values.requires_grad_(fitted)
        chosen = self._draw()
        seen = sorted({frame for frame, _ in chosen})
        loss = self.likeness.error(*self._draw_images(chosen)) / (len(chosen) * self.seen.person)
        loss = loss + self._improbability(seen) + self._priors.cost(seen)
        gradients = iter(torch.autograd.grad(loss, [values for values in tensors if values.requires_grad]))
        scale = min(1.0, max(_SMALLEST, (1 - done) / (1 - _SLOWING)))
        rows = (None, torch.tensor(seen, device=loss.device), None, None)
        for values, adam, some in zip(tensors, self._adams, rows, strict=True):
            if values.requires_grad:
                values.requires_grad_(False)
                adam.step(next(gradients), some, scale)
        return float(loss.detach())

    def _draw_images(self, pairs: Sequence[Pair]) -> tuple[RenderOutput, Tensor, Tensor]:
        """What is drawn of some images, and the images with their masks."""
        frames, views = (list(part) for part in zip(*pairs, strict=True))
        rows = sorted(set(frames))
        posed = self.figure.posed(rows)
        if rows != frames:
            posed = posed[[rows.index(frame) for frame in frames]]
        drawn = render(posed, self.figure.seen_by(self.seen.cameras_of(frames, views), views))
        return drawn, self.seen.rgb[frames, views][:, None], self.seen.alpha[frames, views][:, None]

    def _improbability(self, rows: Sequence[int]) -> Tensor:
        """Of what was added to poses of some frames, in the mean, to the shape and to the cameras' places. []"""
        moved = (self.figure.moved[rows] / self._sigma).square().sum() / len(rows)
        shape = (self.figure.shape / self.config.shape_sigma).square().sum()
        return self.config.prior * (moved + shape + (self.figure.rig / self._camera_sigma).square().sum())

    @torch.no_grad()
    def check(self) -> float:
        """The score of what is held back, of all images where nothing is."""
        scores = [self.likeness.score(*self._draw_images([pair])) for pair in self._held or self._used]
        return float(torch.stack(scores).mean())


def _columns(changes: Tensor, degrees: float, metres: float) -> Tensor:
    """A number for each column of changes: of turns, and of the shift, which the last three are. [N, C] -> [C]"""
    values = changes.new_full((changes.shape[1],), degrees)
    values[-3:] = metres
    return values


def hold_back(frames: int, views: int) -> tuple[list[Pair], list[Pair]]:
    """Which images of T frames by V cameras are held back, and which are fitted to.

    With several cameras, one view of some evenly spread frames, so that every frame keeps others; with one, whole
    frames. A single image is fitted to.
    """
    every = [(frame, view) for frame in range(frames) for view in range(views)]
    count = max(1, round(_HELD_BACK * len(every)))
    if views > 1:
        rows = np.linspace(0, frames - 1, min(count, frames)).round().astype(int).tolist()
        held = [(row, (1 + i) % views) for i, row in enumerate(rows)]
    elif frames > 1:
        rows = np.linspace(0, frames - 1, min(count, frames - 1) + 2).round().astype(int)[1:-1].tolist()
        held = [(row, 0) for row in dict.fromkeys(rows)]
    else:
        held = []
    return held, [pair for pair in every if pair not in held]
