"""Niantic's .spz, some 15 bytes per Gaussian, by gsply. It has no room for text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from torch.nn.functional import normalize

from hgg_pyg.avatar.exporters.registry import StillExporter
from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import Gaussians, UserError

_Y0 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))
_FAINTEST = 1e-6  # opacities are kept this far from 0 and 1, where their logits would be infinite


def write(path: Path, gaussians: Gaussians, about: Mapping[str, str]) -> None:
    """Gaussians [M]; places as finely as 24 bits hold them, everything else in eight bits or nine."""
    import gsply

    arrays = (
        gaussians.means,
        gaussians.scales.log(),
        normalize(gaussians.quats.double(), dim=1, eps=0),
        gaussians.opacities.clamp(_FAINTEST, 1 - _FAINTEST).logit(),
        (gaussians.colors - 0.5) / _Y0,
    )
    data = gsply.GSData.from_arrays(*(array.float().cpu().numpy() for array in arrays), format="ply")
    bits = place_bits(float(gaussians.means.abs().max()))
    write_atomically(path, lambda temporary: gsply.write_spz(temporary, data, fractional_bits=bits))


def place_bits(farthest: float) -> int:
    """How many of a place's 24 bits can stand behind the point, so that this many metres fit before it.

    At most 16, a step of 15 micrometres. The 12 that other writers take are steps of a quarter of a millimetre.

    Raises:
        UserError: that far reaches no file of this kind.
    """
    bits = min(16, 22 - math.floor(math.log2(max(farthest, 1.0))))
    if bits < 1:
        raise UserError(f"--to spz: expected Gaussians within 2,000 km, found one {farthest:.3g} metres away")
    return bits


EXPORTER = StillExporter(
    name="spz",
    summary="the same as ply in a fifteenth of the size, rounded",
    suffix=".spz",
    write=write,
    requires={"gsply": "gsply"},
)
