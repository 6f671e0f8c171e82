"""Reading a calibration: which format it is in, the unit of its lengths, and that every camera comes once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hgg_pyg.data.calibration import Calibration, Entry, make_calibration, numbers
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.registry import (
    OPTION,
    CalibrationFormat,
    calibration_formats,
    find_calibration_format,
)
from hgg_pyg.types import UserError

UNITS = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
_MOST_FILES = 10_000  # of a folder: one that holds more is not a calibration's


def read_calibrations(
    paths: Path | Sequence[Path], format: str | None = None, unit: str | float | None = None
) -> Calibration:
    """Read cameras from a file, from several, or from a folder.

    Args:
        paths: the files, or folders with them.
        format: name of a format, or "module:NAME" of yours; None: what the files look like.
        unit: that the files' lengths are in, a name of `UNITS` or metres; None: the format's own.

    Returns:
        V checked cameras in the order of their names, in metres.

    Raises:
        UserError: nothing there, files of no format or of several, a format without unit and none given, two
            calibrations for one camera, or what the format and `make_calibration` refuse.
    """
    asked = [paths] if isinstance(paths, Path) else list(paths)
    files = _files(asked)
    found, claimed = _format(asked, files, format)
    metres = _metres(asked[0], found, unit)
    entries = [_scaled(entry, metres) for entry in found.read(claimed)]
    if not entries:
        raise UserError(f"{_all(asked)}: expected at least one camera in format '{found.name}', found none")
    _refuse_twice(entries)
    return make_calibration(entries)


def in_metres(unit: str | float) -> float:
    """How many metres a unit is: "mm", or a number.

    Raises:
        UserError: it is neither.
    """
    if isinstance(unit, str) and unit in UNITS:
        return UNITS[unit]
    try:
        metres = float(unit)
    except ValueError:
        metres = math.nan
    if not (math.isfinite(metres) and 1e-6 <= metres <= 1e6):
        expected = f"one of {', '.join(UNITS)}, or how many metres it is, 1e-6 to 1e6"
        raise UserError(f"--unit: expected {expected}; found {shown(repr(unit))}")
    return metres


def _files(asked: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in asked:
        if not path.is_dir():
            if not path.exists():
                raise UserError(f"{path}: expected a calibration, found no such file or folder")
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if len(inside) > _MOST_FILES:
            raise UserError(f"{path}: expected the files of a calibration, found a folder of {len(inside)} files")
        files += inside
    return files


def _format(asked: Sequence[Path], files: list[Path], name: str | None) -> tuple[CalibrationFormat, Sequence[Path]]:
    """The format, and its files among those asked for."""
    if name is not None:
        chosen = find_calibration_format(name)
        return chosen, chosen.claims(files) or files
    claims = {known.name: claimed for known in calibration_formats().values() if (claimed := known.claims(files))}
    if not claims:
        formats = ", ".join(calibration_formats())
        raise UserError(
            f"{_all(asked)}: expected a calibration ({formats}), found none in {len(files)} "
            f"file{'s' * (len(files) != 1)}; {OPTION} names the format"
        )
    if len(claims) > 1:
        which = "; ".join(f"{name}: {claimed[0].name}" for name, claimed in claims.items())
        raise UserError(f"{_all(asked)}: expected one calibration, found several ({which}); name one of the files")
    ((found, claimed),) = claims.items()
    return calibration_formats()[found], claimed


def _metres(path: Path, found: CalibrationFormat, unit: str | float | None) -> float:
    if unit is not None:
        return in_metres(unit)
    if found.unit is None:
        raise UserError(
            f"{path}: format '{found.name}' has no unit: say by --unit how many metres 1 of its units is, "
            "as a length known in the scene divided by the same length in the file"
        )
    return in_metres(found.unit)


def _scaled(entry: Entry, metres: float) -> Entry:
    return replace(entry, T=numbers(entry.where, entry.keys[2], entry.T, 3) * metres)


def _refuse_twice(entries: Sequence[Entry]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        other = seen.setdefault(entry.name, entry)
        if other is not entry:
            raise UserError(
                f"camera '{entry.name}': expected one calibration, found two: {other.where}; and {entry.where}"
            )


def _all(paths: Sequence[Path]) -> str:
    return shown(", ".join(map(str, paths)), 300)
