"""The first stage: images of all moments from all cameras, on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.prepare.footage.clock import Sampling
from hgg_pyg.prepare.footage.extract import extract_camera, image_path, keep_whole, plan_images
from hgg_pyg.prepare.footage.opening import Opened
from hgg_pyg.prepare.footage.sizes import Framing
from hgg_pyg.prepare.progress import Bar
from hgg_pyg.prepare.stages import Stage, reading_kept

_ARRAYS = "moments.npz"


@dataclass(frozen=True, eq=False)
class Filmed:
    """Images of F moments from V cameras, all of one size."""

    folder: Path
    numbers: np.ndarray  # [F] of the files
    times: np.ndarray  # [F] seconds on the common clock
    sources: np.ndarray  # [F, V] number of the frame in each camera's footage
    calibration: Calibration  # V, K for these images
    size: tuple[int, int]
    framings: tuple[Framing, ...]  # V, from the footage's images to these
    counts: tuple[int, ...]  # V, frames of the footage: one more than the largest number
    rate: float  # frames of the common clock a second
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    @property
    def ticks(self) -> np.ndarray:
        """When the moments are, in frames of the common clock. [F] int"""
        return np.round(self.times * self.rate).astype(int)

    @property
    def shape(self) -> tuple[int, int]:
        """F and V."""
        return len(self.times), len(self.framings)

    def path(self, frame: int, camera: int) -> Path:
        """The file of an image, both by position."""
        return image_path(self.folder, self.calibration.names[camera], int(self.numbers[frame]))

    def read(self, frame: int, camera: int) -> np.ndarray:
        """An image. [H, W, 3] uint8

        Raises:
            UserError: somebody has changed or removed it.
        """
        with reading_kept(self.folder), Image.open(self.path(frame, camera)) as image:
            return np.asarray(image.convert("RGB"))


def film(opened: Opened, sampling: Sampling, longest: int | None, work: Path, bar: Bar) -> tuple[Stage, Filmed]:
    """Decode the images, unless they are there.

    Args:
        opened: footage and calibration.
        sampling: which moments are wanted.
        longest: side of the images, pixels; None: as large as they are.
        work: folder of the stages.
        bar: of the progress, in images.

    Raises:
        UserError: as `plan_images`, `extract_camera` and `keep_whole`, or images of an earlier command are gone.
    """
    cameras = opened.calibration
    stamps = "\n".join(source.stamp() for source in opened.sources)
    stage = Stage.open(work, "images", stamps, str(sampling), str(longest), str((cameras.names, cameras.sizes)))
    if not stage.done:
        plan = plan_images(opened.sources, cameras, sampling, longest)
        done = bar(plan.moments.frames.size)
        present = []
        for camera in range(len(cameras.names)):
            part = f"camera{camera:04d}.json"
            if stage.has(part):
                done(len(plan.moments.times))
            else:
                stage.finish({"present": extract_camera(plan, camera, stage.folder, done)}, part)
            present.append(stage.record(part)["present"])
        kept, moments = keep_whole(plan.moments, present, cameras.names)
        scale = plan.calibration.K[:, [0, 1], [0, 1]] / cameras.K[:, [0, 1], [0, 1]]
        framings = np.array([(framing.found, framing.padded, framing.final) for framing in plan.framings])
        stage.save(
            _ARRAYS,
            numbers=np.array(kept),
            times=moments.times,
            sources=moments.numbers,
            framings=framings,
            counts=np.array([line.names[-1] + 1 for line in plan.timelines]),
            scale=scale,
        )
        left_out = [[item.what, item.names, item.reason] for item in moments.left_out]
        stage.finish({"rate": moments.rate, "notes": plan.notes, "left_out": left_out})
    record, arrays = stage.record(), stage.load(_ARRAYS)
    framings = tuple(Framing(*map(tuple, sizes)) for sizes in arrays["framings"].tolist())
    size = framings[0].final
    # Intrinsics may have changed since, where sizes have not
    K = np.stack([np.diag([*scale, 1.0]) @ K for scale, K in zip(arrays["scale"], cameras.K, strict=True)])
    filmed = Filmed(
        folder=stage.folder,
        numbers=arrays["numbers"],
        times=arrays["times"],
        sources=arrays["sources"],
        calibration=replace(cameras, K=K, sizes=(size,) * len(cameras.names)),
        size=size,
        framings=framings,
        counts=tuple(arrays["counts"].tolist()),
        rate=record["rate"],
        left_out=tuple(LeftOut(what, tuple(names), why) for what, names, why in record["left_out"]),
        notes=tuple(record["notes"]),
    )
    with reading_kept(stage.folder):
        for frame, camera in np.ndindex(filmed.shape):
            filmed.path(frame, camera).stat()
    return stage, filmed
