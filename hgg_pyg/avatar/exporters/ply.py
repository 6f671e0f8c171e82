"""The .ply of 3D Gaussian Splatting: exact, and read by most programs for splats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hgg_pyg.avatar.exporters.registry import StillExporter
from hgg_pyg.io.splats import write_ply
from hgg_pyg.types import Gaussians


def write(path: Path, gaussians: Gaussians, about: Mapping[str, str]) -> None:
    """Gaussians [M] with what is known of them as comments."""
    write_ply(path, gaussians, tuple(f"{name}: {text}" for name, text in about.items()))


EXPORTER = StillExporter(
    name="ply",
    summary="3D Gaussian Splatting's own file, in float32",
    suffix=".ply",
    write=write,
)
