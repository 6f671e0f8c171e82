"""The folder of a capture: whether it is there already, and what it says of how it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hgg_pyg.config import changed_setting, config_digest, settings_of
from hgg_pyg.io.files import write_text
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.types import UserError

SETTINGS_FILE = "prepare.json"
_OTHER = "give another --out, or remove this one"


def stamp(path: Path, out: Path | None = None) -> str:
    """What tells whether a file, or those in a folder, are the same: a digest of names, sizes and times of change.

    Args:
        path: file or folder; in a folder, what is hidden does not count.
        out: the capture's folder, which does not count either: it may be made among the footage.
    """
    if not path.is_dir():
        files = [path] if path.exists() else []
    else:
        made = out.absolute() if out else None
        files = []
        for folder, folders, names in os.walk(path):
            place = Path(folder)
            folders[:] = [name for name in folders if name[0] != "." and (place / name).absolute() != made]
            files += [place / name for name in names if name[0] != "."]
    status = [(file, file.stat()) for file in sorted(files) if file.is_file()]
    return config_digest(*(f"{file.name} {found.st_size} {found.st_mtime_ns}" for file, found in status))


def is_there(out: Path, config: Any, inputs: Iterable[str]) -> bool:
    """Whether a capture of the same options and files is there.

    Args:
        out: the capture's folder.
        config: the options; its `out` does not count.
        inputs: stamps of all files that it is made from.

    Raises:
        UserError: the folder holds something else, or a capture that was made with other options or from other files.
    """
    if out.is_symlink() or os.path.ismount(out):  # a finished folder is renamed to it
        what = "a link" if out.is_symlink() else "another disk's"
        if not (out / SETTINGS_FILE).is_file():
            raise UserError(f"--out {out}: expected the name of a new folder, found {what}; give a name within it")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    path = out / SETTINGS_FILE
    if not path.is_file():
        raise UserError(f"--out {out}: expected a new folder, or one of an earlier run, found something else; {_OTHER}")
    told = read_json_object(path, "the options that a capture was prepared with")
    settings = told.get("settings")
    if not isinstance(settings, dict):
        raise UserError(f"{path}: expected options by name under the key 'settings', found {shown(settings)}")
    if changed := changed_setting(settings, config, free=("out",)):
        raise UserError(f"--out {out}: made with other options: {changed}; {_OTHER}")
    if told.get("inputs") != list(inputs):
        raise UserError(
            f"--out {out}: expected the files that it was made from, found that they have changed; {_OTHER}"
        )
    return True


def write_settings(prepared: Prepared, config: Any, inputs: Iterable[str]) -> None:
    """Write how a capture was made, beside it.

    Raises:
        UserError: the disk is full.
    """
    content = {
        "settings": settings_of(config),
        "inputs": list(inputs),
        "cameras": prepared.calibration.names,
        "seconds": prepared.times.round(6).tolist(),
        "frames of the footage": prepared.sources.tolist(),
        "left out": [str(item) for item in prepared.left_out],
        "notes": prepared.notes,
    }
    write_text(prepared.folder / SETTINGS_FILE, json.dumps(content, indent=1))
