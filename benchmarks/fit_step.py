"""`python -m benchmarks.fit_step`: what a step of a fit costs on a CPU, part by part, beside plain torch.

A step of a fit of an avatar and of the poses: Gaussians with residuals, the body's maps, posing, images, the error, all
of it backward, Adam. Times are a processor's, of one thread, so that other programs on the machine disturb them little.
Rendering takes our kernels on both sides: `python -m benchmarks.render` compares those.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.render_problem import ring_cameras
from benchmarks.report import Progress
from benchmarks.timing import machine, write_table
from hgg_pyg.body import BodyModel, fast_blend, fast_chain, fast_skinning, load_body, pose_gaussians
from hgg_pyg.config import Repeats, check_choices
from hgg_pyg.io.files import try_folder
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.model import fast_residual
from hgg_pyg.model.residual import RESIDUAL_DIM, apply_residual
from hgg_pyg.render import render
from hgg_pyg.runtime import run_command
from hgg_pyg.types import BodyPose, Gaussians

OURS, PLAIN = "ours", "plain torch"
_SWITCHES = (  # what chooses our kernels
    *((fast_blend, "can_blend"), (fast_blend, "can_move"), (fast_chain, "can_chain")),
    *((fast_skinning, "can_skin"), (fast_residual, "can_apply")),
)
_SKIN_M2 = 1.8  # of a person
_OFF = 0.05  # radians that each angle of the poses is off, and decimetres that the person is


@dataclass(frozen=True)
class FitCase:
    """A step: F frames, each seen by V cameras."""

    gaussians: int
    size: int
    frames: int
    views: int


_CASES = (
    FitCase(7_000, 128, 1, 4),
    FitCase(60_000, 512, 1, 4),
    FitCase(120_000, 512, 1, 4),
    FitCase(7_000, 128, 8, 2),
    FitCase(1_500, 128, 8, 4),
    FitCase(1_500, 96, 8, 4),
)


@dataclass(frozen=True)
class FitStepBenchmark:
    """How long to measure."""

    repeats: Repeats = 7
    """steps of each case, after two that are not counted"""
    quick: bool = False
    """a sixteenth of the Gaussians, a quarter of the size, two steps: a few seconds once kernels are compiled"""
    out: Path = Path("benchmarks/results/fit_step.csv")
    """table to write"""

    def __post_init__(self) -> None:
        check_choices(self)


class _Clock:
    """Milliseconds of the processor by part, one number for each step."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self.took.setdefault(part, []).append(1e3 * (time.process_time() - begin))


class FitProblem:
    """Gaussians on the skin of a body, and images of it in poses that are a little off."""

    def __init__(self, case: FitCase, body: BodyModel) -> None:
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int, std: float = 1.0) -> Tensor:
            return std * torch.randn(*shape, generator=generator)

        count, frames = case.gaussians, case.frames
        self.body, self.binding = body, torch.randperm(count, generator=generator) % body.num_vertices
        truth = BodyPose(draw(10), draw(frames, 3, std=0.2), draw(frames, 69, std=0.2), draw(frames, 3, std=0.05))
        side = (_SKIN_M2 / count) ** 0.5
        self.gaussians = Gaussians(
            means=body.shaped_vertices(truth.betas)[self.binding] + draw(count, 3, std=side / 2),
            quats=draw(count, 4),
            scales=side * torch.tensor([0.5, 0.5, 0.15]).expand(count, 3),
            opacities=0.1 + 0.8 * torch.rand(count, generator=generator),
            colors=torch.rand(count, 3, generator=generator),
        )
        self.cameras = ring_cameras(case.views, case.size)
        posed = pose_gaussians(self.gaussians, body.maps(truth), self.binding)
        self.images = render(posed, self.cameras)
        moved = (truth.betas, *(x + draw(*x.shape, std=_OFF) for x in (truth.global_orient, truth.body_pose)))
        self.leaves = [x.clone().requires_grad_() for x in (*moved, truth.transl + draw(frames, 3, std=_OFF / 10))]
        self.residual = torch.zeros(count, RESIDUAL_DIM, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.residual, *self.leaves], lr=1e-6)  # so little that steps stay alike

    def gradients(self) -> list[Tensor]:
        """Of the residuals, the shape, the root's rotation, the joints' and the translations."""
        self.step(_Clock(), advance=False)
        return [leaf.grad.clone() for leaf in (self.residual, *self.leaves) if leaf.grad is not None]

    def step(self, clock: _Clock, advance: bool = True) -> None:
        """One step of the fit, timed."""
        self.optimizer.zero_grad()
        with clock("residual"):
            changed = apply_residual(self.gaussians, self.residual)
        with clock("maps"):
            maps = self.body.maps(BodyPose(*self.leaves))
        with clock("posing"):
            posed = pose_gaussians(changed, maps, self.binding)
        with clock("rendering"):
            drawn = render(posed, self.cameras)
        with clock("error"):
            error = (drawn.rgb - self.images.rgb).square().mean() + (drawn.alpha - self.images.alpha).square().mean()
        with clock("backward"):
            error.backward()
        with clock("Adam"):
            if advance:
                self.optimizer.step()


@contextmanager
def plain_torch() -> Iterator[None]:
    """Nothing but rendering takes our kernels inside."""
    with ExitStack() as stack:
        for module, name in _SWITCHES:
            stack.enter_context(patch.object(module, name, lambda *_: False))
        yield


@one_thread()
def measure(case: FitCase, body: BodyModel, repeats: int) -> dict[str, dict[str, float]]:
    """Medians of the parts' milliseconds, by OURS and PLAIN, in turn; a step is the median of the steps' sums."""
    problem, clocks = FitProblem(case, body), {OURS: _Clock(), PLAIN: _Clock()}
    for number in range(repeats + 2):
        if number == 2:  # the first two compile, and reserve memory
            clocks = {name: _Clock() for name in clocks}
        problem.step(clocks[OURS])
        with plain_torch():
            problem.step(clocks[PLAIN])
    return {
        name: {"step": median(map(sum, zip(*clock.took.values(), strict=True)))}
        | {part: median(times) for part, times in clock.took.items()}
        for name, clock in clocks.items()
    }


def main(config: FitStepBenchmark) -> None:
    """Measure all cases, print a line for each and write the table."""
    cases, repeats, body = _CASES, config.repeats, load_body()
    if config.quick:
        cases = [replace(case, gaussians=case.gaussians // 16, size=case.size // 4) for case in cases]
        repeats = min(2, repeats)
    try_folder(config.out.parent, "--out")
    about, rows = machine("cpu", 1), []
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    weights = [(case.gaussians + case.size**2) * case.frames * case.views for case in cases]
    with Progress(sum(weights)) as progress:
        for case, weight in zip(cases, weights, strict=True):
            advance = progress.begin(f"{case.gaussians:,} Gaussians, {case.size} pixels", weight)
            found, images = measure(case, body, repeats), case.frames * case.views
            advance(1)
            for name, parts in found.items():
                rows.append(vars(case) | {"by": name, **{f"{part} ms": ms for part, ms in parts.items()}} | about)
            ours, plain = found[OURS]["step"], found[PLAIN]["step"]
            progress.write(
                f"{case.gaussians:>7,} Gaussians, {images:>2} images of {case.size} pixels, {case.frames} frames: "
                f"{ours:.1f} ms a step, {ours / images:.2f} an image; plain torch {plain:.1f}"
            )
    write_table(config.out, rows)
    print(config.out)


if __name__ == "__main__":
    run_command(FitStepBenchmark, main)
