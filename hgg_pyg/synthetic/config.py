"""What to synthesize."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hgg_pyg.types import UserError

LayoutName = Literal[
    "avatarrex",
    "avatarrex_smplx",
    "thuman4",
    "mvhumannet_48",
    "mvhumannet_16",
    "mvhumannet_pp",
    "zju_mocap",
    "zju_mocap_313",
]
Clothes = Literal["any", "bodysuit"]


@dataclass(frozen=True)
class SynthesizeConfig:
    """Synthetic people in motion, in front of a ring of cameras.

    Raises:
        UserError: a number is too small.
    """

    out: Path
    """folder to write; a finished or interrupted one made with the same options is kept and completed"""
    subjects: int = 24
    """people, at least 3: about a twelfth for validation, a sixth for testing, the rest for training"""
    frames: int = 24
    """frames of each person's motion, which lasts some seconds whatever their number"""
    views: int = 12
    """cameras around each person"""
    size: int = 128
    """height of the images, pixels, at least 16; also their width, but in layouts of data sets with wider ones"""
    seed: int = 0
    """another seed gives other people; the same one the same files"""
    workers: int = 0
    """processes, 0 for one a core; the files do not depend on it"""
    layout: LayoutName = "avatarrex"
    """the data set whose folders, file formats, units and axes the captures have"""
    clothes: Clothes = "any"
    """what people wear: drawn at random, or painted on their skin and no hair, so that masks are those of the body"""

    def __post_init__(self) -> None:
        least = {"subjects": 3, "frames": 1, "views": 1, "size": 16, "seed": 0, "workers": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(f"{name}: expected at least {value}, found {getattr(self, name)}")


DEMO = SynthesizeConfig(out=Path("captures/demo"))
"""What commands make when they are given no captures."""
