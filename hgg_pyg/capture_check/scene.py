"""The images of a capture that are looked at, with the posed body and cameras, and how well they lie on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from hgg_pyg.body import BodyModel
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.images import fitted_size
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.types import BodyPose, UserError

_WHOLE = 0.98  # share of an image from which on what covers it has no outline of a person


@dataclass(frozen=True)
class Overlap:
    """How the body's silhouette lies on the mask, of one camera or of many images."""

    iou: float  # common pixels / pixels of either
    inside: float  # share of the silhouette's pixels that are in the mask; 0 for no silhouette
    height: float  # rows that the mask has pixels in / those of the silhouette; infinite for no silhouette

    @property
    def good(self) -> bool:
        """Whether body and images belong together: IoU >= 0.85, as of tight clothes; or loose clothes, IoU >= 0.5 with

        92% of the body inside the mask. In both cases the person must be as tall as the body to within 15%: clothes
        make nobody taller, but a wrong scale does.
        """
        return (self.iou >= 0.85 or (self.iou >= 0.5 and self.inside >= 0.92)) and 0.87 <= self.height <= 1.15

    @property
    def bad(self) -> bool:
        """Whether nothing could be learnt: IoU < 0.4, or less than 60% of the body inside the mask."""
        return self.iou < 0.4 or self.inside < 0.6

    def __str__(self) -> str:
        return f"IoU {self.iou:.2f}, {self.inside:.0%} of the body inside the mask"


@dataclass(frozen=True)
class MaskFaults:
    """Masks that hold no person's outline, among those looked at: positions of (frame, camera)."""

    empty: tuple[tuple[int, int], ...]
    whole: tuple[tuple[int, int], ...]
    broken: tuple[tuple[int, int, str], ...]  # with what was found wrong with the file


@dataclass(frozen=True)
class Scene:
    """T frames from V cameras as silhouettes see them. A guess about a fault is a function from a scene to a scene."""

    body: BodyModel
    poses: BodyPose  # of the whole capture
    frames: tuple[int, ...]  # T positions in `poses`
    vertices: np.ndarray  # [T, N, 3] float64, posed
    transl: np.ndarray  # [T, 3] of these poses
    swing: np.ndarray  # [T, 3] (R - 1) J0: what rotating about the root adds to rotating about the origin
    viewmats: np.ndarray  # [V, 4, 4] float64
    Ks: np.ndarray  # [V, 3, 3] float64, pixels of the masks
    masks: np.ndarray  # [T, V, H, W] bool
    usable: np.ndarray  # [T, V] bool: the mask has an outline

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the masks."""
        return self.masks.shape[3], self.masks.shape[2]

    @property
    def faces(self) -> np.ndarray:
        """[F, 3] int64"""
        return self.body.faces.numpy()

    def at_frames(self, frames: Sequence[int]) -> Scene:
        """The same images with the body as it is posed in other frames, T positions in `poses`."""
        return replace(self, frames=tuple(frames), **_posed(self.body, self.poses[list(frames)]))

    def with_poses(self, poses: BodyPose) -> Scene:
        """The same images with other poses of the whole capture."""
        return replace(self, poses=poses, **_posed(self.body, poses[list(self.frames)]))

    def part(self, frames: Sequence[int], cameras: Sequence[int], size: tuple[int, int]) -> Scene:
        """Some frames and cameras by position in this scene, at another (width, height)."""
        rows, columns = list(frames), list(cameras)
        masks = self.masks[np.ix_(rows, columns)]
        zoom = np.diag([size[0] / self.size[0], size[1] / self.size[1], 1.0])
        return replace(
            self,
            frames=tuple(self.frames[row] for row in rows),
            vertices=self.vertices[rows],
            transl=self.transl[rows],
            swing=self.swing[rows],
            viewmats=self.viewmats[columns],
            Ks=zoom @ self.Ks[columns],
            masks=np.stack([[_resized(mask, size) for mask in of_frame] for of_frame in masks]),
            usable=self.usable[np.ix_(rows, columns)],
        )

    def silhouette(self, frame: int, camera: int) -> np.ndarray:
        """The body as a camera should see it. [H, W] bool"""
        return silhouette(self.vertices[frame], self.faces, self.viewmats[camera], self.Ks[camera], self.size)

    def counts(self, frame: int, camera: int) -> np.ndarray:
        """Pixels of both mask and body, of either, of the body; rows of the mask, rows of the body. [5] int64

        Zeros for a mask without outline. A body that fills the image has a camera inside it, and counts as unseen.
        """
        if not self.usable[frame, camera]:
            return np.zeros(5, np.int64)
        return counts_of(self.silhouette(frame, camera), self.masks[frame, camera])

    def overlaps(self) -> tuple[Overlap | None, ...]:
        """Of each camera, over all frames; None where no mask is usable. V of them"""
        frames, cameras = self.usable.shape
        total = [sum(self.counts(frame, camera) for frame in range(frames)) for camera in range(cameras)]
        return tuple(overlap_of(np.asarray(counts)) for counts in total)

    def overlap(self) -> Overlap | None:
        """The median camera's: a camera that is wrong alone does not count."""
        return median_overlap(self.overlaps())


def has_outline(mask: np.ndarray) -> bool:
    """Whether a mask, [H, W] bool, shows somebody whose outline can be compared: not nothing, nor all of the image."""
    return 0 < mask.mean() < _WHOLE


def counts_of(body: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What `Scene.counts` says of one image. [H, W] bool, both -> [5] int64"""
    if body.mean() >= _WHOLE:
        body = np.zeros_like(body)
    rows = [shape.any(1).sum() for shape in (mask, body)]
    return np.array([(body & mask).sum(), (body | mask).sum(), body.sum(), *rows])


def overlap_of(counts: np.ndarray) -> Overlap | None:
    """From sums of what `Scene.counts` returns; None without any mask."""
    both, either, body, tall, body_tall = counts.tolist()
    if not either:
        return None
    return Overlap(both / either, both / body, tall / body_tall) if body else Overlap(0.0, 0.0, float("inf"))


def median_overlap(overlaps: Sequence[Overlap | None]) -> Overlap | None:
    """The median of each number over the cameras that have one."""
    found = [overlap for overlap in overlaps if overlap is not None]
    if not found:
        return None
    return Overlap(*(float(np.median([getattr(o, name) for o in found])) for name in ("iou", "inside", "height")))


def read_scene(
    capture: Capture, body: BodyModel, frames: Sequence[int], cameras: Sequence[int]
) -> tuple[Scene, MaskFaults]:
    """Read the masks of some frames from some cameras, both by position in the capture, at the capture's size."""
    width, height = capture.size()
    masks = np.zeros((len(frames), len(cameras), height, width), bool)
    empty, whole, broken = [], [], []
    usable = np.zeros(masks.shape[:2], bool)
    for t, frame in enumerate(frames):
        for v, camera in enumerate(cameras):
            try:
                masks[t, v] = capture.mask(frame, camera) >= 0.5
            except UserError as error:
                broken.append((frame, camera, str(error)))
                continue
            share = masks[t, v].mean()
            usable[t, v] = 0 < share < _WHOLE
            if share == 0:
                empty.append((frame, camera))
            elif share >= _WHOLE:
                whole.append((frame, camera))
    views = capture.cameras[list(cameras)]
    scene = Scene(
        body=body,
        poses=capture.poses,
        frames=tuple(frames),
        viewmats=views.viewmats.double().numpy(),
        Ks=views.Ks.double().numpy(),
        masks=masks,
        usable=usable,
        **_posed(body, capture.poses[list(frames)]),
    )
    return scene, MaskFaults(tuple(empty), tuple(whole), tuple(broken))


def at_size(capture: Capture, longest: int) -> Capture:
    """A capture read whole at another size, at most the files'."""
    width, height = fitted_size(*capture.file_size, longest)
    cameras = capture.cameras
    zoom = torch.diag(torch.tensor([width / cameras.width, height / cameras.height, 1.0], dtype=cameras.Ks.dtype))
    return replace(capture, cameras=replace(cameras, Ks=zoom @ cameras.Ks, width=width, height=height))


def _posed(body: BodyModel, poses: BodyPose) -> dict[str, np.ndarray]:
    # A frame at a time: the maps of the vertices of a large body take half a gigabyte for a hundred frames.
    vertices = [body.pose(poses[[row]]).vertices[0].double().numpy() for row in range(len(poses))]
    root = body.rest_joints(poses.betas)[0]
    swing = rotation_matrices(poses.global_orient) @ root - root
    return {"vertices": np.stack(vertices), "transl": poses.transl.double().numpy(), "swing": swing.double().numpy()}


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if size == mask.shape[::-1]:
        return mask
    shares = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.asarray(shares) >= 0.5
