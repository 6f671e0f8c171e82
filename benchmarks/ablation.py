"""`python -m benchmarks.ablation`: the paper's Table 2, what else of the network there is to choose, settings of yours.

Every run is an ordinary run of training; a run that is finished is not repeated, one that was stopped goes on. All
settings are scored on the same subjects. Decide between settings by `--split val`; the test subjects are for reporting.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import torch
import tyro

from benchmarks.ablation_report import (
    Outcome,
    as_markdown,
    as_text,
    draw,
    make_table,
    read_outcome,
    subject_rows,
    table_rows,
    training_seconds,
)
from benchmarks.ablation_runs import Split, is_finished, steps_done, train_all
from benchmarks.ablation_settings import Setting, read_settings
from benchmarks.ablation_studies import (
    STUDY_NAMES,
    Study,
    StudyName,
    different_runs,
    expected_seconds,
    make_study,
)
from benchmarks.ablation_times import measure_times, read_times
from benchmarks.timing import write_table
from hgg_pyg.backbones import make_backbone
from hgg_pyg.config import Bounds, ClipConfig, Processes, Repeats
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import CaptureSet, load_body_for, open_captures
from hgg_pyg.data.clips import input_range
from hgg_pyg.data.frames import FrameSource, check_views, compute_missing, frame_sources
from hgg_pyg.data.usable import some_usable
from hgg_pyg.io.files import try_folder, write_text
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.types import UserError

_RESULTS = Path("benchmarks/results/ablation.csv")
_CAPTURES = SynthesizeConfig(Path("captures/ablation"), subjects=48)  # 36 to train on, 8 to test on
_QUICK_CAPTURES = SynthesizeConfig(Path("captures/ablation_quick"), subjects=3, frames=8, views=6, size=48)


@dataclass(frozen=True)
class AblationBenchmark(TrainConfig):
    """What to compare, and all options of training: they are the default setting, which each setting changes."""

    data: Path | None = None
    """folder of captures; synthetic ones are made in captures/ablation when none is given: 36 subjects to train on, 8
    to test on"""
    study: tuple[StudyName | Literal["all"], ...] | None = None
    """studies to run, or all; components and layers are the paper's Table 2 (default: all, or only --settings)"""
    settings: tuple[str, ...] = ()
    """settings of yours, to compare with the default one: "LABEL: FIELD=VALUE FIELD=VALUE" each, for example
    "GATv2: model.conv=GATv2Conv"; FIELD is an option of training, the parts of a VALUE that is a list have commas"""
    seeds: Repeats = 3
    """runs per setting, with seeds from `seed` on"""
    split: Split = "test"
    """split whose scores are shown: val for choosing, test for reporting"""
    release_tokens: Annotated[int, Bounds(1, 10_000)] = 8
    """S of the read-out as released, and the largest S compared; with the release's 20 a run takes ten times as long
    and 5 GB of memory"""
    timed_clips: Annotated[int, Bounds(0, 10**6)] = 24
    """clips on which the settings' times of training are compared, measured in alternation; the times are kept in
    times.csv beside the runs; 0 measures none"""
    workers: Processes = field(default_factory=lambda: os.cpu_count() or 1)
    """runs side by side, each on one thread"""
    quick: bool = False
    """small captures and networks, few steps, one seed: takes minutes, and its scores mean nothing"""
    dry_run: bool = False
    """list the runs and the time they need, and stop"""
    table: Path | None = None
    """table to write, beside it scores by subject, Markdown and a plot; by default benchmarks/results/ablation.csv,
    or the runs' folder if quick"""
    name: str = "ablation"
    """folder of the runs, which are written to OUT/NAME/SETTING-SEED"""
    resume: tyro.conf.Suppress[bool] = True

    MAIN_OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "ablation": ("study", "settings", "seeds", "split", "workers", "timed-clips", "quick", "dry-run", "table"),
            **TrainConfig.MAIN_OPTIONS,
            "run": ("name", "steps", "lr", "seed", "precision"),
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.study == ():
            raise ValueError(f"study: expected all, or some of {', '.join(STUDY_NAMES)}, found none")
        if self.study and "settings" in self.study and not self.settings:
            raise ValueError("study: expected --settings for the study of that name, found none")
        read_settings(self.settings, self.base)

    def sized(self) -> AblationBenchmark:
        """What is run in the end, `quick` taken into account."""
        if not self.quick:
            return replace(self, table=self.table or _RESULTS, data=self.data or _CAPTURES.out)
        name = f"{self.name}_quick"
        return replace(
            self,
            quick=False,
            name=name,
            table=self.table or self.out / name / _RESULTS.name,
            seeds=1,
            steps=5,
            accumulation=2,
            release_tokens=2,
            timed_clips=4,
            model=replace(self.model, hidden_channels=16, heads=2),
            clip=ClipConfig(frames=4, input_views=4, target_views=4),
            data=self.data or _QUICK_CAPTURES.out,
        )

    @property
    def base(self) -> TrainConfig:
        """The default setting; runs differ in their names."""
        values = {f.name: getattr(self, f.name) for f in fields(TrainConfig)}
        return TrainConfig(**values | {"out": self.folder, "name": "default"})

    def studies(self, most_frames: int | None) -> dict[StudyName, Study]:
        """All studies; see `make_study`."""
        names: list[StudyName] = [name for name in STUDY_NAMES if name != "settings" or self.settings]
        return {name: make_study(name, self.base, self.release_tokens, most_frames, self.settings) for name in names}

    @property
    def chosen(self) -> tuple[StudyName, ...]:
        """The names of the studies that are asked for."""
        asked = self.study or (("settings",) if self.settings else ("all",))
        return tuple(
            name for name in STUDY_NAMES if name in asked or ("all" in asked and (name != "settings" or self.settings))
        )

    @property
    def all_seeds(self) -> range:
        """The seeds of every setting."""
        return range(self.seed, self.seed + self.seeds)


def main(config: AblationBenchmark) -> None:
    """Train what the studies need and is not there yet, and show what each setting gains over direct binding."""
    to_make = None if config.data is not None else _QUICK_CAPTURES if config.quick else _CAPTURES
    config = config.sized()
    load_body_for(None if to_make else config.captures, config.body)
    check_views(make_backbone(config.backbone), config.clip.input_views)
    if not config.dry_run:
        assert config.table is not None
        for folder, option in ((config.table.parent, "--table"), (config.out, "--out"), (config.cache, "--cache")):
            try_folder(folder, option)
    not_yet = to_make is not None and not (to_make.out / "splits.json").is_file()
    captures = None if config.dry_run and not_yet else _open(config, to_make)
    studies = config.studies(None if captures is None else _most_frames(captures))
    done = {r.name for r in different_runs(list(studies.values()), config.all_seeds) if is_finished(r, config.split)}
    runs = different_runs([studies[name] for name in config.chosen], config.all_seeds)
    missing = [run for run in runs if run.name not in done]
    print(_plan(config, runs, missing))
    if config.dry_run or captures is None:
        return
    sources = _training_sources(config, captures)
    if missing:
        compute_missing(sources)
    sources = some_usable(sources)
    try:
        failures = train_all(missing, config.split, config.workers)
        if not failures:
            measure_times(config.folder, _finished_settings(config, studies), sources, config.timed_clips)
    finally:
        _report(config, studies, captures)
    if failures:
        first, *others = failures
        more = f" (and {len(others)} more)" if others else ""
        raise UserError(f"{first}{more}; {config.folder}/logs says more, the same command goes on")


def _open(config: AblationBenchmark, to_make: SynthesizeConfig | None) -> CaptureSet:
    """The captures, made if need be.

    Raises:
        UserError: they cannot be trained on, or not be scored.
    """
    if to_make is not None:
        synthesize(to_make)
    body = load_body_for(config.captures, config.body)
    captures = open_captures(config.captures, config.image_size, body, config.crop, config.protocol)
    for split in ("train", config.split):
        if not getattr(captures, split):
            raise UserError(f"{config.captures}: expected subjects for {split}, found none")
    for capture in _scored(config, captures):
        if input_range(capture) == len(capture.frames):
            raise UserError(f"{capture.root}: expected at least 2 frames, one of them a novel pose, found 1")
    return captures


def _scored(config: AblationBenchmark, captures: CaptureSet) -> tuple[Capture, ...]:
    return captures.val if config.split == "val" else captures.test


def _most_frames(captures: CaptureSet) -> int:
    """The largest T that all captures have frames for, those of novel poses left out."""
    return min(input_range(capture) for capture in (*captures.train, *captures.val, *captures.test))


def _training_sources(config: AblationBenchmark, captures: CaptureSet) -> tuple[FrameSource, ...]:
    """What all runs read."""
    body = load_body_for(config.captures, config.body)
    backbone = make_backbone(config.backbone, "cuda" if torch.cuda.is_available() else "cpu")
    return frame_sources(captures.train, config.clip.input_views, backbone, body, config.cache)


def _finished_settings(config: AblationBenchmark, studies: Mapping[StudyName, Study]) -> list[Setting]:
    """Those of which some run is finished, and the default one."""
    settings = {setting.name: setting for study in studies.values() for setting in study.settings if setting.trained}
    return [
        setting
        for setting in settings.values()
        if setting.default or any(is_finished(setting.run(seed), config.split) for seed in config.all_seeds)
    ]


def _plan(config: AblationBenchmark, runs: Sequence[TrainConfig], missing: Sequence[TrainConfig]) -> str:
    """What there is to do and about how long it takes; each run, too, if that is all that is asked for."""
    to_do = {run.name for run in missing}
    known = [(took, expected_seconds(run)) for run in runs if run.name not in to_do and (took := training_seconds(run))]
    factor = statistics.median(took / guess for took, guess in known) if known else 1.0
    source = f"by {len(known)} finished runs" if known else "a guess, from another machine and the demo's captures"
    rest = {run.name: factor * expected_seconds(run) * (1 - steps_done(run) / run.steps) for run in missing}
    lines = []
    if config.dry_run:
        for run in runs:
            state = "finished"
            if run.name in to_do:
                done = steps_done(run)
                state = f"about {_duration(rest[run.name])}" + (f", from step {done} on" if done else "")
            lines.append(f"{run.name:36} {state}")
    total = _duration(sum(rest.values()) / min(config.workers, max(1, len(missing))))
    lines.append(
        f"{len(runs)} runs of {config.steps} steps, {len(runs) - len(missing)} of them finished; "
        + (f"about {total} with {config.workers} side by side ({source})" if missing else "nothing to train")
    )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"


def _report(config: AblationBenchmark, studies: Mapping[StudyName, Study], captures: CaptureSet) -> None:
    """Write and print all that is finished: of other studies too, where they were run with the same options before."""
    assert config.table is not None
    runs = different_runs(list(studies.values()), config.all_seeds)
    outcomes = [read_outcome(run, config.split) for run in runs if is_finished(run, config.split)]
    times = read_times(config.folder)
    tables = [make_table(study, outcomes, times) for study in studies.values()]
    tables = [t for t in tables if t.trained_lines and (t.study.name in config.chosen or t.compares)]
    if not tables:
        return
    about = _about(config, captures, outcomes)
    subjects = len(captures.train), len(_scored(config, captures))
    shown = {o.run.name: o for table in tables for line in table.lines for o in line.outcomes}
    markdown, plot = config.table.with_suffix(".md"), config.table.with_suffix(".png")
    by_subject = config.table.with_name(f"{config.table.stem}_subjects.csv")
    write_table(config.table, table_rows(tables, config.split, subjects))
    write_table(by_subject, subject_rows(list(shown.values())))
    write_text(markdown, as_markdown(tables, about))
    title = f"What each setting gains over direct binding on novel poses of {_count(subjects[1], config.split)}"
    effort = f"{_count(subjects[0], 'training')}, {_size(_scored(config, captures)[0])}, {_effort(config)}"
    draw(plot, tables, f"{title}\n({effort})")
    print("\n".join(as_text(table) for table in tables))
    print(f"\n{about}\n{config.table}, {by_subject.name}, {markdown.name}, {plot.name}")


def _about(config: AblationBenchmark, captures: CaptureSet, outcomes: Sequence[Outcome]) -> str:
    """How the numbers came about."""
    scored, first = _scored(config, captures), _scored(config, captures)[0]
    name = "synthetic" if (config.captures / "synthetic.json").is_file() else config.captures.resolve().name
    machines = {f"{o.machine['cpu']}, torch {o.machine['torch']}" for o in outcomes if o.machine}
    dates = sorted(o.machine["date"] for o in outcomes if o.machine)
    lines = [
        f"Captures: {name}, {len(first.frames)} frames, {len(first.cameras)} cameras, {_size(first)}; "
        f"{_count(len(captures.train), 'training')}, scores are of {_count(len(scored), config.split)}.",
        f"Training: {_effort(config)}, one thread per run. Mean ± standard deviation over seeds, which change the "
        "weights and the clips that are drawn, not the subjects. Times of training are medians over clips, each "
        "measured at all settings in turn on one thread, in units of the default setting's time of that clip.",
        f"Default: {config.model.num_layers} layers, conv {config.model.conv}, D = {config.model.hidden_channels}, S = "
        f"{config.model.num_tokens}, relations {', '.join(config.graph.relations)}, k = {config.graph.k}, hops "
        f"{config.graph.hops}, read-out k = {config.graph.readout_k}, T = {config.clip.frames}, {config.model.shift} "
        f"shift, feedback of {config.model.feedback} frames. "
        "The paper's gains are of other captures, MVHumanNet, and of its own training.",
    ]
    if captures.shared_subjects:
        lines.append("The subjects that are scored were seen in training: too few to part. Their novel poses were not.")
    if machines:
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        lines.append(f"Machine: {'; '.join(sorted(machines))}; {span}.")
    return "\n".join(lines)


def _count(subjects: int, split: str) -> str:
    return f"{subjects} {split} subject{'s' if subjects > 1 else ''}"


def _size(capture: Capture) -> str:
    width, height = capture.size()
    return f"{width}x{height} pixels"


def _effort(config: AblationBenchmark) -> str:
    clips = "1 clip" if config.accumulation == 1 else f"{config.accumulation} clips"
    return f"{config.steps} steps of {clips}"


if __name__ == "__main__":
    run_command(AblationBenchmark, main)
