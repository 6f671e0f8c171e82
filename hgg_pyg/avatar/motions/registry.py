"""From a name or a file to a clip: our own motions, the formats, and what you bring."""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hgg_pyg.avatar.motions.clip import MOST, USUAL_FPS, Clip
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.own import OWN_MOTIONS, own_clip
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_registered: dict[str, MotionFormat] = {}


def register(motion_format: MotionFormat) -> MotionFormat:
    """Make a format of yours known; it is asked before ours whether a file is one of its own.

    Raises:
        ValueError: the name is taken by another format.
    """
    known = motion_formats().get(motion_format.name)
    if known is not None and known != motion_format:
        raise ValueError(f"motion format: expected a name that is free, found {motion_format.name!r}: {known.summary}")
    _registered[motion_format.name] = motion_format
    return motion_format


def motion_formats() -> dict[str, MotionFormat]:
    """Every format by name: what was registered, then ours, in the order in which they are asked."""
    return {**_registered, **_shipped()}


@cache
def _shipped() -> dict[str, MotionFormat]:
    package = importlib.import_module("hgg_pyg.avatar.motions.formats")
    modules = [
        importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]
    return {module.FORMAT.name: module.FORMAT for module in modules}


def read_clip(name_or_path: str | Path, fps: float | None = None) -> Clip:
    """A motion before it is fitted to anybody.

    Args:
        name_or_path: one of `OWN_MOTIONS`, a file or folder of one of the formats, or something of yours:
            `module:NAME` of a function without arguments that gives a `Clip`, or `module:NAME:FILE` of a function that
            reads a file to a `Clip`.
        fps: that our own motions are made at.

    Raises:
        UserError: there is no such name, file or function, the file cannot be read as a motion, or a function of yours
            fails.
    """
    text = str(name_or_path)
    if text in OWN_MOTIONS:
        return own_clip(text, fps or USUAL_FPS)
    path = Path(name_or_path)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if there:
        found = next((known for known in motion_formats().values() if known.recognises(path)), None)
        if found is None:
            kinds = "; ".join(f"{known.name}: {known.summary}" for known in motion_formats().values())
            raise UserError(f"{path}: expected a motion ({kinds}), found something else")
        return _within_reach(path, found.read(path))
    if (":" in text and path.suffix.casefold() not in (".bvh", ".npz", ".json", ".txt", ".avatar")) or text.count(
        ":"
    ) > 1:
        return _brought(text)
    raise UserError(
        f"motion {shown(text, 200)}: expected one of {', '.join(OWN_MOTIONS)}, a file or folder that is there, or "
        "module:NAME of yours"
    )


def _within_reach(path: Path, clip: Clip) -> Clip:
    """The clip of a file whose legs are long enough for its ways: they are scaled by the legs' length.

    Raises:
        UserError: a way is more than a million legs long.
    """
    farthest = float(abs(clip.pelvis).max())
    if not farthest <= MOST * clip.leg:
        raise UserError(
            f"{path}: expected ways of at most {MOST:,.0f} lengths of a leg, found {farthest:g} with legs of "
            f"{clip.leg:g}: bones and places are in different units, or bones have no length"
        )
    return clip


def _brought(text: str) -> Clip:
    """The clip that a function of the user's gives, of a file where one is named."""
    module, name, *files = text.split(":", 2)
    try:
        function: Callable[..., Any] = pkgutil.resolve_name(f"{module}:{name}")
    except (Exception, SystemExit) as error:  # a module of somebody else's may fail in any way
        raise UserError(f"motion {shown(text, 200)}: cannot be imported from here ({shown(error, 200)})") from error
    given = function.read if isinstance(function, MotionFormat) else function
    if not callable(given):
        raise UserError(
            f"motion {shown(text, 200)}: expected a function that gives a Clip, found {shown(type(given).__name__)}"
        )
    try:
        clip = given(*map(Path, files))
    except UserError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__} in line {place.lineno} of {Path(place.filename).name}: {shown(error, 200)}"
        raise UserError(f"motion {shown(text, 200)}: expected a Clip from it, found {found}") from error
    if not isinstance(clip, Clip):
        raise UserError(f"motion {shown(text, 200)}: expected a Clip from it, found {type(clip).__name__}")
    return clip
