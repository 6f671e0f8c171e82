"""Which formats an avatar can be written in: each file of this folder that defines an `EXPORTER`, and yours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.brought import brought, missing_packages, offered
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.types import Gaussians, UserError


@dataclass(frozen=True)
class _Exporter:
    name: str
    summary: str
    """what it is for, in a line"""
    suffix: str
    """of its files, with the dot"""
    requires: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """modules that it needs, each with the name that pip knows it by"""


@dataclass(frozen=True, kw_only=True)
class StillExporter(_Exporter):
    """A format of Gaussians in one pose. A motion becomes numbered files."""

    write: Callable[[Path, Gaussians, Mapping[str, str]], object]
    """Writes Gaussians [M] in the world, y up, and what is known of them, by name: provenance and licences."""
    sequences: bool = True
    """False: no numbered files"""


@dataclass(frozen=True, kw_only=True)
class MovingExporter(_Exporter):
    """A format that holds the avatar, its skeleton and motions."""

    write: Callable[[Path, Avatar, Sequence[Motion], bool], object]
    """Writes an avatar and motions for its skeleton; True: as precisely as it can rather than small."""


Exporter = StillExporter | MovingExporter


@cache
def exporters() -> dict[str, Exporter]:
    """Our exporters by name."""
    return offered("hgg_pyg.avatar.exporters", "EXPORTER", Exporter)


def find_exporter(name: str) -> Exporter:
    """The exporter that is meant: one of ours, or "module:NAME" of yours, for which this Python has what it needs.

    Raises:
        UserError: there is none of this name, it cannot be imported or is no exporter, or a module that it needs is
            not installed.
    """
    exporter = exporters().get(name)
    if exporter is None and ":" not in name:
        expected = f"one of {', '.join(exporters())}, or module:NAME of an exporter of yours"
        raise UserError(f"--to: expected {expected}; found {name!r}")
    exporter = exporter or brought("--to", name, Exporter, "an exporter")
    if missing := missing_packages(exporter.requires):
        raise UserError(f"--to {name}: expected {', '.join(missing)}, found none: pip install {' '.join(missing)}")
    return exporter
