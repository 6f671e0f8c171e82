"""Our own JSON, that of captures in AvatarReX's layout: {camera: {K, R, T, imgSize?, distCoeff?}}, metres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hgg_pyg.data.calibration import Entry, read_entries
from hgg_pyg.prepare.calibrations.opencv import is_storage
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat


def claims(files: Sequence[Path]) -> list[Path]:
    """JSON files that OpenCV did not write; a damaged one too, so that its reader says what is wrong."""
    return [path for path in files if path.suffix.lower() == ".json" and not is_storage(path)]


def read(files: Sequence[Path]) -> list[Entry]:
    """World to camera, OpenCV's axes, pixel centres at +0.5.

    Raises:
        UserError: as `read_entries`.
    """
    return [entry for path in files for entry in read_entries(path)]


FORMAT = CalibrationFormat(
    name="json",
    summary="our own JSON, {camera: {K, R, T, imgSize, distCoeff}}",
    unit="m",
    claims=claims,
    read=read,
)
