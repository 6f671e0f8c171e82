"""What an evaluation found, and the files that it leaves."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.evaluation.drawn_views import DrawnViews
from hgg_pyg.evaluation.lpips import BACKBONE_FILES, NETWORKS, Network
from hgg_pyg.evaluation.metrics import CONVENTION, REGIONS
from hgg_pyg.evaluation.reporting.gallery import Gallery, Shot
from hgg_pyg.evaluation.reporting.page import Page, page
from hgg_pyg.evaluation.reporting.sheet import Comparison, save_sheet
from hgg_pyg.evaluation.reporting.tables import MAIN_METRICS, NONE, TITLES, Table, score_cell, task_tables
from hgg_pyg.evaluation.scores import (
    METRICS,
    ImageScore,
    Score,
    by_subject,
    grouped,
    mean_score,
    means_of,
    spreads,
    summarise,
)
from hgg_pyg.io.files import write_atomically, write_text

TASKS = ("novel view", "novel pose")
AS_ESTIMATED, MENDED = "novel pose as estimated", "novel pose mended"  # the same images, other poses
ALL_TASKS = (*TASKS, AS_ESTIMATED, MENDED)
DIRECT, OURS = "direct binding", "ours"
TASK_TEXT = {
    "novel view": "cameras that were not input, in the frames that were",
    "novel pose": "all cameras, in the last quarter of the frames, none of which was input",
    AS_ESTIMATED: "the images of novel pose, in the poses as estimated, with the noise",
    MENDED: "the images of novel pose, in the poses as estimated, mended by a fit of the pose alone to images of the "
    "frame's input cameras, by each method's own avatar: never to the scored image, to the others instead",
}


@dataclass(frozen=True)
class Timing:
    """How fast a method is; medians over subjects."""

    method: str
    seconds_per_avatar: float  # decoding images, per-frame network, graph, network
    frames_per_second: float  # posing and rendering, one view at a time


@dataclass(frozen=True)
class Report:
    """What an evaluation found."""

    images: tuple[ImageScore, ...]
    methods: tuple[str, ...]  # direct binding, ours, others
    timings: tuple[Timing, ...]  # of the methods that were rendered here
    gallery: Gallery
    seen_in_training: bool
    region: str  # of the images that is compared
    device: str
    lpips: tuple[Network, ...] = ()  # that were computed
    notes: tuple[str, ...] = ()  # what is missing, and why
    drawn: tuple[DrawnViews, ...] = ()  # what a front drew, beside the truth
    texts: Mapping[str, str] = field(default_factory=lambda: {task: TASK_TEXT[task] for task in TASKS})  # of the tasks

    @property
    def scores(self) -> tuple[Score, ...]:
        """Means over the images of each subject, task and method."""
        return by_subject(self.images)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those that have images."""
        there = {score.task for score in self.images}
        return tuple(task for task in ALL_TASKS if task in there)

    def mean(self, task: str, method: str, metric: str) -> float:
        """A metric's mean over subjects; NaN where the task has no images."""
        return mean_score(self.scores, task, method, metric)

    def table(self, regions: bool = False) -> str:
        """The summary for a screen.

        Args:
            regions: with the mask's and the box's columns.
        """
        blocks = [table.text() for table in task_tables(self.scores, self.tasks, self.methods, _metrics(regions))]
        if not blocks:
            blocks = ["nothing was compared"]
        blocks.append(self.timing_table().text())
        return "\n\n".join([*blocks, "\n".join(self.remarks())])

    def timing_table(self) -> Table:
        """Seconds to an avatar and frames per second."""
        rows = [(t.method, f"{t.seconds_per_avatar:.2f} s", f"{t.frames_per_second:.0f}") for t in self.timings]
        title = f"time on {self.device}, medians over subjects"
        return Table(title, ("", "images to avatar", "frames per second"), tuple(rows))

    def summary_table(self, regions: bool = False) -> Table:
        """All tasks side by side, as the paper's Table 1: mean ± standard deviation over subjects."""
        metrics, scores = _metrics(regions), self.scores
        timings = {timing.method: timing for timing in self.timings}
        rows = []
        for method in self.methods:
            cells = [score_cell(scores, task, method, metric) for task in self.tasks for metric in metrics]
            timing = timings.get(method)
            speed = (
                (f"{timing.seconds_per_avatar:.2f} s", f"{timing.frames_per_second:.0f}") if timing else (NONE, NONE)
            )
            rows.append((method, *cells, *speed))
        titles = [f"{task}: {TITLES[metric]}" for task in self.tasks for metric in metrics]
        return Table("", ("method", *titles, "images to avatar", "frames per second"), tuple(rows))

    def subject_table(self, task: str, metrics: Sequence[str] = ("psnr", "ssim")) -> Table:
        """Every subject's means in one task."""
        found = {(score.subject, score.method): score for score in self.scores if score.task == task}
        subjects = list(dict.fromkeys(subject for subject, _ in found))
        rows = []
        for subject in subjects:
            own = [score for (name, _), score in found.items() if name == subject]
            cells = [score_cell(own, task, method, metric) for metric in metrics for method in self.methods]
            rows.append((subject, *cells, str(max(score.images for score in own))))
        titles = [f"{TITLES[metric]} {method}" for metric in metrics for method in self.methods]
        return Table(task, ("subject", *titles, "images"), tuple(rows))

    def remarks(self) -> list[str]:
        """What a reader of the numbers must know, one line each."""
        subjects = len({score.subject for score in self.images})
        lines = [f"{subjects} test subjects, {self.region}; ± is the standard deviation over subjects"]
        if self.seen_in_training:
            lines.append(
                "the test subjects were seen in training (too few subjects to part); their novel poses were not"
            )
        missing: list[Network] = [network for network in NETWORKS if network not in self.lpips]
        if missing:
            files = " and ".join(f"{BACKBONE_FILES[network]} for {NETWORKS[network]}" for network in missing)
            lines.append(f"LPIPS needs {files}: python -m hgg_pyg.weights lpips")
        return [*lines, *self.notes]

    def save(self, folder: Path, run: Path | None = None, regions: bool = False) -> None:
        """Write `metrics.json`, `scores.csv`, `table.md`, `sheet.png` and `report.html`.

        Args:
            folder: where to.
            run: the run's folder, for its curves and what `inspect` left; `folder` when none is given.
            regions: with the mask's and the box's columns in the tables.
        """
        content = json.dumps(self._content(), indent=2, allow_nan=False)
        write_text(folder / "metrics.json", content)
        write_atomically(folder / "scores.csv", self._write_csv)
        write_text(folder / "table.md", self.markdown(regions))
        if self.gallery.shown and self.images:
            left, right = ([_comparison(shot, self.methods) for shot in self.gallery.typical(task)] for task in TASKS)
            save_sheet(folder / "sheet.png", left, right, titles=TASKS, columns=("ground truth", *self.methods))
        write_text(folder / "report.html", page(self._page(run or folder, regions)))

    def markdown(self, regions: bool = False) -> str:
        """The summary as a document."""
        notes = [*self.remarks(), *self._definitions()]
        return "\n".join([self.summary_table(regions).markdown(), "", *(f"- {note}" for note in notes), ""])

    def _definitions(self) -> list[str]:
        lines = [f"{task}: {self.texts[task]}" for task in self.tasks]
        lines.append(CONVENTION)
        lines += [f"region {name}: {text}" for name, text in REGIONS.items()]
        lines.append("LPIPS: version 0.1, whole image at its own size, scaled to [-1, 1]; no other network stands in")
        lines.append("images to avatar: decoding, per-frame network on all T frames (one for direct binding), graph, "
                     "network; frames per second: posing and rendering, one view at a time")  # fmt: skip
        return lines

    def _content(self) -> dict[str, object]:
        scores, main = self.scores, next((timing for timing in self.timings if timing.method == OURS), None)
        return {
            "summary": summarise(scores, ALL_TASKS, self.methods),
            "spread": spreads(scores, ALL_TASKS, self.methods),
            "spread_is": "standard deviation over subjects, n - 1",
            "seconds_per_avatar": main and main.seconds_per_avatar,
            "frames_per_second": main and main.frames_per_second,
            "timings": [asdict(timing) for timing in self.timings],
            "lpips": ", ".join(
                f"{title} {'computed' if network in self.lpips else 'not computed'}"
                for network, title in NETWORKS.items()
            ),
            "convention": CONVENTION,
            "regions": REGIONS,
            "region": self.region,
            "tasks": dict(self.texts),
            "notes": list(self.notes),
            "test_subjects_seen_in_training": self.seen_in_training,
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "device": self.device,
            "scores": [asdict(score) for score in scores],
            "by_view": self._means_by("camera"),
            "by_frame": self._means_by("frame"),
        }

    def _means_by(self, name: str) -> list[dict[str, object]]:
        """Means over the images of each subject that share a camera, or a frame."""
        names = ("subject", "task", "method", name)
        return [
            {**dict(zip(names, key, strict=True)), **asdict(means_of(group)), "images": len(group)}
            for key, group in grouped(self.images, *names).items()
        ]

    def _write_csv(self, path: Path) -> None:
        names = [f.name for f in fields(ImageScore) if f.name not in METRICS] + list(METRICS)
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            for line in (f"{self.region}; {CONVENTION}", *(f"{name}: {text}" for name, text in REGIONS.items())):
                file.write(f"# {line}\n")
            writer = csv.writer(file)
            writer.writerow(names)
            for score in self.images:
                cells = [getattr(score, name) for name in names]
                writer.writerow([format(cell, ".7g") if isinstance(cell, float) else cell for cell in cells])

    def _page(self, run: Path, regions: bool) -> Page:
        return Page(
            run=run,
            images=self.images,
            methods=self.methods,
            tasks=self.tasks,
            gallery=self.gallery,
            summary=self.summary_table(regions),
            gains=tuple(task_tables(self.scores, self.tasks, self.methods, _metrics(regions))),
            subjects=tuple(self.subject_table(task) for task in self.tasks),
            remarks=tuple(self.remarks()),
            definitions=tuple(self._definitions()),
            drawn=self.drawn,
        )


def _metrics(regions: bool) -> tuple[str, ...]:
    return METRICS if regions else MAIN_METRICS


def _comparison(shot: Shot, methods: Sequence[str]) -> Comparison:
    label = f"{shot.subject}, frame {shot.frame}, {shot.camera}: "
    pairs = zip(methods, shot.psnr, strict=True)
    label += " / ".join(f"{method} {value:.1f} dB" for method, value in pairs if value is not None)
    empty = np.full_like(shot.truth, 230)
    images = (shot.truth, *(empty if image is None else image for image in shot.rendered))
    return Comparison(label, tuple(image.astype(np.float32) / 255 for image in images))
