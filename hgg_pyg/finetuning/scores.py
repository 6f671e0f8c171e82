"""How well a per-frame network renders people it has not seen, beside the mean image of those it has."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from hgg_pyg.backbones.lgm.network import LGM
from hgg_pyg.data.clips import even_frames
from hgg_pyg.evaluation.metrics import CONVENTION, REGIONS, image_scores
from hgg_pyg.evaluation.reporting.sheet import Comparison, save_sheet
from hgg_pyg.evaluation.reporting.tables import task_tables
from hgg_pyg.evaluation.scores import Score, summarise
from hgg_pyg.finetuning.tuner import CameraSplit, ViewLoader, render_views
from hgg_pyg.io.files import write_text

TASKS = ("held-out cameras", "input cameras")
METHODS = ("mean image", "LGM")
_MEAN_FRAMES = 4  # of each training subject, for the mean image
_SHOWN = 6  # rows of the sheet


@dataclass(frozen=True)
class LGMReport:
    """What was found on test subjects."""

    scores: tuple[Score, ...]
    comparisons: tuple[tuple[Comparison, ...], tuple[Comparison, ...]]  # by task

    def table(self) -> str:
        """The summary for a screen."""
        return "\n\n".join(table.text() for table in task_tables(self.scores, TASKS, METHODS, ("psnr", "ssim")))

    def save(self, folder: Path) -> None:
        """Write `metrics.json` and `sheet.png`."""
        content = {
            "summary": summarise(self.scores, TASKS, METHODS),
            "convention": f"{CONVENTION}; {REGIONS['image']}",
            "region": "a square around the person",
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "scores": [asdict(score) for score in self.scores],
        }
        write_text(folder / "metrics.json", json.dumps(content, indent=2))
        columns = ("ground truth", *METHODS)
        save_sheet(folder / "sheet.png", *self.comparisons, titles=TASKS, columns=columns)


@torch.no_grad()
def score_lgm(network: LGM, loader: ViewLoader, train: Sequence[CameraSplit], test: Sequence[CameraSplit]) -> LGMReport:
    """Render test subjects' frames from cameras that were not input, and from those that were.

    Args:
        network: on any device; it is left in evaluation mode.
        loader: reads frames.
        train: whose images the mean image is made of, by task.
        test: who is scored, `loader.config.test_frames` frames each; every frame shows the person.
    """
    device = next(network.parameters()).device
    network.eval()
    means = {task: _mean_image(loader, train, task) for task in TASKS}
    scores: list[Score] = []
    comparisons: dict[str, list[Comparison]] = {task: [] for task in TASKS}
    seen = even_frames(0, len(test), _SHOWN)
    for number, subject in enumerate(tqdm(test, desc="evaluating", unit="subject", leave=False)):
        frames = even_frames(0, len(subject.capture.frames), loader.config.test_frames)
        for task in TASKS:
            found: list[tuple[Tensor, Tensor]] = []
            for frame in frames:
                views = loader.read(subject, frame, _cameras(subject, task))
                assert views is not None, "expected test subjects without frames that show nobody"
                _, rendered = render_views(network, views, device)
                found.append((views.rgb[0], rendered.rgb[0].clamp(0, 1).cpu()))
            truth, ours = (torch.cat(images) for images in zip(*found, strict=True))
            mean = means[task].expand_as(truth)
            results = [image_scores(images, truth) for images in (mean, ours)]
            for method, result in zip(METHODS, results, strict=True):
                psnr, ssim = float(result.psnr.mean()), float(result.ssim.mean())
                about = {"subject": subject.capture.name, "task": task, "method": method, "images": len(truth)}
                scores.append(Score(**about, psnr=psnr, ssim=ssim))
            for i in even_frames(0, len(truth), max(1, _SHOWN // len(test)) if number in seen else 0):
                label = f"{subject.capture.name}: "
                label += " / ".join(f"{m} {float(r.psnr[i]):.1f} dB" for m, r in zip(METHODS, results, strict=True))
                shown = tuple(images[i].numpy().copy() for images in (truth, mean, ours))
                comparisons[task].append(Comparison(label, shown))
    return LGMReport(tuple(scores), (tuple(comparisons[TASKS[0]]), tuple(comparisons[TASKS[1]])))


def _cameras(subject: CameraSplit, task: str) -> tuple[int, ...]:
    return subject.others if task == TASKS[0] else subject.inputs


def _mean_image(loader: ViewLoader, subjects: Sequence[CameraSplit], task: str) -> Tensor:
    """Of training subjects, from the cameras of a task; white where none of the frames shows anybody. [h, h, 3]"""
    side = loader.config.target_size
    total, count = torch.zeros(side, side, 3, dtype=torch.float64), 0
    for subject in subjects:
        for frame in even_frames(0, len(subject.capture.frames), _MEAN_FRAMES):
            view = loader.read(subject, frame, _cameras(subject, task))
            if view is not None:
                total += view.rgb[0].mean(0)
                count += 1
    return (total / count).float() if count else torch.ones(side, side, 3)
