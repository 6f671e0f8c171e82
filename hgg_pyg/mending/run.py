"""All subjects of a folder, one after the other; those that are done already are passed by."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from hgg_pyg.data.capture import LeftOut
from hgg_pyg.data.capture_set import SubjectFolder, find_subjects
from hgg_pyg.io.files import try_folder, write_atomically
from hgg_pyg.maker_choice import Opened, choose_subject, open_network
from hgg_pyg.mending.config import MendConfig
from hgg_pyg.mending.folder import RECORD, is_mended, target_of, write_mended
from hgg_pyg.mending.numbers import Numbers, measure
from hgg_pyg.mending.picture import save_picture
from hgg_pyg.mending.subject import Mended, mend_subject
from hgg_pyg.types import UserError

REPORT = "report"

log = logging.getLogger("hgg_pyg")


def mend(config: MendConfig) -> int:
    """Mend the poses of every subject of a folder, or of the one that is asked for.

    Returns:
        how many subjects could not be mended, of several; the log says why.

    Raises:
        UserError: nothing can be mended at all, or --out holds something else.
    """
    found = find_subjects(config.capture)
    chosen = [choose_subject(config.capture, config.subject)] if config.subject else list(found.values())
    targets = [target_of(config, subject) for subject in chosen]
    pictures = config.out / REPORT
    for subject, target in zip(chosen, targets, strict=True):
        if target.is_relative_to(pictures):
            raise UserError(f"{subject.folder}: expected another name than {REPORT}, which --out has for pictures")
    try_folder(config.out, "--out")
    if pictures.exists() and not pictures.is_dir():  # which would be seen when the first subject is done
        raise UserError(f"{pictures}: expected nothing, or a folder for pictures, found a file")
    opened = open_network(config.capture, config)
    failed: list[UserError] = []
    for subject, target in zip(chosen, targets, strict=True):
        try:
            _mend_one(opened, subject, target, config)
        except UserError as error:
            if len(chosen) == 1:
                raise
            log.error("left out: %s", " ".join(str(error).split()))
            failed.append(error)
    if len(failed) == len(chosen):
        raise UserError(f"{config.capture}: expected a subject that can be mended, found none: {failed[0]}")
    _copy_beside(config, list(found.values()))
    return len(failed)


def _mend_one(opened: Opened, subject: SubjectFolder, target: Path, config: MendConfig) -> None:
    source = opened.source(subject)
    name, digest = source.capture.name, source.capture.digest
    if is_mended(target, config, digest):
        print(f"{target}: already done")
        return
    with tqdm(total=2 * len(source.capture.frames), desc=name, unit="fit", leave=False) as bar:
        cameras = config.cameras and subject.layout.rewrite_cameras is not None
        mended = mend_subject(opened.maker, source, replace(config, cameras=cameras), bar.update)
    numbers, scenes = measure(opened.maker, mended)
    text = describe(numbers)
    picture = config.out / REPORT / f"{name}.png"
    save_picture(picture, mended, scenes, text)
    capture = mended.before
    kept = [str(capture.frames[f]) for f in range(len(capture.frames)) if f not in mended.better]
    record = {
        "capture": digest,
        "judged by": list(mended.judges),
        "cameras of the judges were fitted to": mended.fitted,
        "frames that keep their poses": kept,
        "cameras": _cameras_told(mended),
        "left out": [str(item) for item in capture.left_out],
        "numbers": _plain(numbers),
    }
    write_mended(target, subject, mended, config, record)
    print(f"{target}: {text}")
    for item in _remarks(mended, kept, config.cameras):
        print(f"  {item}")
    print(f"  {picture} shows it")


def describe(numbers: Numbers) -> str:
    """A subject's numbers in a line."""
    parts = [f"{numbers.mended} of {numbers.frames} frames have a better pose"]
    if numbers.mended:
        parts.append(f"joints moved by {numbers.moved_median:.1f} mm (median), {numbers.moved_max:.0f} mm at most")
    parts.append(f"input images {numbers.psnr[0]:.2f} to {numbers.psnr[1]:.2f} dB")
    before, after = numbers.overlap
    if before is not None and after is not None:
        parts.append(f"IoU of body and masks {before.iou:.3f} to {after.iou:.3f}")
    return "; ".join(parts)


def _remarks(mended: Mended, kept: Sequence[str], cameras: bool) -> list[str]:
    lines = []
    if mended.placed is not None and mended.placed.changed:
        turned, moved = max(mended.placed.turned), 1000 * max(mended.placed.moved)
        lines.append(f"cameras put right: turned by {turned:.2f} degrees, moved by {moved:.0f} mm at most")
    elif mended.placed is None and cameras:
        lines.append("cameras kept as they are: it takes two or more to tell, and a layout that they can be written in")
    lines += [f"poses kept as they were: {item}" for item in map(str, mended.before.left_out)]
    if kept:
        lines.append(str(LeftOut("frame", tuple(kept), "the fit got no better, and they keep their poses")))
    if mended.fitted:
        lines.append("all cameras were fitted to: there was no other one to judge by")
    return lines


def _cameras_told(mended: Mended) -> dict[str, object] | None:
    """What became of each camera: degrees and metres; None where they were not looked at."""
    placed = mended.placed
    if placed is None:
        return None
    each = zip(placed.turned, placed.moved, strict=True)
    moves = {name: {"degrees": t, "metres": m} for name, (t, m) in zip(mended.before.camera_names, each, strict=True)}
    return {"put right": placed.changed, "moves": moves, "errors of masks held back": list(placed.errors)}


def _plain(numbers: Numbers) -> dict[str, object]:
    """For JSON, which has no NaN."""
    return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in asdict(numbers).items()}


def _copy_beside(config: MendConfig, subjects: Sequence[SubjectFolder]) -> None:
    """Files beside the subjects, such as the one that parts them, once all that they may name are there."""
    if len(subjects) == 1 and subjects[0].folder == config.capture:
        return
    files = [path for path in sorted(config.capture.iterdir()) if path.is_file() and not path.name.startswith(".")]
    missing = [subject for subject in subjects if not (target_of(config, subject) / RECORD).is_file()]
    if missing and files:
        names = ", ".join(path.name for path in files)
        log.warning("%s: not copied yet: %d of the subjects are not mended", names, len(missing))
        return
    for path in files:
        write_atomically(config.out / path.name, partial(shutil.copyfile, path))
