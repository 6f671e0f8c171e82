"""The same scene by gsplat's CUDA kernels and by our CPU kernels; and frames per second of an avatar that is posed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import product

import torch
from torch import Tensor

from benchmarks.gpu_parts.replay import replayed
from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.render_problem import (
    COMPILED,
    COMPILED_FRAME,
    CUDA,
    DRAW,
    FRAME,
    GSPLAT,
    OURS,
    POSE,
    PosingProblem,
    RenderCase,
    RenderProblem,
    render_rgb,
)
from benchmarks.suite import Contestant, Limits, run_case
from benchmarks.workers import Worker
from hgg_pyg.avatar.animator import Animator
from hgg_pyg.types import BodyPose, Gaussians

GRAPH, GRAPH_FRAME = "pose, CUDA graph", "pose, CUDA graph, and draw"
COMPILED_GRAPH, COMPILED_GRAPH_FRAME = "pose, compiled, CUDA graph", "pose, compiled, CUDA graph, and draw"
BATCH_FRAME = "eight poses at once, and draw"
FRAMES = (FRAME, COMPILED_FRAME, GRAPH_FRAME, COMPILED_GRAPH_FRAME, BATCH_FRAME)
"""whole frames: posed and drawn. The drawing is in no CUDA graph: gsplat waits for the number of its tiles"""
_LIMITS = Limits(slow_s=60, patience_s=5)
_BATCH = 8


class GraphedProblem(PosingProblem):
    """See `PosingProblem`; posing also as a CUDA graph, and several frames at once."""

    def contestant(self, name: str) -> Contestant:
        """A name from POSED, or one of this module."""
        if name == BATCH_FRAME:
            return Contestant(torch.no_grad()(lambda: render_rgb(self.animator(self.motion), self.cameras)), None, None)
        if name not in (GRAPH, GRAPH_FRAME, COMPILED_GRAPH, COMPILED_GRAPH_FRAME):
            return super().contestant(name)
        compiled, drawn = name in (COMPILED_GRAPH, COMPILED_GRAPH_FRAME), name in (GRAPH_FRAME, COMPILED_GRAPH_FRAME)
        pose = self._captured(self.compiled if compiled else self.animator)
        return Contestant(torch.no_grad()((lambda: render_rgb(pose(), self.cameras)) if drawn else pose), None, None)

    def _captured(self, animator: Animator) -> Callable[[], Gaussians]:
        """Posing, captured once and played again for every frame."""
        still = self.motion[:1].map(torch.clone)
        play = replayed(lambda: animator(still))

        def pose() -> Gaussians:
            self._frame = (self._frame + 1) % len(self.motion)
            _copy(self.motion[self._frame : self._frame + 1], still)
            return play()[0]

        return pose


def build(case: RenderCase) -> GraphedProblem:
    """The problem of a case, in a worker."""
    return GraphedProblem(case)


def run(setting: Setting) -> None:
    """Compare the images, then time frames; a row for each."""
    sheet = Sheet(setting)
    sizes = ((512, 65_536), (256, 65_536)) if not setting.toy else ((32, 200),)
    for size, gaussians in sizes:
        for views in (1, 2):
            case = RenderCase(gaussians, size, views, setting.threads, setting.device)
            row = {"table": "parity", "size": size, "gaussians": gaussians, "views": views}
            sheet.add([{**row, **parity(case, GSPLAT if setting.toy else CUDA)}])
    blocks = [[POSE, DRAW, FRAME, BATCH_FRAME]]
    if setting.device == "cuda":  # on a CPU there are no graphs, and compiling takes longer than a dry run may
        blocks += [[GRAPH, GRAPH_FRAME], [COMPILED, COMPILED_FRAME], [COMPILED_GRAPH, COMPILED_GRAPH_FRAME]]
    with Worker("default", setting.threads, setting.device) as worker:
        for (size, gaussians), names in product(sizes, blocks):
            case = RenderCase(gaussians, size, 1, setting.threads, setting.device)
            found = run_case([worker], build, case, names, 1 if setting.toy else 7, limits=_LIMITS)
            for name, result in found.items():
                took, frames = result.median("forward", "default"), _BATCH if name == BATCH_FRAME else 1
                per_second = 1e3 * frames / took if took else None
                row = {"table": "posing", "size": size, "gaussians": gaussians, "views": 1, "name": name}
                sheet.add([{**row, "frames": frames, "frames_per_second": per_second, **result.columns()}])


def parity(case: RenderCase, other: str) -> dict[str, object]:
    """How far a rasteriser's image and gradients are from those of our CPU kernels, float32 both."""
    here = RenderProblem(RenderCase(case.gaussians, case.size, case.views, case.threads))
    there = RenderProblem(case)
    ours, theirs = (
        [x.detach().cpu() for x in _pass(problem, name)] for problem, name in ((here, OURS), (there, other))
    )
    error = (theirs[0] - ours[0]).abs().flatten()
    worst = max(float((b - a).norm() / a.norm()) for a, b in zip(ours[1:], theirs[1:], strict=True))
    return {
        "name": f"{other} beside {OURS}",
        "error_p999": float(error.kthvalue(max(1, round(0.999 * len(error)))).values),
        "share_off_by_1e-4": float((error > 1e-4).double().mean()),
        "error_most": float(error.max()),
        "gradient_error": worst,
    }


def _pass(problem: RenderProblem, name: str) -> list[Tensor]:
    """[V, H, W, 3] images, then the gradients of every field."""
    work = problem.contestant(name).forward_backward
    assert work is not None
    found = work()
    assert isinstance(found, list)
    return found


def _copy(given: BodyPose, into: BodyPose) -> None:
    for field in fields(given):
        tensor, place = getattr(given, field.name), getattr(into, field.name)
        if isinstance(tensor, Tensor):
            place.copy_(tensor)
