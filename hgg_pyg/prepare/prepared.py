"""What comes out of preparing, all in one place: what the report shows and the writer files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.triangulation import Triangulated
from hgg_pyg.types import BodyPose


@dataclass(frozen=True, eq=False)
class Prepared:
    """F frames of a person seen by V cameras, as they are filed, and how they came to be.

    Raises:
        ValueError: the numbers of frames differ.
    """

    name: str  # of the capture
    folder: Path  # that it is written to: <camera>/%08d.jpg and <camera>/mask/pha/%08d.png, numbered from 0
    calibration: Calibration  # V cameras; K in pixels of the images, which are distorted as its lenses are
    size: tuple[int, int]  # width and height of the images
    times: np.ndarray  # [F] seconds on the cameras' common clock
    sources: np.ndarray  # [F, V] number of the frame in each camera's footage
    landmarks: LandmarkSet  # J points
    found: Triangulated  # [F, V, J]: points2d, points3d, used, errors and what was put right or dropped
    seen: np.ndarray  # [F, V] bool: the person was found in the image; where not, its mask is black
    body: BodyModel
    pose: BodyPose  # F
    fit: Mapping[str, np.ndarray] = field(default_factory=dict)  # what the fit says of itself, arrays by name
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # what was done to the footage and the calibration, in sentences
    settings: Mapping[str, Any] = field(default_factory=dict)  # options of the command by name

    def __post_init__(self) -> None:
        frames = {len(self.times), len(self.sources), len(self.found.points3d), len(self.seen), len(self.pose)}
        if len(frames) != 1:
            raise ValueError(f"Prepared: expected one number of frames, found {sorted(frames)}")

    def image(self, frame: int, camera: int) -> Path:
        """The file of an image, both by position."""
        return self.folder / self.calibration.names[camera] / f"{frame:08d}.jpg"

    def mask(self, frame: int, camera: int) -> Path:
        """The file of a mask, 8 bit, both by position."""
        return self.folder / self.calibration.names[camera] / "mask" / "pha" / f"{frame:08d}.png"
