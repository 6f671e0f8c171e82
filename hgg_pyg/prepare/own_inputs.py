"""Landmarks and masks of the user's own, read against the footage that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.io.files import writing
from hgg_pyg.prepare.footage.filming import Filmed
from hgg_pyg.prepare.given import (
    GivenLandmarks,
    GivenMasks,
    GivenPoints,
    read_landmarks,
    read_masks,
    read_points3d,
)
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.prepare.locating import MaskOf
from hgg_pyg.prepare.progress import Bar
from hgg_pyg.prepare.stages import Stage


@dataclass(frozen=True, eq=False)
class OwnInputs:
    """What there is; None is what the network has to find."""

    landmarks: GivenLandmarks | None = None
    points: GivenPoints | None = None
    masks: GivenMasks | None = None

    def sightings(self, filmed: Filmed) -> list[list[list[Sighting]]]:
        """The people in F x V images, of landmarks of the user's own."""
        assert self.landmarks is not None
        return self.landmarks.sightings(filmed.sources, [framing.scale for framing in filmed.framings])


def read_own(landmarks: Path | None, points: Path | None, masks: Path | None, filmed: Filmed) -> OwnInputs:
    """Read what is given.

    Args:
        landmarks: in the images, a file or a folder.
        points: landmarks in space, a file.
        masks: a folder.
        filmed: the footage.

    Raises:
        UserError: as `read_landmarks`, `read_points3d` and `read_masks`.
    """
    cameras, found = filmed.calibration, [framing.found for framing in filmed.framings]
    return OwnInputs(
        None if landmarks is None else read_landmarks(landmarks, cameras.names, found, filmed.counts),
        None if points is None else read_points3d(points, cameras, [filmed.size] * len(found)),
        None if masks is None else read_masks(masks, cameras.names, found),
    )


def own_mask_path(folder: Path, frame: int, camera: int) -> Path:
    """Where a mask in the size of the capture is kept."""
    return folder / f"{camera:04d}" / f"{frame:08d}.png"


def file_masks(stage: Stage, given: GivenMasks, filmed: Filmed, bar: Bar) -> None:
    """Bring masks to the size of the images, unless that is done. Those that are not there are left out.

    Raises:
        UserError: as `GivenMasks.read`, or the disk is full.
    """
    if stage.done:
        return
    done = bar(filmed.sources.size)
    for frame, camera in np.ndindex(filmed.sources.shape):
        mask = given.read(int(filmed.sources[frame, camera]), camera)
        if mask is not None:
            path = own_mask_path(stage.folder, frame, camera)
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(filmed.framings[camera].apply(mask)).save(path, compress_level=1)
        done(1)
    stage.finish({})


def own_mask_of(folder: Path) -> MaskOf:
    """Finds a mask by frame and camera; whose landmarks are where does not matter."""

    def find(frame: int, camera: int, points: np.ndarray) -> Path | None:
        path = own_mask_path(folder, frame, camera)
        return path if path.is_file() else None

    return find
