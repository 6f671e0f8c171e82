"""`python -m hgg_pyg.finetune`: the per-frame network on your captures; `--backbone lgm` takes what it writes."""

from __future__ import annotations

import logging

import torch
from accelerate import Accelerator

from hgg_pyg.backbones.lgm.checkpoint import load_lgm, save_lgm
from hgg_pyg.backbones.lgm.network import LGM, PRESETS, VIEWS
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.finetuning.scores import score_lgm
from hgg_pyg.finetuning.tuner import CameraSplit, Tuner
from hgg_pyg.io.files import try_folder
from hgg_pyg.processes import join_processes, main_first, wait_for_all
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import DEMO, synthesize
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.claim import begin_run
from hgg_pyg.training.inputs import check_inputs, file_digest, inputs_of, perceptual_term, write_inputs
from hgg_pyg.training.losses import say_loss
from hgg_pyg.training.run import create_run, follow_places

WEIGHTS_FILE = "lgm.safetensors"

log = logging.getLogger("hgg_pyg")


def start_network(config: FinetuneConfig) -> LGM:
    """The network that training starts from.

    Raises:
        UserError: the checkpoint does not fit the preset.
    """
    if config.checkpoint is not None:
        return load_lgm(config.checkpoint, config.preset).network
    torch.manual_seed(config.seed)
    return LGM(PRESETS[config.preset])


def main(config: FinetuneConfig) -> None:
    """Fine-tune LGM on captures, or train a small one from nothing; score it on test subjects; fill runs/NAME."""
    accelerator = join_processes(config.precision, config.accumulation)
    with begin_run(config, accelerator) as checkpoint:
        _finetune(config, accelerator, checkpoint)


def _finetune(config: FinetuneConfig, accelerator: Accelerator, checkpoint: Checkpoint | None) -> None:
    network = start_network(config)
    body, lpips = load_body_for(config.data, config.body), perceptual_term(config)
    try_folder(config.folder, "--out")
    if accelerator.is_main_process and config.data is None:
        synthesize(DEMO)
    wait_for_all(accelerator)
    captures = open_captures(config.captures, config.image_size, body, config.crop, config.protocol, VIEWS)
    captures.require("train", config.captures)
    start = "random weights" if config.checkpoint is None else file_digest(config.checkpoint)
    inputs = inputs_of(captures, body, lpips is not None, start)
    main_first(accelerator, lambda: check_inputs(config, inputs))
    tuner = Tuner(config, accelerator, network, body, captures.train, captures.val, lpips)
    if accelerator.is_main_process:
        log.info("%s: %s", config.captures, captures.describe())
        log.info("%d training, %d test subjects", len(captures.train), len(captures.test))
        if captures.shared_subjects:
            log.info("too few subjects to part: the test subjects are those that are trained on")
        say_loss(config.loss, lpips is not None)
        if config.checkpoint is None:
            log.info("preset %s starts from random weights; --checkpoint gives others", config.preset)
        if checkpoint is None:
            write_inputs(config.folder, inputs)
            create_run(config)
        else:
            follow_places(config)
    tuner.run_from(checkpoint)
    if accelerator.is_main_process:
        weights = config.folder / WEIGHTS_FILE
        save_lgm(tuner.network, config.preset, config.size, weights)
        tuner.say_what_was_left_out()
        subjects = [CameraSplit.of(capture).usable(body) for capture in captures.test]
        if subjects := [subject for subject in subjects if subject.capture.frames]:
            report = score_lgm(tuner.network, tuner.loader, tuner.train_subjects, subjects)
            report.save(config.folder)
            print(report.table())
        log.info("%s: train on it by --backbone lgm --backbone.checkpoint %s", config.folder, weights)
    accelerator.end_training()


if __name__ == "__main__":
    run_command(FinetuneConfig, main)
