"""The landmark network on every image, its sightings kept on disk: landmarks as arrays, masks as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.io.files import writing
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks import Landmarker, Sighting
from hgg_pyg.prepare.progress import Bar
from hgg_pyg.prepare.stages import Stage

_LANDMARKS = "landmarks.json"
_NEAR = 0.25  # of a person's height, within which landmarks of two networks are of the same person
_CHUNK = 32  # images whose sightings are kept together, and done anew after an interruption


@dataclass(frozen=True)
class Sightings:
    """The people in F images of each of V cameras, as a stage of the command left them."""

    folder: Path
    landmarks: LandmarkSet  # J points
    points: tuple[tuple[np.ndarray, ...], ...]  # F x V, [N, J, 3] of N people, N from image to image

    def of(self, frame: int, camera: int) -> list[Sighting]:
        """The people in one image, without their masks."""
        return [Sighting(points) for points in self.points[frame][camera]]

    def all(self) -> list[list[list[Sighting]]]:
        """F x V x N, without masks."""
        return [[self.of(frame, camera) for camera in range(len(row))] for frame, row in enumerate(self.points)]

    def mask_of(self, landmarks: LandmarkSet) -> Callable[[int, int, np.ndarray], Path | None]:
        """Finds the mask of somebody whose landmarks are known, from this network or from elsewhere.

        Args:
            landmarks: of the points; those with names of the network's landmarks are compared.

        Returns:
            A function of frame, camera and points [J, 3] to the file of the mask of whoever is nearest; None where
            nobody is near, the network gave no mask, or no point is known.
        """
        shared = [name for name in landmarks.points if name in self.landmarks.points]
        theirs, ours = ([known.index(name) for name in shared] for known in (landmarks, self.landmarks))

        def find(frame: int, camera: int, points: np.ndarray) -> Path | None:
            people = self.points[frame][camera]
            known = np.isfinite(points[theirs]).all(-1)
            if not len(people) or not known.any():
                return None
            place = points[theirs][known, :2]
            size = max(float(np.ptp(place, axis=0).max()), 1.0)
            away = np.linalg.norm(people[:, ours][:, known, :2] - place, axis=-1).mean(1) / size
            path = mask_path(self.folder, frame, camera, int(np.argmin(away)))
            return path if away.min() < _NEAR and path.is_file() else None

        return find


def mask_path(folder: Path, frame: int, camera: int, person: int) -> Path:
    """Where a mask is kept."""
    return folder / "masks" / f"{camera:04d}" / f"{frame:08d}_{person}.png"


def see_people(
    stage: Stage,
    landmarker: Callable[[], Landmarker],
    read: Callable[[int, int], np.ndarray],
    shape: tuple[int, int],
    most: int,
    bar: Bar,
) -> Sightings:
    """Find people in every image of which it is not yet known.

    Args:
        stage: where sightings are kept.
        landmarker: makes the network; called only if there is an image to be looked at.
        read: an image [H, W, 3] uint8 by frame and camera.
        shape: F and V.
        most: people in one image.
        bar: of the progress, in images.

    Raises:
        UserError: as `landmarker`, or the disk is full.
    """
    frames, cameras = shape
    network: Landmarker | None = None
    seen = (lambda images: None) if stage.done else bar(frames * cameras)
    found: list[list[np.ndarray]] = [[] for _ in range(frames)]
    for camera in range(cameras):
        for start in range(0, frames, _CHUNK):
            chunk, name = range(start, min(start + _CHUNK, frames)), f"{camera:04d}_{start:08d}.npz"
            if not stage.has(name):
                if network is None:
                    network = landmarker()
                    known = network.landmarks
                    stage.finish({"name": known.name, "points": known.points}, _LANDMARKS)
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
    stage.finish({"images": frames * cameras})
    record = stage.record(_LANDMARKS)
    landmarks = LandmarkSet(record["name"], tuple(record["points"]))
    return Sightings(stage.folder, landmarks, tuple(map(tuple, found)))


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
