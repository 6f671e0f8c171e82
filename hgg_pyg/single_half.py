"""The single-view half of Table 1: rows of one camera, on the images that rows of several cameras are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from hgg_pyg.data.frames import FrameSource
from hgg_pyg.evaluation.evaluator import Contender
from hgg_pyg.evaluation.paper import paper_remarks
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.refine import RefineConfig
from hgg_pyg.training.run import TrainConfig, read_config
from hgg_pyg.training.trained import TrainedRun, open_run
from hgg_pyg.types import UserError

_SAME = ("crop", "protocol")  # in which runs must agree, to be scored on the same images
_ONE = ", 1 camera"


def single_config(run: Path, trained: TrainConfig, path: Path) -> TrainConfig:
    """The configuration of a run with one camera, if its images can be those of another run.

    Raises:
        UserError: it has several cameras, or other images.
    """
    single = read_config(path)
    if single.clip.input_views != 1:
        found = single.clip.input_views
        raise UserError(f"--single {path}: expected a run with --clip.input-views 1, found one with {found}")
    for name in _SAME:
        wanted, found = getattr(trained, name), getattr(single, name)
        if wanted != found:
            raise UserError(f"--single {path}: {name}: expected {wanted}, as {run} has it, found {found}")
    return single


def single_names(single: TrainConfig, optimised: str | None) -> list[str]:
    """What the rows are called."""
    names = [DIRECT, OURS if single.front.name == "none" else f"{OURS} by diffusion"]
    return [name + _ONE for name in (*names, *([optimised] if optimised else []))]


def single_rows(
    path: Path, run: TrainedRun, sources: Sequence[FrameSource], optimised: tuple[str, float] | None
) -> tuple[Contender, ...]:
    """Direct binding of one frame from one camera, the network of one camera and, if asked for, a fit from nothing.

    Args:
        path: the run with one camera.
        run: the other one.
        sources: what that is scored on; each row has the same subjects and frames.
        optimised: name and seconds of the fit.

    Raises:
        UserError: as `open_run`, or the runs' subjects, frames or cameras are others.
    """
    device = next((p.device for p in run.model.parameters()), torch.device("cpu"))
    single = open_run(path, run.data, device, run.config.body, run.config.cache)
    own = {source.capture.name: source for source in single.test_sources()}
    for source in sources:
        _check_same(path, source, own.get(source.capture.name))
    config = single.config
    clip, names = config.clip, single_names(config, optimised[0] if optimised else None)
    rows = [
        Contender(names[0], DirectBinding(), config.graph.direct(), 1, sources=own),
        Contender(names[1], single.model, config.graph, clip.frames, clip.choose, sources=own),
    ]
    if optimised:
        fit = RefineConfig(seconds=optimised[1])
        rows.append(Contender(names[2], single.model, config.graph, clip.frames, clip.choose, fit, True, sources=own))
    return tuple(rows)


def single_remarks(single: TrainConfig) -> tuple[str, ...]:
    """What a reader of both halves must know, a line each."""
    lines = ["rows of one camera see the frontal input camera only, and are scored on the same images as the others"]
    if single.front.name == "none":
        lines.append("ours by diffusion: left out, since the run of --single has no front")
    return (*lines, *paper_remarks())


def _check_same(path: Path, source: FrameSource, own: FrameSource | None) -> None:
    name = source.capture.name
    if own is None:
        raise UserError(f"--single {path}: expected the test subject {name}, found none of that name")
    if own.capture.frames != source.capture.frames:
        lost = sorted(set(source.capture.frames) ^ set(own.capture.frames))[:3]
        raise UserError(f"--single {path}: {name}: expected the same frames, found others: {', '.join(map(str, lost))}")
    if own.capture.size() != source.capture.size():
        sizes = ["x".join(map(str, s.capture.size())) for s in (source, own)]
        raise UserError(f"--single {path}: {name}: expected images of {sizes[0]} pixels, found {sizes[1]}")
    if not set(own.views) <= set(source.views):
        raise UserError(
            f"--single {path}: {name}: expected one of the cameras {', '.join(source.views)}, "
            f"found {', '.join(own.views)}, whose images are scored"
        )
