"""Cameras whose images do not belong to their calibration, and whose calibration they belong to instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from hgg_pyg.capture_check.faults import Fault
from hgg_pyg.capture_check.places import Places
from hgg_pyg.capture_check.scene import Overlap, Scene, median_overlap
from hgg_pyg.capture_check.search import Diagnosis, small_size

_ODD = 0.6  # of the median camera's IoU: below it a camera disagrees with the others
_SUSPECT = 0.85  # of the median camera's IoU: below it one does whose images fit another calibration
_FITS = 0.93  # of the median camera's IoU, from which on a calibration is the right one


@dataclass(frozen=True)
class OddCamera:
    """A camera that disagrees with the others."""

    camera: int  # by position in the scene
    overlap: Overlap
    others: Overlap
    fits: int | None  # the camera whose calibration fits its images


def odd_cameras(scene: Scene, overlaps: Sequence[Overlap | None]) -> tuple[OddCamera, ...]:
    """Cameras whose IoU is far below the median's; none where the median itself is not good.

    Args:
        scene: V cameras.
        overlaps: of each of them, as `scene.overlaps()` returns it.
    """
    middle = median_overlap(overlaps)
    if middle is None or not middle.good:
        return ()
    suspects = [(c, o) for c, o in enumerate(overlaps) if o is not None and o.iou < _SUSPECT * middle.iou]
    if not suspects:
        return ()
    fit = cross_fit(scene)
    usual = float(np.median(fit.diagonal()))
    found = []
    for camera, overlap in suspects:
        best = int(fit[camera].argmax())
        fits = best if best != camera and fit[camera, best] > _FITS * usual else None
        if fits is not None or overlap.iou < _ODD * middle.iou:
            others = median_overlap([o for c, o in enumerate(overlaps) if c != camera])
            found.append(OddCamera(camera, overlap, others or middle, fits))
    return tuple(found)


def exchanged_cameras(scene: Scene, names: Sequence[str]) -> Diagnosis | None:
    """Whether calibrations under other cameras' names would explain what is seen, as after two ways of sorting."""
    before = scene.overlap()
    if before is None or len(names) < 2:
        return None
    order = linear_sum_assignment(cross_fit(scene), maximize=True)[1]
    moved = [camera for camera in range(len(names)) if order[camera] != camera]
    shown = ", ".join(f"'{names[camera]}' fit '{names[order[camera]]}'" for camera in moved[:4])
    more = ", ..." if len(moved) > 4 else ""

    def mend(whole: Scene) -> Scene:
        return replace(whole, viewmats=whole.viewmats[order], Ks=whole.Ks[order])

    def advice(places: Places) -> str:
        return (
            f"{places.extrinsics}, and the cameras' other keys: {len(moved)} of {len(names)} cameras have the "
            f"calibration of another one; the images of {shown}{more}"
        )

    after = mend(scene).overlap()
    if after is None or not after.good or after.iou < before.iou + 0.1:
        return None
    return Diagnosis((Fault("extrinsics", "calibrations of other cameras", mend, advice),), before, after)


def cross_fit(scene: Scene) -> np.ndarray:
    """IoU of the images of camera c (rows) with the body as the calibration of camera k sees it (columns). [V, V]

    0 for a camera without usable masks.
    """
    frames, cameras = scene.usable.shape
    small = scene.part(range(frames), range(cameras), small_size(scene))
    bodies = np.stack([[small.silhouette(t, v).ravel() for v in range(cameras)] for t in range(frames)])
    masks = small.masks.reshape(bodies.shape) & small.usable[..., None]
    both, either = np.zeros((cameras, cameras)), np.zeros((cameras, cameras))
    for t in range(frames):
        body, mask = bodies[t].astype(np.float32), masks[t].astype(np.float32)
        common = mask @ body.T
        seen = small.usable[t][:, None]
        both += common * seen
        either += (mask.sum(1)[:, None] + body.sum(1) - common) * seen
    return both / np.maximum(either, 1)
