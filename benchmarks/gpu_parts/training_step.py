"""One training step: a clip's forward and backward pass, drawing included, and the optimiser's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from accelerate.state import AcceleratorState
from tqdm import tqdm

from benchmarks.gpu_parts.captures import capture_size
from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.gpu_parts.stand_ins import use_stand_ins
from benchmarks.gpu_parts.subjects import sources
from benchmarks.timing import Spread
from hgg_pyg.backbones import SurfaceBackbone, SurfaceConfig
from hgg_pyg.config import ClipConfig
from hgg_pyg.data.frames import compute_missing
from hgg_pyg.processes import join_processes
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.training.trainer import LoadedClip, Trainer

SETTINGS: tuple[tuple[str, Literal["no", "bf16"]], ...] = (
    ("recommended", "no"),
    ("paper", "bf16"),
    ("paper", "no"),
    ("demo", "no"),
)
"""presets of `python -m hgg_pyg.train`, and the network's number format"""


def run(setting: Setting) -> None:
    """Time a step of each preset; a row for each."""
    sheet = Sheet(setting, nearest_search=use_stand_ins())
    parts = sources(setting, SurfaceBackbone(SurfaceConfig()))
    compute_missing(parts["train"])
    for preset, precision in SETTINGS[:1] if setting.toy else SETTINGS:
        config = training_config(setting, preset, precision)
        AcceleratorState._reset_state(reset_partial_state=True)  # it keeps the first precision of a process
        trainer = Trainer(config, join_processes(precision), parts["train"], ())
        if setting.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        clips = [_load(trainer, seed) for seed in range(1 if setting.toy else 6)]
        steps = _time_steps(trainer, [clip for clip, _ in clips], 1 if setting.toy else 5)
        loading = Spread.of([ms for _, ms in clips])
        peak = torch.cuda.max_memory_allocated() / 1e6 if setting.device == "cuda" else None
        graph = clips[0][0].told.graph
        sheet.add([{
            "preset": preset, "precision": precision, "size": capture_size(setting.toy).size,
            "moments": config.clip.frames, "images": config.clip.target_views,
            "gaussians": graph["gaussian"].num_nodes, "median_ms": steps.median, "least_ms": steps.least,
            "samples": steps.samples, "loading_a_clip_ms": loading.median, "peak_mb": peak,
        }])  # fmt: skip


def training_config(
    setting: Setting, preset: str, precision: Literal["no", "bf16"], steps: int = 10_000
) -> TrainConfig:
    """A preset on the synthetic captures at their own size; in a dry run with few images."""
    config = replace(
        TrainConfig.preset(preset), data=setting.captures, image_size=capture_size(setting.toy).size, steps=steps,
        precision=precision, out=setting.work / "runs", cache=setting.work / "cache",
    )  # fmt: skip
    if not setting.toy:
        return config
    clip = ClipConfig(frames=2, target_views=2, target_poses=1)
    return replace(config, clip=clip, model=replace(config.model, num_layers=1, hidden_channels=8, heads=2))


def _load(trainer: Trainer, seed: int) -> tuple[LoadedClip, float]:
    """A clip, and the milliseconds of loading it; in training another thread does it meanwhile."""
    begin = time.perf_counter()
    clip = trainer.load(np.random.default_rng(seed))
    return clip, 1e3 * (time.perf_counter() - begin)


def _time_steps(trainer: Trainer, clips: list[LoadedClip], rounds: int) -> Spread:
    """Steps over clips in memory; the first round, which compiles, is not counted. A step ends with a wait."""
    times = []
    with tqdm(disable=True) as bar:
        for turn in range(rounds + 1):
            for number, clip in enumerate(clips):
                begin = time.perf_counter()
                trainer.train_step(turn * len(clips) + number, iter([clip]), bar)
                if turn:
                    times.append(1e3 * (time.perf_counter() - begin))
    return Spread.of(times)
