"""`python -m hgg_pyg.finetune_multiview`: a front on your captures; `--front wonder3d` takes what it writes."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from accelerate import Accelerator

from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.finetuning.multiview.config import PEOPLE, MultiviewConfig
from hgg_pyg.finetuning.multiview.examples import ExampleLoader, find_examples
from hgg_pyg.finetuning.multiview.scores import score_views
from hgg_pyg.finetuning.multiview.tuner import ViewsTuner
from hgg_pyg.io.files import try_folder
from hgg_pyg.multiview.folder import WANTED, load_model, save_model
from hgg_pyg.multiview.micro import VIEWS, micro_model
from hgg_pyg.multiview.model import MultiViewModel
from hgg_pyg.multiview.views import QUARTERS
from hgg_pyg.processes import join_processes, main_first, wait_for_all
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import synthesize
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.claim import begin_run
from hgg_pyg.training.inputs import check_inputs, inputs_of, write_inputs
from hgg_pyg.training.run import MODEL_FOLDER, create_run, follow_places
from hgg_pyg.types import UserError

MICRO_MOST = 128  # pixels: larger ones take a network in latents

log = logging.getLogger("hgg_pyg")


def start_model(config: MultiviewConfig) -> tuple[MultiViewModel, str]:
    """The model that training starts from, drawing four views, and a digest of it.

    Raises:
        UserError: the checkpoint is no model, is needed and not given, or a package is missing.
    """
    if config.checkpoint is None:
        if config.size > MICRO_MOST:
            found = f"found none, and micro draws at most {MICRO_MOST} pixels"
            raise UserError(f"--checkpoint: expected {WANTED}, for pictures of {config.size} pixels; {found}")
        torch.manual_seed(config.seed)
        return micro_model(replace(VIEWS, size=config.size)), "random weights"
    loaded = load_model(config.checkpoint)
    views = loaded.model.views
    chosen = views.quarters
    four = replace(
        views,
        azimuths=QUARTERS,
        label_elevations=tuple(views.label_elevations[i] for i in chosen),
        label_azimuths=tuple(views.label_azimuths[i] for i in chosen),
        projection="pinhole",
    )
    return replace(loaded.model, views=four), loaded.digest


def main(config: MultiviewConfig) -> None:
    """Train a front on captures, score it on test subjects, fill runs/NAME."""
    accelerator = join_processes(config.precision, config.accumulation)
    with begin_run(config, accelerator) as checkpoint:
        _finetune(config, accelerator, checkpoint)


def _finetune(config: MultiviewConfig, accelerator: Accelerator, checkpoint: Checkpoint | None) -> None:
    model, start = start_model(config)
    body = load_body_for(config.data, config.body)
    try_folder(config.folder, "--out")
    if accelerator.is_main_process and config.data is None:
        synthesize(PEOPLE)
    wait_for_all(accelerator)
    captures = open_captures(config.captures, config.image_size, body, config.crop, config.protocol, len(QUARTERS))
    captures.require("train", config.captures)
    inputs = inputs_of(captures, body, False, start)
    main_first(accelerator, lambda: check_inputs(config, inputs))
    loader = ExampleLoader(body, model.views)
    train, val, test = (
        find_examples(part, body, model.views, config.facing, config.captures) if part else []
        for part in (captures.train, captures.val[:1], captures.test)
    )
    tuner = ViewsTuner(config, accelerator, model, loader, train, val)
    if accelerator.is_main_process:
        log.info("%s: %s", config.captures, captures.describe())
        log.info("%d training, %d test subjects: %d front views", len(captures.train), len(captures.test), len(train))
        if captures.shared_subjects:
            log.info("too few subjects to part: the test subjects are those that are trained on")
        if config.checkpoint is None:
            log.info("micro starts from random weights; --checkpoint gives others")
        if checkpoint is None:
            write_inputs(config.folder, inputs)
            create_run(config)
        else:
            follow_places(config)
    tuner.run_from(checkpoint)
    if accelerator.is_main_process:
        trained = tuner.trained
        folder = config.folder / MODEL_FOLDER
        save_model(folder, trained)
        if test:
            report = score_views(trained, loader, train, test, config.test_frames)
            report.save(config.folder)
            print(report.table())
        log.info("%s: train on it by --front wonder3d --front.checkpoint %s", config.folder, folder)
    accelerator.end_training()


if __name__ == "__main__":
    run_command(MultiviewConfig, main)
