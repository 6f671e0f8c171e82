"""A subject's folder written anew: its images linked, its poses and cameras mended, all else byte for byte."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hgg_pyg.config import changed_setting, settings_of
from hgg_pyg.data.capture_set import SubjectFolder
from hgg_pyg.data.layouts.base import subject_name
from hgg_pyg.io.files import remove_leftovers, temporary_path, write_text, writing
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.mending.config import MendConfig
from hgg_pyg.mending.subject import Mended
from hgg_pyg.types import UserError

RECORD = "refine.json"
_IMAGES = (".jpg", ".jpeg", ".png")
_FREE = ("capture", "out", "subject", "copy")  # options that may differ: poses do not depend on them
_OTHER = "give another --out, or remove this one"


def target_of(config: MendConfig, subject: SubjectFolder) -> Path:
    """Where a subject goes: below --out as it lies below the data's folder, under its name if it is that folder.

    Raises:
        UserError: that is its own folder, or within it.
    """
    data = Path(os.path.abspath(config.capture))
    folder = Path(os.path.abspath(subject.folder))
    path = config.out / (subject_name(folder) if folder == data else folder.relative_to(data))
    if path.resolve().is_relative_to(subject.folder.resolve()):
        raise UserError(f"--out {config.out}: expected a folder outside of the captures, found {path} in one of them")
    return path


def is_mended(path: Path, config: MendConfig, digest: str) -> bool:
    """Whether a subject's folder is there already, made from the same capture with the same options.

    Raises:
        UserError: the folder holds something else.
    """
    if not os.path.lexists(path):
        return False
    if not (path / RECORD).is_file():
        raise UserError(f"{path}: expected nothing, or what an earlier run mended, found something else; {_OTHER}")
    told = read_json_object(path / RECORD, "what a capture was mended with")
    settings = told.get("settings")
    if not isinstance(settings, dict):
        raise UserError(f"{path / RECORD}: expected options by name under the key 'settings', found {shown(settings)}")
    if changed := changed_setting(settings, config, free=_FREE):
        raise UserError(f"{path}: mended with other options: {changed}; {_OTHER}")
    if told.get("capture") != digest:
        raise UserError(f"{path}: expected the capture that it was made from, found that it has changed; {_OTHER}")
    return True


def write_mended(
    path: Path, subject: SubjectFolder, mended: Mended, config: MendConfig, record: Mapping[str, Any]
) -> None:
    """Write a subject's folder under a temporary name, and rename it when all is there.

    Args:
        path: where to; nothing is there.
        subject: what it is made from.
        mended: its poses.
        config: the options, kept beside the poses.
        record: what else is kept there.

    Raises:
        UserError: the disk is full, or a file cannot be read or written.
    """
    content = {"settings": settings_of(config), **record}
    partial = temporary_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        files = _new_files(subject, mended)
        try:
            _copy_all(subject.folder, partial, {*files, RECORD}, link=not config.copy)
            for name, data in files.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(data)
            write_text(partial / RECORD, json.dumps(content, indent=1))
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _new_files(subject: SubjectFolder, mended: Mended) -> dict[str, bytes]:
    """Those of the layout that are others with the mended poses and cameras."""
    body = mended.source.body
    recording = subject.layout.read(subject.folder, body)
    table, calibration = recording.poses, recording.calibration
    rows = {number: row for row, number in enumerate(table.numbers)}
    poses = table.poses.put([rows[number] for number in mended.before.frames], mended.poses)
    files = subject.layout.rewrite(subject.folder, body, replace(table, poses=poses))
    if mended.placed is None or not mended.placed.changed:
        return files
    assert subject.layout.rewrite_cameras is not None  # else none would have been placed
    places, after = calibration.viewmats, mended.after
    for name, viewmat in zip(after.camera_names, after.cameras.viewmats.double().numpy(), strict=True):
        places[calibration.names.index(name)] = viewmat
    return files | subject.layout.rewrite_cameras(subject.folder, calibration.placed(places))


def _copy_all(source: Path, target: Path, without: Collection[str], link: bool) -> None:
    """All files but some; images as second names of the same files where that is wanted and can be."""
    target.mkdir()
    for folder, folders, names in os.walk(source, followlinks=True):
        place = Path(folder).relative_to(source)
        # A folder that is a link to one it lies in would be walked for ever.
        folders[:] = [name for name in folders if not source.resolve().is_relative_to((Path(folder) / name).resolve())]
        (target / place).mkdir(exist_ok=True)
        for name in names:
            original = Path(folder) / name
            if str(place / name) not in without and original.is_file():
                _place(original.resolve(), target / place / name, link and original.suffix.lower() in _IMAGES)


def _place(source: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another disk, or one without second names
    shutil.copyfile(source, target)
