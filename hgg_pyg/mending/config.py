"""What is mended, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.config import Seconds, Seed, Steps, check_choices
from hgg_pyg.maker_choice import MakerOptions


@dataclass(frozen=True, kw_only=True)
class MendConfig(MakerOptions):
    """Of whom, for how long, and where to."""

    capture: Annotated[Path, tyro.conf.Positional]
    """folder of a subject, or of several, in any of the known layouts"""
    out: Path
    """folder that gets a folder for each subject, and report/"""
    seconds: Seconds = 20.0
    """of each subject's fit of an avatar together with the poses of --frames frames"""
    seconds_per_frame: Seconds = 1.0
    """of the fit of every other frame's pose to that avatar"""
    cameras: bool = True
    """put the cameras right, too, where the masks say that they stand elsewhere than the capture has them"""
    camera_seconds: Seconds = 40.0
    """of that fit for four cameras; more cameras get as much more"""
    steps: Steps | None = None
    """at most so many steps of each of these fits, whatever the time"""
    shape: bool = True
    """mend the shape of the body, too"""
    copy: bool = False
    """copy images and masks; by default they become second names of the same files where the disk can have such"""
    seed: Seed = 0
    """of the order in which a fit sees images"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
