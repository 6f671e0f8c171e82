"""How long training takes at each setting, measured side by side: runs at other hours of a machine do not tell."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from tqdm import tqdm

from benchmarks.ablation_settings import Setting
from benchmarks.timing import write_table
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.processes import join_processes
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.training.trainer import Trainer
from hgg_pyg.types import UserError

TIMES_FILE = "times.csv"
_WITHOUT_END = 10**9  # steps, of trainers that are never trained


@dataclass(frozen=True)
class ClipTime:
    """Medians over the same clips, measured in turn on one thread: loading, forward, backward and the optimiser."""

    setting: str
    clip_ms: float
    ratio: float
    """to the default setting's time of the same clip"""
    clips: int


def read_times(folder: Path) -> dict[str, ClipTime]:
    """What is known of a folder of runs, by setting; nothing if nothing was measured.

    Raises:
        UserError: the file is not one of this program.
    """
    path = folder / TIMES_FILE
    if not path.is_file():
        return {}
    try:
        return {
            row["setting"]: ClipTime(row["setting"], float(row["clip_ms"]), float(row["ratio"]), int(row["clips"]))
            for row in csv.DictReader(path.read_text("utf-8").splitlines())
        }
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: expected times of settings ({type(error).__name__}: {error})") from None


def measure_times(folder: Path, settings: Sequence[Setting], sources: Sequence[FrameSource], clips: int) -> None:
    """Measure the settings that a folder's `times.csv` lacks, the default one among them, and write them into it.

    Args:
        folder: of the runs.
        settings: those whose times are wanted.
        sources: training captures; their Gaussians are in the cache.
        clips: how many, after one that warms up.
    """
    known = read_times(folder)
    base = next(setting for setting in settings if setting.default)
    wanted = {s.name: s.config for s in settings if s.trained and s.name not in known}
    if not wanted or not clips:
        return
    accelerator = join_processes(base.config.precision)
    configs = {base.name: base.config} | wanted
    took: dict[str, list[float]] = {name: [] for name in configs}
    with _one_thread(), tqdm(total=(clips + 1) * len(configs), desc="times of training", unit="clip") as bar:
        works = {name: _trainer_of(config, accelerator, sources) for name, config in configs.items()}
        for clip in range(clips + 1):
            # In another order each time: who comes first reads a clip's files from the disk, who follows a large
            # network finds other memory.
            for name in np.random.default_rng(clip).permutation(list(works)):
                start = time.perf_counter()
                works[name](clip)
                if clip:  # the first one warms up
                    took[name].append(1e3 * (time.perf_counter() - start))
                bar.update()
    for name, times in took.items():
        ratio = statistics.median(ms / default for ms, default in zip(times, took[base.name], strict=True))
        known[name] = ClipTime(name, statistics.median(times), ratio, clips)
    write_table(folder / TIMES_FILE, [asdict(row) for row in known.values()])


def _trainer_of(
    config: TrainConfig, accelerator: Accelerator, sources: Sequence[FrameSource]
) -> Callable[[int], object]:
    """What loads a clip by its number and trains on it; settings with the same frames have the same clips."""
    endless = replace(config, steps=_WITHOUT_END, validate_every=_WITHOUT_END, accumulation=1)
    trainer, silent = Trainer(endless, accelerator, sources, ()), tqdm(disable=True)
    # A step ends by reading its loss, for which a GPU has to be done.
    return lambda clip: trainer.train_step(clip, iter([trainer.load(np.random.default_rng(clip))]), silent)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As runs that are trained side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
