"""`python -m benchmarks.pipeline`: every stage from images to an avatar, and of training, beside the least it can take.

On synthetic people, made once. The floor of a stage is the larger of two times: that of copying as many bytes as it is
given and gives, and that of a matrix product of as many FLOPs as its own products have. The floor of all stages at once
is the sum of theirs, of a training step forward and backward. The copy and the product are timed first: on a busy
machine all times are those of a busy machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from accelerate import Accelerator
from tqdm import tqdm

from benchmarks.bars import print_bars
from benchmarks.pipeline_report import AVATAR, SETTING, TRAINING, WHOLE_CLIP, Row, describe, judge, ranking
from benchmarks.pipeline_stages import WHOLE_AVATAR, Stage, avatar_stages, training_stages
from benchmarks.plots import draw_ranking
from benchmarks.rates import Rates
from benchmarks.timing import Spread, interleaved, machine, write_table
from hgg_pyg.backbones import make_backbone
from hgg_pyg.config import Bounds, Processes, Repeats, Steps, check_choices
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.frames import compute_missing, frame_sources
from hgg_pyg.evaluation.lpips import load_lpips
from hgg_pyg.io.files import make_folder
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.training.checkpoint import StepRecord
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.training.trainer import LoadedClip, Trainer

_FRAMES, _VIEWS = 12, 8  # of a synthetic person, of which 8 frames and 4 cameras are input
_WARM = 5  # training steps that are not counted


@dataclass(frozen=True)
class PipelineBenchmark:
    """What to measure."""

    sizes: tuple[Annotated[int, Bounds(16, 65_535)], ...] = (128, 256, 512)
    """heights and widths of the images, in pixels; training is measured at the first"""
    preset: str = "recommended"
    """which defaults of training, and with them which network and graph; demo, paper or recommended"""
    repeats: Repeats = 7
    """samples per time, after a warm-up"""
    steps: Steps = 60
    """training steps that are timed, after the first few"""
    threads: Processes = field(default_factory=torch.get_num_threads)
    """threads of torch and numba"""
    captures: Path = Path("captures/pipeline")
    """folder of the synthetic people, a folder per size; those that are there are taken"""
    quick: bool = False
    """the first size, three samples, ten training steps: about a minute"""
    out: Path = Path("benchmarks/results/pipeline.csv")
    """table to write; bars and a plot go beside it"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.preset not in TrainConfig.PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(TrainConfig.PRESETS)}, found {self.preset!r}")
        if not self.sizes:
            raise ValueError("sizes: expected at least one, found none")

    def sized(self) -> PipelineBenchmark:
        """What is measured in the end, `quick` taken into account."""
        if not self.quick:
            return self
        fewer = {"repeats": min(3, self.repeats), "steps": min(10, self.steps), "sizes": self.sizes[:1]}
        return replace(self, quick=False, **fewer)


def main(config: PipelineBenchmark) -> None:
    """Time every stage from images to an avatar, and of a training step, beside the least that it can take."""
    config = config.sized()
    make_folder(config.out.parent, "--out")
    make_folder(config.captures, "--captures")
    torch.set_num_threads(config.threads)
    about = machine("cpu", config.threads)
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    rates = Rates.measure()
    print(f"copy {rates.bytes_per_s / 1e9:.1f} GB/s, product {rates.flops_per_s / 1e9:.0f} GFLOP/s")
    rows: list[Row] = []
    for size in config.sizes:
        synthesize(SynthesizeConfig(config.captures / str(size), 3, _FRAMES, _VIEWS, size))
    with tqdm(total=len(config.sizes) + 2, desc="stages", unit="part") as bar:
        for size in config.sizes:
            with _trainer(config, size) as trainer:
                trainer.network.eval()
                stages = avatar_stages(trainer.train_sources[0], trainer.config, trainer.network)
                rows += _measure_stages(AVATAR, stages, trainer, config.repeats, rates)
                bar.update()
                if size == config.sizes[0]:
                    trainer.network.train()
                    found = _measure_stages(TRAINING, training_stages(trainer), trainer, config.repeats, rates)
                    bar.update()
                    rows += [*found, _measure_steps(trainer, found)]
                    bar.update()
    bars = judge(rows)
    about |= {"copy_gb_per_s": f"{rates.bytes_per_s / 1e9:.4g}", "gemm_gflop_per_s": f"{rates.flops_per_s / 1e9:.4g}"}
    write_table(config.out, [{**row.columns(), **about, "preset": config.preset} for row in rows])
    write_table(config.out.with_name(f"{config.out.stem}_bars.csv"), [{**bar.row(), **about} for bar in bars])
    print(describe(rows))
    print_bars(bars, [SETTING])
    plot = config.out.with_suffix(".png")
    draw_ranking(plot, "Time of each stage beside the least that it can take", ranking(rows), legend="")
    print(f"{config.out}, {plot}")


@contextmanager
def _trainer(config: PipelineBenchmark, size: int) -> Iterator[_TimedTrainer]:
    """A trainer on the synthetic people of a size, whose run and cache are forgotten afterwards."""
    data = config.captures / str(size)
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(
            TrainConfig.preset(config.preset), data=data, image_size=size, steps=config.steps + _WARM + 2,
            out=Path(folder), cache=Path(folder) / "cache", validate_every=10**6, checkpoint_every=10**6,
        )  # fmt: skip
        body = load_body_for(data)
        captures = open_captures(data, size, body)
        sources = frame_sources(captures.train, settings.clip.input_views, make_backbone(settings.backbone), body,
                                settings.cache)  # fmt: skip
        compute_missing(sources)
        yield _TimedTrainer(settings, Accelerator(cpu=True), sources, [], captures.shared_subjects, load_lpips())


class _TimedTrainer(Trainer):
    """Notes when each step ends: its time is from the end of the one before."""

    def train_step(self, step: int, items: Iterator[LoadedClip], bar: tqdm) -> StepRecord | None:
        """As in training."""
        record = super().train_step(step, items, bar)
        self.ends = [*getattr(self, "ends", ()), time.perf_counter()]
        return record


def _measure_stages(part: str, stages: Sequence[Stage], trainer: Trainer, repeats: int, rates: Rates) -> list[Row]:
    """Time stages by turns."""
    source = trainer.train_sources[0]
    works = {(stage.name, "forward"): stage.forward for stage in stages}
    works |= {(stage.name, "backward"): stage.backward for stage in stages if stage.backward}
    found = interleaved({" ".join(key): work for key, work in works.items()}, repeats)
    rows = [
        Row(
            part, stage.name, source.capture.size()[1], len(source.load(0)),
            found[f"{stage.name} forward"], found.get(f"{stage.name} backward"),
            stage.needs.bytes / 1e6, stage.needs.flops / 1e9, rates.floor_ms(stage.needs),
            rates.floor_ms(stage.backward_needs) if stage.backward_needs else None,
        )
        for stage in stages
    ]  # fmt: skip
    if rows[-1].stage == WHOLE_AVATAR:
        rows[-1] = replace(rows[-1], floor_ms=sum(row.floor_ms for row in rows[:-1]))
    return rows


def _measure_steps(trainer: _TimedTrainer, stages: Sequence[Row]) -> Row:
    """Train as the command does, with clips loaded on a thread; the floor is the sum of the stages'."""
    trainer.run()
    times = [1e3 * (end - begin) for begin, end in pairwise(trainer.ends)][_WARM:-1]  # the last one writes a checkpoint
    back = sum(row.backward_floor_ms or 0 for row in stages)
    total = sum(row.floor_ms for row in stages) + back
    needs = (sum(row.megabytes for row in stages), sum(row.gflops for row in stages))
    return replace(
        stages[0], stage=WHOLE_CLIP, forward=Spread.of(times), megabytes=needs[0], gflops=needs[1], floor_ms=total
    )


if __name__ == "__main__":
    run_command(PipelineBenchmark, main)
