"""`python -m hgg_pyg.check PATH`: can a capture be trained on, and if not, what is wrong with it.

The body is posed, seen through every camera and laid on the masks: IoU is what both cover over what either does. It is
good from 0.85 on, as for tight clothes; or from 0.5 on with 92% of the body inside the mask, since loose clothes lower
the IoU but not the share inside; in both cases with a person as tall as the body to 15%. Otherwise known mistakes
are undone one by one, and two at once, and those are named that would clearly raise it.

Exits with 0 if all subjects looked at can be trained on; with 1 if one cannot: below IoU 0.4 or 60% inside, a known
mistake, files cut off, fewer than 4 cameras (`--input-views N` asks for fewer, as train's `--clip.input-views N`), no
frame that shows the person to one of the input cameras, or not to be opened; with 2 if the path is no folder of
captures, splits.json cannot be used or the body cannot be loaded. Leaves check.png: the body rendered over images.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.capture_check import Examination, describe, examine, save_sheet, summarise
from hgg_pyg.config import Bounds, FrameCount, SubjectCount, ViewCount, check_choices
from hgg_pyg.data.capture_set import SPLITS_FILE, SubjectFolder, find_subjects, first_kinds, read_splits
from hgg_pyg.data.clips import even_frames
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class CheckConfig:
    """What to look at, and how much of it."""

    data: Annotated[Path, tyro.conf.Positional]
    """folder of a subject, or of several, in any of the known layouts"""
    body: Path | None = None
    """body model file, or its folder; by default what the layout needs"""
    frames: FrameCount = 6
    """frames per subject, evenly spaced, on which the body is compared with the images"""
    cameras: ViewCount = 48
    """cameras per subject, evenly spaced, in which the body is compared with the images"""
    input_views: ViewCount = 4
    """cameras that training is to look through, as its --clip.input-views; 1: a single camera will do"""
    subjects: SubjectCount = 4
    """number of subjects to check, evenly spaced over those found"""
    image_size: Annotated[int, Bounds(32, 65_535)] = 512
    """longest side of the images in check.png, in pixels; larger images are shrunk"""
    out: Path | None = None
    """folder for check.png; by default runs/check/ and the folder's name"""

    def __post_init__(self) -> None:
        check_choices(self)


def main(config: CheckConfig) -> None:
    """Look at a capture as training would read it: files, masks, cameras, poses; name the likely fault."""
    found = find_subjects(config.data)
    named = read_splits(config.data, found)
    if named is not None and not named["train"]:
        raise UserError(f"{config.data / SPLITS_FILE}: key 'train': expected subjects to train on, found none")
    names = list(found)
    out = config.out or Path("runs") / "check" / config.data.resolve().name
    try_folder(out, "--out")
    chosen = [found[names[i]] for i in even_frames(0, len(names), config.subjects)]
    body = _body_for(list(found.values()), config)
    examinations = list(_examine_all(chosen, body, config))
    title = body.name if body is not None else "none: no subject says which"
    if len(examinations) == 1:
        print(describe(examinations[0], title))
    else:
        print(summarise(examinations, title, len(names) - len(chosen)))
    seen = [examination for examination in examinations if examination.capture is not None]
    if seen:
        path = out / "check.png"
        save_sheet(path, seen, config.image_size)
        print(f"images: {path}")
    if not all(examination.trainable for examination in examinations):
        sys.exit(1)


def _body_for(subjects: Sequence[SubjectFolder], config: CheckConfig) -> BodyModel | None:
    """The body that training would take; None where no subject says which."""
    try:
        _, kinds = first_kinds(subjects)
    except UserError:
        return None
    return load_body(config.body, kinds)


def _examine_all(
    subjects: Sequence[SubjectFolder], body: BodyModel | None, config: CheckConfig
) -> Iterator[Examination]:
    for subject in tqdm(subjects, desc="subjects", unit="subject", leave=False, disable=len(subjects) < 2):
        if body is not None:
            yield examine(subject, body, config.frames, config.cameras, config.input_views)
            continue
        try:
            first_kinds([subject])
        except UserError as error:
            yield Examination.unopened(subject, error)


if __name__ == "__main__":
    run_command(CheckConfig, main)
