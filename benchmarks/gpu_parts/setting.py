"""What a part of the measurement is told, and the table that it fills as it goes."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import machine, write_table


@dataclass(frozen=True)
class Setting:
    """How and where a part measures."""

    part: str
    """its name"""
    out: Path
    """folder of the tables that are kept"""
    work: Path
    """folder of captures, caches, logs and what is built"""
    device: str
    """"cpu" or "cuda\""""
    toy: bool
    """sizes that a CPU does in a few seconds; the numbers mean nothing then"""
    seconds: float
    """how long it may take before it is ended"""
    threads: int
    """of torch and numba"""
    meanwhile: str = ""
    """what was being built beside it"""

    @property
    def captures(self) -> Path:
        """Synthetic captures, made when the measurement starts."""
        return self.work / "captures"

    def to_json(self) -> str:
        """All of it in a line."""
        return json.dumps({**dataclasses.asdict(self), "out": str(self.out), "work": str(self.work)})

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """What `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "out": Path(fields["out"]), "work": Path(fields["work"])})


class Sheet:
    """A CSV file that is written anew, all or nothing, with every row that is added: a part that is ended loses none.

    Args:
        setting: whose `out` it is written to, as PART.csv.
        about: further columns of each row, beside the machine, the versions and the date.
    """

    def __init__(self, setting: Setting, **about: object) -> None:
        self.path = setting.out / f"{setting.part}.csv"
        self._about = {**versions(setting), **about}
        self._rows: list[Mapping[str, object]] = []

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows and write the file."""
        self._rows += [{**row, **self._about} for row in rows]
        write_table(self.path, self._rows)


def versions(setting: Setting) -> dict[str, object]:
    """Device and versions, and what was built meanwhile; the date."""
    gpu = setting.device == "cuda"
    others = {name: _version(name) for name in ("torch_cluster", "gsplat")}
    return {
        **machine(setting.device, setting.threads),
        "capability": card() if gpu else "",
        "cuda": torch.version.cuda if gpu else "",
        **others,
        "built_meanwhile": setting.meanwhile,
        "dry_run": setting.toy,
    }


def card() -> str:
    """Compute capability of the CUDA device, such as 9.0."""
    return ".".join(map(str, torch.cuda.get_device_capability()))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
