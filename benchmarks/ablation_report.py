"""What came out of the runs of `benchmarks.ablation`: a table a study, the same in Markdown, and a plot."""

from __future__ import annotations

import csv
import itertools
import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.ablation_runs import MACHINE_FILE, Split, metrics_file
from benchmarks.ablation_settings import DEFAULT, Setting
from benchmarks.ablation_studies import Study
from benchmarks.ablation_times import ClipTime
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS, TASKS
from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.training.run import MODEL_FOLDER, TrainConfig
from hgg_pyg.types import UserError

_HEADERS = ("seeds", "novel pose PSNR, dB", "gain over direct binding, dB", "time of training", "parameters")
_PAPERS = "the paper's gain, dB"
_PLAIN, _MARKED = "#2f5f8f", "#e08a3c"
_COLUMNS = 4  # of panels


@dataclass(frozen=True)
class Scored:
    """Means over subjects of one task."""

    psnr: float  # dB
    ssim: float
    direct_psnr: float  # of direct binding, dB
    direct_ssim: float


@dataclass(frozen=True)
class SubjectScore:
    """Novel poses of one subject, dB."""

    subject: str
    psnr: float
    direct_psnr: float  # of direct binding


@dataclass(frozen=True)
class Outcome:
    """What is known of one finished run."""

    run: TrainConfig
    view: Scored | None  # None where captures have no held-out cameras
    pose: Scored
    subjects: tuple[SubjectScore, ...]
    seconds: float | None  # of training, one core; None where a run has too few steps to tell
    parameters: int
    machine: dict[str, str]  # columns of the table


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds; one seed has none."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def text(self, form: str) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.2f}"
        return f"{self.mean:{form}}{spread}"


@dataclass(frozen=True)
class Line:
    """A setting with the runs of it that are finished."""

    setting: Setting
    outcomes: tuple[Outcome, ...]
    time: float | None  # of training, in units of the default setting's; None where it was not measured

    @property
    def psnr(self) -> tuple[float, ...]:
        """Of novel poses, dB, by seed."""
        return tuple(o.pose.psnr if self.setting.trained else o.pose.direct_psnr for o in self.outcomes)

    @property
    def gain(self) -> tuple[float, ...]:
        """Over direct binding on novel poses, dB, by seed."""
        return tuple(psnr - o.pose.direct_psnr for psnr, o in zip(self.psnr, self.outcomes, strict=True))


@dataclass(frozen=True)
class Table:
    """A study with what its settings gave; settings without a finished run are left out."""

    study: Study
    lines: tuple[Line, ...]

    @property
    def trained_lines(self) -> tuple[Line, ...]:
        """All but the baseline."""
        return tuple(line for line in self.lines if line.setting.trained)

    @property
    def compares(self) -> bool:
        """Whether there is more than the default setting, which other studies have too."""
        return any(not line.setting.default for line in self.trained_lines)

    def cells(self) -> list[list[str]]:
        """Texts by line and column, the headers first; the paper's numbers where it has any."""
        papers = any(line.setting.papers_gain is not None for line in self.lines)
        rows = [[self.study.across, *_HEADERS, _PAPERS], *(self._cells(line) for line in self.lines)]
        return rows if papers else [row[:-1] for row in rows]

    def _cells(self, line: Line) -> list[str]:
        setting, first = line.setting, line.outcomes[0]
        return [
            " ".join(setting.label.split()) + (" (default)" if setting.default and setting.label != DEFAULT else ""),
            str(len(line.outcomes)),
            Spread.of(line.psnr).text(".2f"),
            Spread.of(line.gain).text("+.2f") if setting.trained else "0",
            "-" if line.time is None else f"{line.time:.2f}x",
            f"{first.parameters:,}" if setting.trained else "0",
            "-" if setting.papers_gain is None else f"{setting.papers_gain:+.2f}" if setting.trained else "0",
        ]


def read_outcome(run: TrainConfig, split: Split) -> Outcome:
    """What a finished run left in its folder.

    Raises:
        UserError: `metrics.json` is not one of this program, or has no novel poses.
    """
    path = metrics_file(run, split)
    try:
        content = read_json_object(path, "the scores of an evaluation")
        view, pose = (_scored(content["summary"].get(task)) for task in TASKS)
        subjects = _subjects(content["scores"]) if pose is not None else ()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: expected the scores of an evaluation ({type(error).__name__}: {error})") from None
    if pose is None:
        raise UserError(f"{path}: expected scores of novel poses, found none")
    with safe_open(run.folder / MODEL_FOLDER / "model.safetensors", "pt") as weights:
        parameters = sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    machine = run.folder / MACHINE_FILE
    about = next(csv.DictReader(machine.read_text().splitlines()), {}) if machine.is_file() else {}
    return Outcome(run, view, pose, subjects, training_seconds(run), parameters, about)


def training_seconds(run: TrainConfig) -> float | None:
    """The median time between two steps, times their number: without what a run does but training, and without pauses.

    None where no two steps followed one another.
    """
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    if "train/loss" not in events.Tags()["scalars"]:
        return None
    steps = events.Scalars("train/loss")
    took = [b.wall_time - a.wall_time for a, b in itertools.pairwise(steps) if b.step == a.step + 1]
    return statistics.median(took) * run.steps if took else None


def make_table(study: Study, outcomes: Sequence[Outcome], times: Mapping[str, ClipTime]) -> Table:
    """Put the outcomes, and times by setting, of any settings, where they belong."""
    found = {o.run.name: o for o in outcomes}
    seeds = sorted({o.run.seed for o in outcomes})
    lines = []
    for setting in study.settings:
        chosen = tuple(found[name] for seed in seeds if (name := setting.run(seed).name) in found)
        time = times.get(setting.name) if setting.trained else None
        if chosen:
            lines.append(Line(setting, chosen, None if time is None else time.ratio))
    return Table(study, tuple(lines))


def table_rows(tables: Sequence[Table], split: Split, subjects: tuple[int, int]) -> list[dict[str, object]]:
    """Rows of the CSV file, one per study, setting and seed; subjects are those trained on and those scored."""
    return [
        _row(table.study, line, outcome, split, subjects)
        for table in tables
        for line in table.lines
        for outcome in line.outcomes
    ]


def subject_rows(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Rows of the CSV file beside it, one per run and subject: a gain on average may be a loss on some."""
    return [
        {
            "run": outcome.run.name,
            "seed": outcome.run.seed,
            "subject": score.subject,
            "novel_pose_psnr": score.psnr,
            "novel_pose_direct_psnr": score.direct_psnr,
            "novel_pose_gain_db": score.psnr - score.direct_psnr,
        }
        for outcome in outcomes
        for score in outcome.subjects
    ]


def as_text(table: Table) -> str:
    """A table for a screen."""
    rows = table.cells()
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join(["", table.study.title, *lines])


def as_markdown(tables: Sequence[Table], about: str) -> str:
    """A file with all tables."""
    parts = ["# What each part of the network gains", about]
    for table in tables:
        head, *lines = table.cells()
        rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
        parts.append(f"## {table.study.title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


def draw(path: Path, tables: Sequence[Table], title: str) -> None:
    """Write a PNG of a panel a study on one scale: the gain's mean and deviation, and every seed as a dot."""
    columns = min(_COLUMNS, len(tables))
    rows = -(-len(tables) // columns)
    figure = Figure(figsize=(max(3.6 * columns, 7), 3.3 * rows + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    gains = [gain for table in tables for line in table.trained_lines for gain in line.gain]
    room = 0.1 * (max(gains) - min(gains)) or 0.1
    for index, table in enumerate(tables):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw(axes, table)
        axes.set_ylim(min(gains) - room, max(gains) + room)
        if index % columns == 0:
            axes.set_ylabel("gain over direct binding, dB", fontsize=9)
    several = any(len(line.outcomes) > 1 for table in tables for line in table.lines)
    what = "mean ± standard deviation over seeds" if several else "one seed"
    handles = [
        Line2D([], [], color=_PLAIN, marker="o", linestyle="-" if several else "none", label=what),
        Line2D([], [], color=_MARKED, marker="o", linestyle="-" if several else "none", label="the default setting"),
    ]
    if several:
        handles.append(Line2D([], [], color="0.45", marker=".", linestyle="none", label="one seed"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9, frameon=False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))


def _draw(axes: Any, table: Table) -> None:
    lines = table.trained_lines
    for x, line in enumerate(lines):
        spread, color = Spread.of(line.gain), _MARKED if line.setting.default else _PLAIN
        axes.errorbar(x, spread.mean, spread.deviation, fmt="o", color=color, capsize=4, markersize=6, linewidth=1.4)
        if len(line.gain) > 1:
            axes.plot([x + 0.18] * len(line.gain), line.gain, ".", color="0.45", markersize=5)
    axes.set_xticks(range(len(lines)), [line.setting.label for line in lines], fontsize=8)
    axes.set_xlim(-0.5, len(lines) - 0.5)
    axes.set_xlabel(table.study.across, fontsize=9)
    axes.set_title(table.study.title, fontsize=10)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3)


def _row(study: Study, line: Line, outcome: Outcome, split: Split, subjects: tuple[int, int]) -> dict[str, object]:
    run, setting, trained = outcome.run, line.setting, line.setting.trained
    row: dict[str, object] = {
        "study": study.name,
        "setting": " ".join(setting.label.split()),
        "default": setting.default,
        "seed": run.seed,
        "run": run.name,
        "split": split,
        "train_subjects": subjects[0],
        "scored_subjects": subjects[1],
        "steps": run.steps if trained else None,
        "clips_per_step": run.accumulation if trained else None,
        "lr": run.lr if trained else None,
        "image_size": run.image_size,
        "conv": run.model.conv,
        "backend": run.model.backend,
        "hidden_channels": run.model.hidden_channels,
        "heads": run.model.heads,
        "num_layers": run.model.num_layers,
        "num_tokens": run.model.num_tokens,
        "relations": " ".join(run.graph.relations),
        "k": run.graph.k,
        "hops": run.graph.hops,
        "readout_k": run.graph.readout_k,
        "frames": run.clip.frames,
        "shift": run.model.shift,
        "feedback": run.model.feedback,
        "training_s": outcome.seconds if trained else None,
        "training_time_ratio": line.time,
        "parameters": outcome.parameters if trained else 0,
    }
    for name, scored in (("view", outcome.view), ("pose", outcome.pose)):
        if scored is None:
            continue
        psnr, ssim = (scored.psnr, scored.ssim) if trained else (scored.direct_psnr, scored.direct_ssim)
        row |= {
            f"novel_{name}_psnr": psnr,
            f"novel_{name}_ssim": ssim,
            f"novel_{name}_direct_psnr": scored.direct_psnr,
            f"novel_{name}_direct_ssim": scored.direct_ssim,
            f"novel_{name}_gain_db": psnr - scored.direct_psnr,
        }
    return row | outcome.machine


def _scored(summary: dict[str, dict[str, float]] | None) -> Scored | None:
    if summary is None:
        return None
    direct, ours = (summary[method] for method in (DIRECT, OURS))
    return Scored(float(ours["psnr"]), float(ours["ssim"]), float(direct["psnr"]), float(direct["ssim"]))


def _subjects(scores: Sequence[dict[str, Any]]) -> tuple[SubjectScore, ...]:
    by_method = {
        method: {s["subject"]: float(s["psnr"]) for s in scores if (s["task"], s["method"]) == (TASKS[1], method)}
        for method in (DIRECT, OURS)
    }
    return tuple(SubjectScore(name, psnr, by_method[DIRECT][name]) for name, psnr in by_method[OURS].items())
