"""Images of F moments from V cameras, decoded and filed as JPEG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.io.files import writing
from hgg_pyg.prepare.footage.clock import Moments, Sampling, Timeline, choose_moments
from hgg_pyg.prepare.footage.sizes import Framing, plan_sizes
from hgg_pyg.prepare.footage.source import Source
from hgg_pyg.types import UserError

_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Plan:
    """Which frames become images, and how."""

    sources: tuple[Source, ...]  # V, in the order of the calibration
    timelines: tuple[Timeline, ...]  # V
    calibration: Calibration  # for the images as they are filed
    moments: Moments
    framings: tuple[Framing, ...]  # V
    notes: tuple[str, ...]  # what was done to the footage, in sentences

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images as they are filed."""
        return self.framings[0].final


def plan_images(sources: Sequence[Source], calibration: Calibration, sampling: Sampling, longest: int | None) -> Plan:
    """Look at the footage without decoding it.

    Args:
        sources: of the V cameras of the calibration, in its order.
        calibration: as it was given.
        sampling: which moments are wanted.
        longest: side of the images, pixels; None: as large as they are.

    Raises:
        UserError: as `Source.timeline`, `choose_moments` and `plan_sizes`.
    """
    timelines = [source.timeline() for source in sources]
    framings, placed, notes = plan_sizes(calibration, [line.size for line in timelines], longest)
    moments = choose_moments(timelines, sampling)
    said = (*(note for line in timelines for note in line.notes), *notes)
    return Plan(tuple(sources), tuple(timelines), placed, moments, framings, said)


def image_path(folder: Path, camera: str, frame: int) -> Path:
    """Where an image is filed."""
    return folder / camera / f"{frame:08d}.jpg"


def extract_camera(plan: Plan, camera: int, folder: Path, written: Callable[[int], object]) -> list[int]:
    """Decode one camera's images and file them, numbered by moment.

    Args:
        plan: what to do.
        camera: position.
        folder: where, see `image_path`.
        written: called with the number of moments that are done, once and again.

    Returns:
        The moments of which the camera has an image.

    Raises:
        UserError: an image of another size than the first, or a disk that is full.
    """
    source, framing = plan.sources[camera], plan.framings[camera]
    frames = plan.moments.frames[:, camera]
    moments_of: dict[int, list[int]] = {}
    for moment, frame in enumerate(frames.tolist()):
        moments_of.setdefault(frame, []).append(moment)
    done: list[int] = []
    for frame, image in source.images(sorted(moments_of)):
        try:
            image = framing.apply(image)
        except ValueError as error:
            raise UserError(f"{source.path}: frame {frame}: {error}") from None
        for moment in moments_of[frame]:
            save_image(image_path(folder, plan.calibration.names[camera], moment), image)
        done += moments_of[frame]
        written(len(moments_of[frame]))
    written(len(frames) - len(done))
    return sorted(done)


def save_image(path: Path, image: np.ndarray) -> None:
    """An image [H, W, 3] uint8 as JPEG, its colours in full resolution.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=_QUALITY, subsampling=0)


def keep_whole(moments: Moments, present: Sequence[Sequence[int]], names: Sequence[str]) -> tuple[list[int], Moments]:
    """Only the moments of which every camera has an image; what is lost is counted.

    Args:
        moments: F.
        present: of each camera, the moments with an image.
        names: of the cameras.

    Returns:
        Which moments are left, and they themselves.

    Raises:
        UserError: none is.
    """
    kept = sorted(set.intersection(*map(set, present)))
    lost = [
        LeftOut("frame", tuple(str(moment) for moment in missing), f"{name}: the frame is broken")
        for name, having in zip(names, present, strict=True)
        if (missing := sorted({*range(len(moments.times))} - {*having}))
    ]
    if not kept:
        raise UserError(
            f"expected a moment of which every camera has an image, found none: {'; '.join(map(str, lost))}"
        )
    return kept, replace(
        moments,
        times=moments.times[kept],
        frames=moments.frames[kept],
        numbers=moments.numbers[kept],
        left_out=(*moments.left_out, *lost),
    )
