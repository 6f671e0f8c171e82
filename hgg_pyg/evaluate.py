"""`python -m hgg_pyg.evaluate RUN`: the paper's Table 1 on your test subjects, and report.html to look at.

Beside direct binding and the run stand further runs (`--also`) and images that any other method drew (`--method
NAME=FOLDER`, laid out as FOLDER/SUBJECT/novel_view/CAMERA/00000012.png; `--save-images DIR` writes ground truth, our
renders and the cameras in that layout).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from accelerate import PartialState

from hgg_pyg.config import Bounds, ClipConfig, Degrees, Seconds, Seed, Steps, check_choices
from hgg_pyg.data.frames import one_camera_of
from hgg_pyg.evaluation.evaluator import METHODS, Contender, Extras, evaluate
from hgg_pyg.evaluation.lpips import load_all_lpips
from hgg_pyg.evaluation.reporting import Report, parse_methods
from hgg_pyg.evaluation.reporting.report import OURS
from hgg_pyg.evaluation.test_poses import TestPoses
from hgg_pyg.io.files import try_folder
from hgg_pyg.refine import RefineConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.single_half import single_config, single_names, single_remarks, single_rows
from hgg_pyg.training.inputs import loss_text
from hgg_pyg.training.run import TrainConfig, read_config
from hgg_pyg.training.trained import load_network, open_run
from hgg_pyg.types import UserError

# What runs must agree in to be compared image by image.
_SHARED = ("image_size", "crop", "protocol", "backbone", "front")


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what, and beside what."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a training run"""
    data: Path | None = None
    """folder of captures; by default where the run found them"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) or its folder; by default where the run found it"""
    cache: Path | None = None
    """folder where per-frame Gaussians are stored; by default the run's"""
    views: Annotated[int, Bounds(1, 10**9)] | None = None
    """largest number of images per subject and task, evenly spaced; by default all"""
    out: Path | None = None
    """folder for metrics.json, scores.csv, table.md, sheet.png and report.html; by default the run's"""
    method: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=FOLDER: images rendered by another method, as FOLDER/SUBJECT/TASK/CAMERA/FRAME.png; repeatable"""
    allow_missing: bool = False
    """where a method's folder lacks images, leave them out for all methods and count them"""
    also: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """folder of another run on the same per-frame network, scored under its folder's name; repeatable"""
    single: Path | None = None
    """folder of a run with one camera: the single-view half of Table 1, on the same images as the rows of this run"""
    refine: Seconds | None = None
    """score the run once more, with a fit of so many seconds to the input images after its forward pass"""
    optimised: Seconds | None = None
    """score avatars that are fitted for so many seconds from nothing too, as methods without a network do"""
    save_images: Path | None = None
    """folder to which ground truth, renders and cameras are written, laid out as for --method"""
    regions: bool = False
    """show the scores inside the mask and its bounding box in the tables, too"""
    shown: Annotated[int, Bounds(0, 1000)] = 4
    """images of each kind in report.html"""
    pose_noise: Degrees = 0.0
    """of captures whose poses are the truth: white noise on all of them, degrees for each joint's axes and a third of
    as many centimetres for the place; novel poses are scored in true, estimated and mended poses"""
    mend_test_poses: bool = False
    """score novel poses also in mended ones: each test frame's pose fitted to its input images, never to the scored
    one; with --pose-noise this is always done"""
    mend_steps: Steps = 15
    """how often that fit sees each image"""
    seed: Seed = 0
    """of the noise and of that fit"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.single is not None and (self.pose_noise or self.mend_test_poses):
            raise ValueError("single: expected without pose_noise and mend_test_poses, which look through all cameras")


def main(config: EvaluateConfig) -> Report:
    """Score a run, direct binding and other methods on test subjects; leave numbers, tables and report.html."""
    trained = read_config(config.run)  # first: captures and networks are read once all options are known to be right
    others = tuple(_read_other(config.run, trained, path) for path in config.also)
    names = [*METHODS, "ground truth", *(path.resolve().name for path in config.also)]
    if config.refine is not None:
        names.append(refined_name(config.refine))
    if config.optimised is not None:
        names.append(optimised_name(config.optimised))
    single = None if config.single is None else single_config(config.run, trained, config.single)
    if single is not None:
        names += single_names(single, None if config.optimised is None else optimised_name(config.optimised))
    if len({name.casefold() for name in names}) < len(names):
        raise UserError(f"--also: expected folders of different names, found {', '.join(names[3:])}")
    folders = parse_methods(config.method, names)
    for folder in folders:
        folder.check_folder()
    device = PartialState().device or torch.device("cpu")
    run = open_run(config.run, config.data, device, config.body, config.cache)
    also = tuple(
        Contender(name, load_network(path, run.body, run.backbone, device), other.graph, *_frames(other.clip))
        for name, path, other in zip(names[3:], config.also, others, strict=False)
    )
    if config.refine is not None:
        fit = RefineConfig(seconds=config.refine)
        also += (Contender(refined_name(config.refine), run.model, trained.graph, *_frames(trained.clip), fit),)
    if config.optimised is not None:
        fit, name = RefineConfig(seconds=config.optimised), optimised_name(config.optimised)
        also += (Contender(name, run.model, trained.graph, *_frames(trained.clip), fit, blank=True),)
    lpips, out = load_all_lpips(), config.out or config.run
    try_folder(out, "--out")
    if config.save_images is not None:
        try_folder(config.save_images, "--save-images")
    sources = run.test_sources()
    loss = loss_text(config.run, trained)
    remarks = () if loss is None else (f"loss: {loss}",)
    if trained.clip.input_views == 1:
        remarks = (*remarks, one_camera_of(sources))
    if config.single is not None and single is not None:
        fit = None if config.optimised is None else (optimised_name(config.optimised), config.optimised)
        also += single_rows(config.single, run, sources, fit)
        remarks = (*remarks, *single_remarks(single))
    extras = Extras(
        shown=config.shown,
        lpips=lpips,
        remarks=remarks,
        also=also,
        folders=folders,
        allow_missing=config.allow_missing,
        save_images=config.save_images,
        poses=TestPoses(config.pose_noise, config.mend_test_poses, config.mend_steps, config.seed),
    )
    shared, clip = run.captures.shared_subjects, trained.clip
    report = evaluate(run.model, sources, trained.graph, clip.frames, config.views, shared, extras, clip.choose)
    report.save(out, config.run, config.regions)
    print(f"{report.table(config.regions)}\n{out / 'report.html'} has the images")
    return report


def _frames(clip: ClipConfig) -> tuple[int, str]:
    return clip.frames, clip.choose


def refined_name(seconds: float) -> str:
    """What a run with a fit after its forward pass is called in tables."""
    return f"{OURS} + {seconds:g} s"


def optimised_name(seconds: float) -> str:
    """What avatars that are fitted from nothing are called in tables."""
    return f"optimised {seconds:g} s"


def _read_other(run: Path, trained: TrainConfig, path: Path) -> TrainConfig:
    """The configuration of a further run, if its images can be compared with the first one's."""
    other = read_config(path)
    pairs = [(name, getattr(trained, name), getattr(other, name)) for name in _SHARED]
    pairs.append(("clip.input_views", trained.clip.input_views, other.clip.input_views))
    for name, wanted, found in pairs:
        if wanted != found:
            where, wanted, found = _first_difference(name, wanted, found)
            raise UserError(f"--also {path}: {where}: expected {wanted}, as {run} has it, found {found}")
    return other


def _first_difference(name: str, wanted: object, found: object) -> tuple[str, object, object]:
    """The innermost option of two configurations that differs."""
    if is_dataclass(wanted):
        for part in fields(wanted):
            inner = getattr(wanted, part.name), getattr(found, part.name)
            if inner[0] != inner[1]:
                return _first_difference(f"{name}.{part.name}", *inner)
    return name, wanted, found


if __name__ == "__main__":
    run_command(EvaluateConfig, main)
