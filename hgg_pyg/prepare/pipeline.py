"""All stages in their order: images, people, landmarks in space, body, capture, report, check."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from hgg_pyg.body import load_body
from hgg_pyg.config import settings_of
from hgg_pyg.io.files import try_folder, writing
from hgg_pyg.prepare.calibrating import find_calibration
from hgg_pyg.prepare.config import PrepareConfig
from hgg_pyg.prepare.destination import is_there, stamp, write_settings
from hgg_pyg.prepare.finding import Finder
from hgg_pyg.prepare.fitting import fit
from hgg_pyg.prepare.footage.filming import film
from hgg_pyg.prepare.footage.opening import Opened, open_footage
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.progress import progress_bars
from hgg_pyg.prepare.report import write_report
from hgg_pyg.prepare.verdict import judge
from hgg_pyg.prepare.writer import write_capture
from hgg_pyg.training.claim import claimed

log = logging.getLogger("hgg_pyg")


def prepare(config: PrepareConfig) -> Path:
    """Make a capture out of footage, or go on where an earlier command stopped.

    Args:
        config: what and how.

    Returns:
        The capture's folder, `config.out`.

    Raises:
        UserError: a mistake in what was given, in a line; the folder holds something else; or the body does not lie
            on the person and `check` knows a likely fault.
    """
    try_folder(config.out, "--out")
    inputs = [stamp(path, config.out) for path in config.files]
    if is_there(config.out, config, inputs):
        print(f"{config.out}: already done")
        return config.out
    work = config.out.with_name(f".{config.out.name}.prepare")
    with claimed(work, "or give another --out"):
        opened = open_footage(config.videos, config.images, config.fps, find_calibration(config, work))
        prepared = _make(config, opened, work)
        write_settings(prepared, config, inputs)
        write_report(prepared.folder, prepared)
        judge(prepared)
        with writing(config.out):
            if config.out.is_dir():
                config.out.rmdir()  # it is empty
            prepared.folder.rename(config.out)
            prepared.folder.parent.rmdir()
    print(f"{config.out}: {len(prepared.times)} frames, {len(prepared.calibration.names)} cameras")
    for item in prepared.left_out:
        print(f"  {item}")
    print(f"{config.out / 'report.html'} shows it")
    print(f"{work} keeps what other options can go on from; remove it when there will be none")
    return config.out


def _make(config: PrepareConfig, opened: Opened, work: Path) -> Prepared:
    """All stages but the check."""
    body = load_body(config.body)
    offsets = {opened.names.get(name, name): span for name, span in sorted(config.sampling.offsets.items())}
    sampling = replace(config.sampling, offsets=offsets)
    finder = Finder(config, offsets, work)
    finder.make_ready()
    with progress_bars("1/5 images", "image") as bar:
        images, filmed = film(opened, sampling, config.longest, work, bar)
    for note in filmed.notes:
        log.info("%s", note)
    space, located = finder.find(images, filmed)
    for note in located.notes:
        log.info("%s", note)
    with progress_bars("4/5 body", "step") as bar:
        fitted = fit(space, filmed, located, body, config.fit, work, bar)
    kept = located.selection
    prepared = Prepared(
        name=config.out.name,
        folder=work / "capture" / config.out.name,
        calibration=located.calibration,
        size=filmed.size,
        times=filmed.times[kept.frames],
        sources=filmed.sources[np.ix_(kept.frames, kept.cameras)],
        landmarks=located.landmarks,
        found=located.found,
        seen=located.seen,
        body=body,
        pose=fitted.pose,
        fit={**fitted.told, **located.told},
        left_out=(*opened.left_out, *filmed.left_out, *kept.left_out),
        notes=(*filmed.notes, *located.notes),
        settings=settings_of(config),
    )
    if prepared.folder.parent.exists():
        shutil.rmtree(prepared.folder.parent)
    with progress_bars("5/5 capture", "image") as bar:
        write_capture(
            prepared,
            image=lambda frame, camera: filmed.path(int(kept.frames[frame]), int(kept.cameras[camera])),
            mask=lambda frame, camera: located.masks[frame][camera],
            written=bar(prepared.sources.size),
        )
    return prepared
