"""The .splat of browser viewers: 32 bytes per Gaussian and nothing else, so there is no room for text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch.nn.functional import normalize

from hgg_pyg.avatar.exporters.registry import StillExporter
from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import Gaussians

LAYOUT = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("quat", "u1", 4)])
"""Metres, linear; RGB and opacity times 255; wxyz times 128 plus 128."""


def write(path: Path, gaussians: Gaussians, about: Mapping[str, str]) -> None:
    """Gaussians [M] in the order that they have: unlike other writers' files, the greatest do not come first."""
    rows = np.empty(len(gaussians), LAYOUT)
    rows["mean"], rows["scale"] = gaussians.means.cpu().numpy(), gaussians.scales.cpu().numpy()
    rows["color"][:, :3] = (255 * gaussians.colors).round().clamp(0, 255).byte().cpu().numpy()
    rows["color"][:, 3] = (255 * gaussians.opacities).round().clamp(0, 255).byte().cpu().numpy()
    rows["quat"] = (
        (128 * normalize(gaussians.quats.double(), dim=1, eps=0) + 128).round().clamp(0, 255).byte().cpu().numpy()
    )
    write_atomically(path, lambda temporary: temporary.write_bytes(rows.tobytes()))


EXPORTER = StillExporter(
    name="splat",
    summary="32 bytes per Gaussian, for viewers in browsers",
    suffix=".splat",
    write=write,
)
