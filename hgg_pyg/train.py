"""`python -m hgg_pyg.train`: from captures to a trained, evaluated model in runs/NAME. The defaults are the demo."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import islice

import torch
from accelerate import Accelerator

from hgg_pyg.attention import get_variant
from hgg_pyg.avatar.file import SUFFIX
from hgg_pyg.backbones import make_backbone
from hgg_pyg.data.capture_set import CaptureSet, load_body_for, open_captures
from hgg_pyg.data.choosing import find_chooser
from hgg_pyg.data.frames import FrameSource, check_views, compute_missing, frame_sources, one_camera_of
from hgg_pyg.data.usable import some_usable, usable_sources
from hgg_pyg.evaluation.evaluator import Extras, evaluate
from hgg_pyg.evaluation.lpips import load_all_lpips
from hgg_pyg.export import ExportConfig
from hgg_pyg.export import main as export
from hgg_pyg.io.files import try_folder
from hgg_pyg.making import Maker
from hgg_pyg.model.saved import WEIGHTS_FILE
from hgg_pyg.multiview import behind_front
from hgg_pyg.processes import join_processes, main_first, wait_for_all
from hgg_pyg.refine import RefineConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import DEMO, synthesize
from hgg_pyg.synthetic.motion import Performance
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.claim import begin_run
from hgg_pyg.training.inputs import check_inputs, file_digest, inputs_of, perceptual_term, write_inputs
from hgg_pyg.training.losses import describe_loss, say_loss
from hgg_pyg.training.run import MODEL_FOLDER, RUN_SETTINGS, TrainConfig, create_run, follow_places
from hgg_pyg.training.trainer import Trainer, fitting, try_network
from hgg_pyg.types import UserError

_USUAL_FPS = 30.0  # of a capture, which does not say

log = logging.getLogger("hgg_pyg")


def _check_attention(config: TrainConfig, device: str) -> None:
    """Refuse, before any work, a way of computing attention that could not train here."""
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    try:
        variant = get_variant(config.model.backend, device, dtype)
    except ValueError as error:
        raise UserError(f"model.backend: {error}") from None
    if not variant.backward:
        raise UserError(f"model.backend: expected one with gradients, found {variant.name!r}, which has none")


def main(config: TrainConfig) -> None:
    """Train the Human Gaussian Graph on captures, evaluate it on test subjects, leave everything in runs/NAME."""
    accelerator = join_processes(config.precision, config.accumulation)
    _check_attention(config, accelerator.device.type)
    with begin_run(config, accelerator) as checkpoint:
        _train(config, accelerator, checkpoint)


def _train(config: TrainConfig, accelerator: Accelerator, checkpoint: Checkpoint | None) -> None:
    body, device = load_body_for(config.data, config.body), accelerator.device
    backbone = behind_front(make_backbone(config.backbone, device), config.front, config.cache, device)
    check_views(backbone, config.clip.input_views)
    find_chooser(config.clip.choose)
    try_network(config, body, backbone)
    lpips, all_lpips = perceptual_term(config), load_all_lpips()
    try_folder(config.folder, "--out")
    try_folder(config.cache, "--cache")
    if accelerator.is_main_process and config.data is None:
        synthesize(DEMO)
    wait_for_all(accelerator)
    captures = open_captures(
        config.captures, config.image_size, body, config.crop, config.protocol, config.clip.input_views
    )
    captures.require("train", config.captures)
    train, val, test = (
        frame_sources(part, config.clip.input_views, backbone, body, config.cache)
        for part in (captures.train, captures.val, captures.test)
    )
    if accelerator.is_main_process:
        _say_what_is_trained_on(config, captures)
        if config.clip.input_views == 1:
            log.info(one_camera_of(train))
        say_loss(config.loss, lpips is not None)
    inputs = inputs_of(captures, body, lpips is not None, backbone.contents)
    if config.start is not None:
        inputs["start"] = file_digest(config.start / MODEL_FOLDER / WEIGHTS_FILE)
    main_first(accelerator, lambda: check_inputs(config, inputs))
    if not config.variety:  # else no two clips are alike
        compute_missing(train, (accelerator.process_index, accelerator.num_processes))
        wait_for_all(accelerator)
    train = some_usable(train, quiet=not accelerator.is_main_process)
    # Only the main process validates and evaluates; shared subjects have been told of as those trained on.
    val = tuple(islice(usable_sources(val, captures.shared_subjects), 1)) if accelerator.is_main_process else ()
    with fitting():
        trainer = Trainer(config, accelerator, train, val, captures.shared_subjects, lpips)
    if accelerator.is_main_process and checkpoint is None:
        write_inputs(config.folder, inputs)
        create_run(config)
    elif accelerator.is_main_process:
        follow_places(config)
    trainer.run_from(checkpoint)
    if accelerator.is_main_process:
        trainer.network.save(config.folder / MODEL_FOLDER, {RUN_SETTINGS: json.dumps(trainer.settings)})
        if test := tuple(usable_sources(test, captures.shared_subjects)):
            report = evaluate(
                trainer.network,
                test,
                config.graph,
                config.clip.frames,
                seen_in_training=captures.shared_subjects,
                extras=Extras(lpips=all_lpips, remarks=(f"loss: {describe_loss(config.loss, lpips is not None)}",)),
                choose=config.clip.choose,
            )
            report.save(config.folder)
            print(report.table())
            clip, name = config.clip, f"run {config.name}"
            fit = None if config.refine is None else RefineConfig(seconds=config.refine)
            maker = Maker(trainer.network, config.graph, backbone, body, clip.frames, name, fit, clip.choose)
            _keep_avatar(config, maker, test)
        log.info("%s holds the model, report.html, avatar.html, metrics.json, curves.png and sheet.png", config.folder)
    accelerator.end_training()


def _keep_avatar(config: TrainConfig, maker: Maker, test: Sequence[FrameSource]) -> None:
    """Leave the first test subject's avatar beside the numbers, and the page that shows it."""
    fps = DEMO.frames / Performance.seconds if config.data is None else _USUAL_FPS
    path = config.folder / f"avatar{SUFFIX}"
    maker.make(test[0], fps).avatar.save(path)
    export(ExportConfig(path, to="html"))


def _say_what_is_trained_on(config: TrainConfig, captures: CaptureSet) -> None:
    log.info("%s: %s", config.captures, captures.describe())
    counts = (len(part) for part in (captures.train, captures.val, captures.test))
    log.info("%d training, %d validation, %d test subjects", *counts)
    if captures.shared_subjects:
        log.info(
            "too few subjects to part: test subjects are seen in training, the last quarter of their frames is not"
        )


if __name__ == "__main__":
    run_command(TrainConfig, main)
