"""Novel views and novel poses of test subjects, ours beside direct binding, scored by one convention."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from graphs import GraphSpec
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clips import Target, clip_graph, even_frames, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.files import write_atomically
from hgg_pyg.metrics import CONVENTION, image_scores
from hgg_pyg.model import Avatar, HumanGaussianGraph
from hgg_pyg.pictures import COLUMNS, Comparison, save_sheet
from hgg_pyg.render import render
from hgg_pyg.scores import Score, mean_score, score_table, summarise

TASKS = ("novel view", "novel pose")
METHODS = COLUMNS[1:]


@dataclass(frozen=True)
class Report:
    """What an evaluation found."""

    scores: tuple[Score, ...]
    seconds_per_avatar: float  # images to avatar: per-frame Gaussians, graph and network
    frames_per_second: float  # posing and drawing one view
    comparisons: tuple[tuple[Comparison, ...], tuple[Comparison, ...]]  # by task
    seen_in_training: bool
    region: str  # of the images that is compared

    def mean(self, task: str, method: str, metric: str) -> float:
        """A metric's mean over subjects; NaN where the task has no images."""
        return mean_score(self.scores, task, method, metric)

    def table(self) -> str:
        """The summary for a screen."""
        lines = [score_table(self.scores, TASKS, METHODS)]
        subjects = len({score.subject for score in self.scores})
        lines.append(f"{subjects} test subjects; {self.seconds_per_avatar:.2f} s from images to avatar; ")
        lines[-1] += f"{self.frames_per_second:.0f} views a second, posing included"
        if self.seen_in_training:
            lines.append(
                "the test subjects were seen in training (too few subjects to part); their novel poses were not"
            )
        return "\n".join(lines)

    def save(self, folder: Path) -> None:
        """Write `metrics.json`, all numbers with how they were computed, and `sheet.png`."""
        content = {
            "summary": summarise(self.scores, TASKS, METHODS),
            "seconds_per_avatar": self.seconds_per_avatar,
            "frames_per_second": self.frames_per_second,
            "lpips": "not computed",
            "convention": CONVENTION,
            "region": self.region,
            "test_subjects_seen_in_training": self.seen_in_training,
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "scores": [asdict(score) for score in self.scores],
        }
        write_atomically(folder / "metrics.json", lambda path: path.write_text(json.dumps(content, indent=2)))
        if any(self.comparisons):
            save_sheet(folder / "sheet.png", *self.comparisons, titles=TASKS)


def input_range(capture: Capture) -> int:
    """Frames before this one may be input; those from it on, the last quarter, are the novel poses."""
    count = len(capture.frames)
    return max(1, count - max(1, count // 4))


def targets_of(task: str, source: FrameSource, inputs: Sequence[int], limit: int | None) -> list[Target]:
    """What a task compares: held-out cameras of the input frames, or every camera of the frames after them."""
    cameras, count = range(len(source.capture.cameras)), len(source.capture.frames)
    if task == "novel view":
        pairs = [(frame, camera) for frame in inputs for camera in cameras if camera not in source.cameras]
    else:
        pairs = [(frame, camera) for frame in range(input_range(source.capture), count) for camera in cameras]
    pairs = [pairs[i] for i in even_frames(0, len(pairs), limit or len(pairs))] if pairs else []
    by_frame = {frame: tuple(c for f, c in pairs if f == frame) for frame, _ in pairs}
    return [Target(frame, chosen) for frame, chosen in by_frame.items()]


@torch.no_grad()
def evaluate(
    model: HumanGaussianGraph,
    sources: Sequence[FrameSource],
    spec: GraphSpec,
    frames: int,
    limit: int | None = None,
    seen_in_training: bool = False,
) -> Report:
    """Score a model and direct binding on the same Gaussians, cameras and images.

    Args:
        model: on any device.
        sources: test captures, one body for all.
        spec: the graph that the model was trained on.
        frames: T.
        limit: images a subject and task at most.
        seen_in_training: what to say of the subjects.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    model.eval()
    baseline = HumanGaussianGraph(replace(model.config, variant="baseline"))
    body = deepcopy(sources[0].body).to(device)
    scores: list[Score] = []
    comparisons: dict[str, list[Comparison]] = {task: [] for task in TASKS}
    build_seconds: list[float] = []
    draw_seconds: list[float] = []
    for source in tqdm(sources, desc="evaluating", unit="subject", leave=False):
        inputs = even_frames(0, input_range(source.capture), frames)
        begin = time.perf_counter()
        poses = source.capture.poses[list(inputs)]
        predicted = [source.predict(frame) for frame in inputs]
        graph = clip_graph(predicted, source.body.pose(poses), source.body.faces, poses.betas, spec).to(str(device))
        avatars = (baseline.avatar(graph), model.avatar(graph))
        build_seconds.append(time.perf_counter() - begin)
        for task in TASKS:
            views = [
                view
                for target in targets_of(task, source, inputs, limit)
                for view in _compare(avatars, body, source.capture, target, draw_seconds)
            ]
            for i, method in enumerate(METHODS if views else ()):
                psnr, ssim = (float(np.mean([view.scores[i][m] for view in views])) for m in (0, 1))
                scores.append(Score(source.capture.name, task, method, psnr, ssim, len(views)))
            comparisons[task] += [views[i].comparison for i in even_frames(0, len(views), 2)] if views else []
    return Report(
        scores=tuple(scores),
        seconds_per_avatar=float(np.median(build_seconds)),
        frames_per_second=1 / float(np.median(draw_seconds)),
        comparisons=(tuple(comparisons[TASKS[0]]), tuple(comparisons[TASKS[1]])),
        seen_in_training=seen_in_training,
        region=_region(sources[0].capture),
    )


def _region(capture: Capture) -> str:
    width, height = capture.size()
    shown = "the whole image" if capture.windows is None else "a square around the person"
    return f"{width}x{height} pixels, {shown}"


@dataclass(frozen=True)
class _View:
    """One test image and what each method made of it."""

    scores: tuple[tuple[float, float], ...]  # (PSNR, SSIM) by method
    comparison: Comparison


def _compare(
    avatars: Sequence[Avatar], body: BodyModel, capture: Capture, target: Target, seconds: list[float]
) -> list[_View]:
    """Draw each avatar in a target's pose and score it; the seconds a view are appended to `seconds`."""
    cameras, truth, _ = load_target(capture, target)
    device = body.weights.device
    pose, cameras, images = capture.poses[[target.frame]].to(device), cameras.to(device), [truth]
    for avatar in avatars:
        begin = time.perf_counter()
        images.append(render(avatar.repose(body, pose)[0], cameras).rgb.clamp(0, 1).cpu())
        seconds.append((time.perf_counter() - begin) / len(cameras))
    scored = [image_scores(drawn, truth) for drawn in images[1:]]
    views = []
    for i, camera in enumerate(target.cameras):
        scores = tuple((s.psnr[i].item(), s.ssim[i].item()) for s in scored)
        label = f"{capture.name}, frame {capture.frames[target.frame]}, {capture.camera_names[camera]}: "
        label += " / ".join(f"{method} {value:.1f} dB" for method, (value, _) in zip(METHODS, scores, strict=True))
        truth_, direct, ours = (image[i].numpy() for image in images)
        views.append(_View(scores, Comparison(label, (truth_, direct, ours))))
    return views
