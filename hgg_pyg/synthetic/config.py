"""What to synthesize."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from hgg_pyg.config import Bounds, FrameCount, Seed, ViewCount, check_choices

LayoutName = Literal[
    "avatarrex",
    "avatarrex_smplx",
    "thuman4",
    "mvhumannet_48",
    "mvhumannet_16",
    "mvhumannet_pp",
    "zju_mocap",
    "zju_mocap_313",
    "people_snapshot",
    "neuman",
]
Clothes = Literal["any", "bodysuit"]


@dataclass(frozen=True)
class SynthesizeConfig:
    """Synthetic people in motion, in front of a ring of cameras.

    Raises:
        ValueError: a number is too small or too large.
    """

    out: Path
    """folder to write; an existing one made with the same options is completed"""
    subjects: Annotated[int, Bounds(3, 1_000_000)] = 24
    """number of people, at least 3; about 1/12 are for validation, 1/6 for testing, the others for training"""
    frames: FrameCount = 24
    """frames per person; their motion takes the same few seconds for any number"""
    views: ViewCount = 12
    """cameras around each person; people_snapshot and neuman have one, whatever is given"""
    size: Annotated[int, Bounds(16, 65_535)] = 128
    """height of the images in pixels, at least 16; the width is the same unless the layout has wider images"""
    seed: Seed = 0
    """random seed: the same seed gives the same files, another one other people"""
    workers: Annotated[int, Bounds(0, 10_000)] = 0
    """number of processes, 0 for one per core; the files are the same for any number"""
    layout: LayoutName = "avatarrex"
    """data set whose folders, file formats, units and axes are written"""
    clothes: Clothes = "any"
    """any: random clothes and hair; bodysuit: clothes painted on the skin and no hair, so that masks show the body"""
    motion: tuple[str, ...] = ()
    """what the people do, one motion each in turn, on the spot: walk, wave, dance, turntable, files (AMASS, SMPL,
    EasyMocap, BVH, DeepMimic, .avatar), or module:NAME of yours; by default each does two or three at random"""
    turn: Annotated[float, Bounds(0, 3600)] = 0.0
    """degrees by which everybody turns at least in the first three quarters of the frames, those that may be input; by
    default some turn by 90; not of motions that are given"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.turn and self.motion:
            raise ValueError(f"turn: expected 0 where motions are given, found {self.turn:g}")


DEMO = SynthesizeConfig(out=Path("captures/demo"))
"""What commands make when they are given no captures."""
