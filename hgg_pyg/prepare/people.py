"""The landmark network on every image, its sightings kept on disk: landmarks as arrays, masks as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.io.files import writing
from hgg_pyg.prepare.landmarks import Landmarker, Sighting
from hgg_pyg.prepare.stages import Stage

_CHUNK = 32  # images whose sightings are kept together, and done anew after an interruption


@dataclass(frozen=True)
class Sightings:
    """The people in F images of each of V cameras, as a stage of the command left them."""

    folder: Path
    points: tuple[tuple[np.ndarray, ...], ...]  # F x V, [N, J, 3] of N people, N from image to image

    def of(self, frame: int, camera: int) -> list[Sighting]:
        """The people in one image, without their masks."""
        return [Sighting(points) for points in self.points[frame][camera]]

    def all(self) -> list[list[list[Sighting]]]:
        """F x V x N, without masks."""
        return [[self.of(frame, camera) for camera in range(len(row))] for frame, row in enumerate(self.points)]

    def mask(self, frame: int, camera: int, person: int) -> Path | None:
        """The file of one person's mask; None where the network gave none."""
        path = mask_path(self.folder, frame, camera, person)
        return path if path.is_file() else None


def mask_path(folder: Path, frame: int, camera: int, person: int) -> Path:
    """Where a mask is kept."""
    return folder / "masks" / f"{camera:04d}" / f"{frame:08d}_{person}.png"


def see_people(
    stage: Stage,
    landmarker: Callable[[], Landmarker],
    read: Callable[[int, int], np.ndarray],
    shape: tuple[int, int],
    most: int,
    seen: Callable[[int], object],
) -> Sightings:
    """Find people in every image of which it is not yet known.

    Args:
        stage: where sightings are kept.
        landmarker: makes the network; called only if there is an image to be looked at.
        read: an image [H, W, 3] uint8 by frame and camera.
        shape: F and V.
        most: people in one image.
        seen: called with the number of images that are done, once and again.

    Raises:
        UserError: as `landmarker`, or the disk is full.
    """
    frames, cameras = shape
    network: Landmarker | None = None
    found: list[list[np.ndarray]] = [[] for _ in range(frames)]
    for camera in range(cameras):
        for start in range(0, frames, _CHUNK):
            chunk, name = range(start, min(start + _CHUNK, frames)), f"{camera:04d}_{start:08d}.npz"
            if not stage.has(name):
                if network is None:
                    network = landmarker()
                people = []
                for frame in chunk:
                    people.append(network.find(read(frame, camera), most)[:most])
                    _save_masks(stage.folder, frame, camera, people[-1])
                    seen(1)
                stage.save(name, **_packed(people, len(network.landmarks)))
            else:
                seen(len(chunk))
            arrays = stage.load(name)
            ends = np.cumsum(arrays["counts"])
            for frame, points in zip(chunk, np.split(arrays["points"], ends[:-1]), strict=True):
                found[frame].append(points)
    return Sightings(stage.folder, tuple(map(tuple, found)))


def _packed(people: Sequence[Sequence[Sighting]], points: int) -> dict[str, np.ndarray]:
    everyone = [sighting.points for image in people for sighting in image]
    return {
        "counts": np.array([len(image) for image in people]),
        "points": np.stack(everyone) if everyone else np.zeros((0, points, 3)),
    }


def _save_masks(folder: Path, frame: int, camera: int, people: Sequence[Sighting]) -> None:
    for person, sighting in enumerate(people):
        if sighting.mask is not None:
            path = mask_path(folder, frame, camera, person)
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(sighting.mask).save(path, compress_level=1)
