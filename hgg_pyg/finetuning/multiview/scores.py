"""How near the views that a front draws of people it has not seen come to what cameras saw there."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from hgg_pyg.data.clips import even_frames
from hgg_pyg.evaluation.metrics import CONVENTION, REGIONS, image_scores
from hgg_pyg.evaluation.reporting.sheet import Comparison, save_sheet
from hgg_pyg.evaluation.reporting.tables import task_tables
from hgg_pyg.evaluation.scores import Score, summarise
from hgg_pyg.finetuning.multiview.examples import Batch, Example, ExampleLoader
from hgg_pyg.io.files import write_text
from hgg_pyg.multiview.model import MultiViewModel

TASKS = ("back", "sides")
METHODS = ("mean image", "mirrored front", "ours")
_MEAN_OF = 400  # training examples, for the mean image
_SHOWN = 6  # rows of the sheet


@dataclass(frozen=True)
class ViewsReport:
    """What was found on test subjects."""

    scores: tuple[Score, ...]
    comparisons: dict[str, tuple[Comparison, ...]]  # by task
    size: int

    def table(self) -> str:
        """The summary for a screen."""
        return "\n\n".join(table.text() for table in task_tables(self.scores, TASKS, METHODS, ("psnr", "ssim")))

    def save(self, folder) -> None:
        """Write `metrics.json` and `sheet.png`."""
        content = {
            "summary": summarise(self.scores, TASKS, METHODS),
            "convention": f"{CONVENTION}; {REGIONS['image']}",
            "region": f"{self.size}x{self.size} pixels, a square around the person",
            "mirrored front": "the front view mirrored; for the sides the better one of that and the front view itself",
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            "scores": [asdict(score) for score in self.scores],
        }
        write_text(folder / "metrics.json", json.dumps(content, indent=2))
        blocks = [self.comparisons[task] for task in TASKS]
        save_sheet(folder / "sheet.png", *blocks, titles=TASKS, columns=("front view", "ground truth", *METHODS))


@torch.no_grad()
def score_views(
    model: MultiViewModel, loader: ExampleLoader, train: Sequence[Example], test: Sequence[Example], frames: int
) -> ViewsReport:
    """Draw test subjects from their front views and compare with the cameras behind and beside them.

    Args:
        model: in evaluation mode.
        loader: reads examples.
        train: of which the mean image of each view is made.
        test: of which `frames` a subject are scored, evenly spaced.
        frames: examples per subject.
    """
    azimuths = model.views.azimuths
    places = {"back": [azimuths.index(180)], "sides": [azimuths.index(90), azimuths.index(270)]}
    mean = _mean_views(loader, train)
    subjects: dict[str, list[Example]] = {}
    for example in test:
        subjects.setdefault(example.capture.name, []).append(example)
    scores: list[Score] = []
    comparisons: dict[str, list[Comparison]] = {task: [] for task in TASKS}
    seen = even_frames(0, len(subjects), _SHOWN)
    for number, (name, own) in enumerate(tqdm(subjects.items(), desc="evaluating", unit="subject", leave=False)):
        people = [loader.read(own[i]) for i in even_frames(0, len(own), frames)]
        found = [(person, model.draw(person.picture).rgb[0]) for person in people if person is not None]
        if not found:
            continue
        for task in TASKS:
            rows = [_row(person, drawn, mean, place) for person, drawn in found for place in places[task]]
            truth, *images = (torch.stack(column).permute(0, 2, 3, 1) for column in zip(*rows, strict=True))
            results = [image_scores(column, truth) for column in (images[0], images[1], images[2], images[3])]
            mirrored = results[1].psnr if task == "back" else torch.maximum(results[1].psnr, results[2].psnr)
            ssims = results[1].ssim if task == "back" else torch.maximum(results[1].ssim, results[2].ssim)
            pairs = ((results[0].psnr, results[0].ssim), (mirrored, ssims), (results[3].psnr, results[3].ssim))
            for method, (psnr, ssim) in zip(METHODS, pairs, strict=True):
                about = {"subject": name, "task": task, "method": method, "images": len(truth)}
                scores.append(Score(**about, psnr=float(psnr.mean()), ssim=float(ssim.mean())))
            if number in seen:
                label = f"{name}: " + " / ".join(
                    f"{m} {float(p[0]):.1f} dB" for m, (p, _) in zip(METHODS, pairs, strict=True)
                )
                front = images[2][0]
                shown = (front, truth[0], images[0][0], images[1][0], images[3][0])
                comparisons[task].append(Comparison(label, tuple(image.cpu().numpy().copy() for image in shown)))
    return ViewsReport(tuple(scores), {task: tuple(found) for task, found in comparisons.items()}, model.views.size)


def _row(person: Batch, drawn: Tensor, mean: Tensor, place: int) -> tuple[Tensor, ...]:
    """Truth, mean image, mirrored front, front and ours of one view. [3, S, S] each"""
    front = person.picture.rgb[0]
    return person.rgb[0, place], mean[place], front.flip(-1), front, drawn[place]


def _mean_views(loader: ExampleLoader, examples: Sequence[Example]) -> Tensor:
    """Of training subjects, of each view. [V, 3, S, S]"""
    total, count = torch.zeros(()), 0
    for i in even_frames(0, len(examples), _MEAN_OF):
        person = loader.read(examples[i])
        if person is not None:
            total, count = total + person.rgb[0].double(), count + 1
    return (total / max(count, 1)).float()
