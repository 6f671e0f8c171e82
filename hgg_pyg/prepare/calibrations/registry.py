"""Which formats of calibrations can be read: each file of this folder that defines a `FORMAT`, and yours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hgg_pyg.avatar.brought import brought, offered
from hgg_pyg.data.calibration import Entry
from hgg_pyg.types import UserError

OPTION = "--calibration-format"


@dataclass(frozen=True, kw_only=True)
class CalibrationFormat:
    """One way of writing cameras down."""

    name: str
    summary: str
    """what writes it, in a line"""
    unit: str | None
    """that its lengths are in, a name of `reading.UNITS`; None: it has none, and the user must say"""
    claims: Callable[[Sequence[Path]], Sequence[Path]]
    """Of some files, those that are a calibration of this format; none if none is. It looks, and raises nothing."""
    read: Callable[[Sequence[Path]], Sequence[Entry]]
    """The cameras of the files that it claims: OpenCV's axes, world to camera, K with pixel centres at +0.5, T in
    `unit`. Values need no checks: `make_calibration` makes them."""


@cache
def calibration_formats() -> dict[str, CalibrationFormat]:
    """Our formats by name."""
    return offered("hgg_pyg.prepare.calibrations", "FORMAT", CalibrationFormat)


def find_calibration_format(name: str) -> CalibrationFormat:
    """The format that is meant: one of ours, or "module:NAME" of yours.

    Raises:
        UserError: there is none of this name, it cannot be imported, or is no format.
    """
    if name in calibration_formats():
        return calibration_formats()[name]
    if ":" not in name:
        expected = f"one of {', '.join(calibration_formats())}, or module:NAME of a format of yours"
        raise UserError(f"{OPTION}: expected {expected}; found {name!r}")
    return brought(OPTION, name, CalibrationFormat, "a calibration format")
