"""Where body files are: the default body, the layout of the smplx package, and the names they are downloaded under."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hgg_pyg.types import UserError

log = logging.getLogger(__name__)

DEFAULT_BODY = Path(__file__).with_name("default_body.npz")
ENVIRONMENT = "HGG_BODY_MODELS"

OpenSmplx = Literal["open-smplx"]
"""The open stand-in for SMPL-X, which is made when it is needed and has no file."""

_NAMES = {
    "smpl": (
        "SMPL_NEUTRAL.npz",
        "SMPL_NEUTRAL.pkl",
        "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
        "basicModel_neutral_lbs_10_207_0_v1.1.0.pkl",
        "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl",
        "basicmodel_neutral_lbs_10_207_0_v1.0.0.pkl",
    ),
    "smplx": ("SMPLX_NEUTRAL.npz", "SMPLX_NEUTRAL.pkl"),
}
_OF_ONE_SEX = {  # which of them fits a person, the poses do not say: the user has to
    "smpl": re.compile(r"(smpl_(fe)?male|basicmodel_[mf]_.+)\.(npz|pkl)", re.IGNORECASE),
    "smplx": re.compile(r"smplx_(fe)?male\.(npz|pkl)", re.IGNORECASE),
}
_FOLDERS = {
    "smpl": ("", "smpl", "models/smpl", "smpl/models", "models", "SMPL_python_v.1.1.0/smpl/models"),
    "smplx": ("", "smplx", "models/smplx", "smplx/models", "models"),
}


def find_body_file(path: Path | None = None, kinds: Sequence[str] = ("open",)) -> Path | OpenSmplx:
    """The body to load for poses of `kinds`.

    Args:
        path: a file, taken as it is; a folder, searched for a neutral body of the first of `kinds` that it has, or of
            SMPL, then SMPL-X, where `kinds` names no licensed body; or None.
        kinds: what the poses can be for, the best first. Without a path: "open" is the default body, "open-smplx" is
            made in memory, and "smpl" and "smplx" are looked for in the folder that $HGG_BODY_MODELS names. Poses of
            "smpl" fall back on the default body, with a warning.

    Raises:
        UserError: the path does not exist, the folder holds no such file, or poses of SMPL-X without a body for them.
    """
    if path is not None:
        return _in_path(path, [kind for kind in kinds if kind in _NAMES] or list(_NAMES))
    for kind in kinds:
        if kind == "open":
            return DEFAULT_BODY
        if kind == "open-smplx":
            return "open-smplx"
        found = _first(_installed_folder(), kind)
        if found is not None:
            return found
    advice = _advice(_installed_folder(), kinds)
    if "smpl" not in kinds:
        text = f"give --body SMPLX_NEUTRAL.npz, or its folder in {ENVIRONMENT}"
        raise UserError(f"poses of SMPL-X need its body: {advice or text}")
    text = f"give --body SMPL_NEUTRAL.npz, or its folder in {ENVIRONMENT}"
    log.warning("poses estimated with SMPL fit the open default body only roughly: %s", advice or text)
    return DEFAULT_BODY


def installed_bodies() -> list[Path]:
    """Licensed body files found in the folder that $HGG_BODY_MODELS names, the ones preferred first."""
    folder = os.environ.get(ENVIRONMENT)
    return [] if not folder else [path for kind in _NAMES for path in _candidates(Path(folder), kind) if path.is_file()]


def _in_path(path: Path, kinds: list[str]) -> Path:
    if path.is_dir():
        for kind in kinds:
            found = _first(path, kind)
            if found is not None:
                return found
    elif path.exists():
        return path
    names = " or ".join(name for kind in kinds for name in _NAMES[kind][:2])
    found = (_advice(path, kinds) if path.is_dir() else None) or "found none"
    raise UserError(f"{path}: expected a body file (.npz, .pkl), or a folder with {names}; {found}")


def _advice(folder: Path | None, kinds: Sequence[str]) -> str | None:
    """How to take the first body of one sex in a folder without a neutral one; None if there is none either."""
    wanted = [kind for kind in kinds if kind in _FOLDERS]
    places = [(kind, folder / sub) for kind in wanted for sub in _FOLDERS[kind]] if folder is not None else []
    for kind, place in places:
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        if found := next((name for name in names if _OF_ONE_SEX[kind].fullmatch(name)), None):
            return f"found {found}, of one sex only, which is taken by --body {place / found}"
    return None


def _installed_folder() -> Path | None:
    folder = os.environ.get(ENVIRONMENT)
    if folder and not Path(folder).is_dir():
        raise UserError(f"{ENVIRONMENT}: expected the folder of the body files, found no folder at {folder}")
    return Path(folder) if folder else None


def _first(folder: Path | None, kind: str) -> Path | None:
    return None if folder is None else next((p for p in _candidates(folder, kind) if p.is_file()), None)


def _candidates(folder: Path, kind: str) -> list[Path]:
    return [folder / sub / name for sub in _FOLDERS[kind] for name in _NAMES[kind]]
