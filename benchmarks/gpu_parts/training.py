"""A training run in the time that is left, ten minutes at most: loss and quality of images over the steps."""

from __future__ import annotations

import time
from dataclasses import replace

from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.gpu_parts.stand_ins import use_stand_ins
from benchmarks.gpu_parts.subjects import sources
from benchmarks.gpu_parts.training_step import training_config
from hgg_pyg.backbones import SurfaceBackbone, SurfaceConfig
from hgg_pyg.data.frames import compute_missing
from hgg_pyg.processes import join_processes
from hgg_pyg.training.run import create_run
from hgg_pyg.training.trainer import Trainer

LONGEST_S = 600.0
_SHARE = 0.8  # of the limit: the rest is for validating at the end, and for steps that take longer than the first ones
_PROBE = 12


def run(setting: Setting) -> None:
    """Train the recommended preset for as many steps as there is time; a row for each step."""
    begin = time.monotonic()
    sheet = Sheet(setting, nearest_search=use_stand_ins(), preset="recommended")
    parts = sources(setting, SurfaceBackbone(SurfaceConfig()))
    for part in parts.values():
        compute_missing(part)
    accelerator = join_processes()
    config = training_config(setting, "recommended", "no", 2 if setting.toy else _PROBE)
    if not setting.toy:
        took = []
        for turn in range(2):  # the first compiles
            started = time.monotonic()
            probe = replace(config, name=f"probe_{turn}_{time.time_ns()}", validate_every=10**6)
            _train(Trainer(probe, accelerator, parts["train"], ()))
            took.append((time.monotonic() - started) / _PROBE)
        left = min(LONGEST_S, _SHARE * (setting.seconds - (time.monotonic() - begin)))
        config = replace(config, steps=max(_PROBE, int(left / took[-1])), checkpoint_every=10**6)
    config = replace(config, name=f"run_{time.time_ns()}", validate_every=max(1, config.steps // 5))
    trainer = Trainer(config, accelerator, parts["train"], parts["val"])
    started = time.monotonic()
    _train(trainer)
    seconds = time.monotonic() - started
    about = {"steps": config.steps, "run_seconds": seconds, "clips_per_second": len(trainer.history) / seconds}
    sheet.add({**vars(record), **about} for record in trainer.history)


def _train(trainer: Trainer) -> None:
    """Up to the last step, or to the signal that ends the part's time."""
    create_run(trainer.config)
    trainer.run()
