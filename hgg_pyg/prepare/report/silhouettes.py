"""The posed body as the cameras should see it, beside the masks: both without the lens, at a size that is quick."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.capture_check.scene import Overlap, counts_of, has_outline, overlap_of
from hgg_pyg.data.clips import even_frames
from hgg_pyg.data.images import Window, fitted_size, read_pixels
from hgg_pyg.data.lens import Lens
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.types import BodyPose, UserError

_LONGEST = 480  # pixels of an image in which body and mask are compared
_COMPARED = 400  # images at most

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True, eq=False)
class Views:
    """The cameras as ideal ones, whose images are undistorted by `lenses`."""

    viewmats: np.ndarray  # [V, 4, 4]
    Ks: np.ndarray  # [V, 3, 3] pixels of the images
    lenses: tuple[Lens | None, ...]  # V

    def window(self, camera: int, window: Window, size: tuple[int, int]) -> np.ndarray:
        """K of a part of the undistorted image, shown at a (width, height). [3, 3]"""
        K = self.Ks[camera].copy()
        K[:2, 2] -= window.left, window.top
        return np.diag([size[0] / window.width, size[1] / window.height, 1.0]) @ K


def views_of(prepared: Prepared) -> Views:
    """The cameras of a capture."""
    calibration, count = prepared.calibration, len(prepared.calibration.names)
    viewmats = np.tile(np.eye(4), (count, 1, 1))
    viewmats[:, :3, :3], viewmats[:, :3, 3] = calibration.R, calibration.T
    return Views(viewmats, calibration.intrinsics(prepared.size), calibration.lenses(prepared.size) or (None,) * count)


def posed_vertices(body: BodyModel, pose: BodyPose, frame: int) -> np.ndarray:
    """[N, 3] float64 metres, of a frame by position."""
    return body.pose(pose[[frame]]).vertices[0].double().numpy()


@dataclass(frozen=True, eq=False)
class Overlaps:
    """How the body lies on the masks in K frames of V cameras."""

    frames: tuple[int, ...]  # K positions
    counts: np.ndarray  # [K, V, 5] what `capture_check.scene.overlap_of` takes; zeros where no mask is usable

    @property
    def of_cameras(self) -> tuple[Overlap | None, ...]:
        """Of each camera over all frames; None where no mask is usable. V"""
        return tuple(overlap_of(total) for total in self.counts.sum(0))

    @property
    def iou(self) -> np.ndarray:
        """Of each image, [K, V]; NaN where no mask is usable."""
        return np.where(self.counts[..., 1] > 0, self.counts[..., 0] / self.counts[..., 1].clip(1), np.nan)


def overlaps(prepared: Prepared, views: Views) -> Overlaps:
    """Compare body and masks in evenly spaced frames.

    Images in which the person was not found do not count, nor those whose mask cannot be read; the log names these.
    """
    count, size = len(views.Ks), fitted_size(*prepared.size, _LONGEST)
    frames = even_frames(0, len(prepared.times), max(1, _COMPARED // count))
    whole = Window(0, 0, *prepared.size)
    counts = np.zeros((len(frames), count, 5), np.int64)
    for row, frame in enumerate(frames):
        vertices = posed_vertices(prepared.body, prepared.pose, frame)
        for camera in np.flatnonzero(prepared.seen[frame]).tolist():
            mask = read_mask(prepared, views, frame, camera, whole, size)
            if mask is None or not has_outline(mask >= 0.5):
                continue
            K = views.window(camera, whole, size)
            body = silhouette(vertices, prepared.body.faces.numpy(), views.viewmats[camera], K, size)
            counts[row, camera] = counts_of(body, mask >= 0.5)
    return Overlaps(frames, counts)


def read_mask(
    prepared: Prepared, views: Views, frame: int, camera: int, window: Window, size: tuple[int, int]
) -> np.ndarray | None:
    """A part of an undistorted mask, [H, W] in [0, 1]; None where the file cannot be read, and the log says so."""
    try:
        return read_pixels(prepared.mask(frame, camera), "L", prepared.size, size, window, views.lenses[camera], 255)
    except UserError as error:
        log.warning("%s; it is left out of the report", error)
        return None


def read_photograph(
    prepared: Prepared, views: Views, frame: int, camera: int, window: Window, size: tuple[int, int]
) -> np.ndarray | None:
    """A part of an undistorted image, [H, W, 3] uint8; None where the file cannot be read, and the log says so."""
    try:
        image = read_pixels(prepared.image(frame, camera), "RGB", prepared.size, size, window, views.lenses[camera])
    except UserError as error:
        log.warning("%s; it is left out of the report", error)
        return None
    return (image * 255).round().astype(np.uint8)


def box_of(points: Sequence[np.ndarray]) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of all that is finite in arrays of places [..., 2]; None of none."""
    flat = np.concatenate([part.reshape(-1, 2) for part in points]) if points else np.empty((0, 2))
    flat = flat[np.isfinite(flat).all(1)]
    if not len(flat):
        return None
    (left, top), (right, bottom) = flat.min(0).tolist(), flat.max(0).tolist()
    return left, top, right, bottom
