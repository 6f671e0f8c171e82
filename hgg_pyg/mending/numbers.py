"""What mending poses has brought: how far joints moved, PSNR of input images, how the body lies on the masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hgg_pyg.capture_check.examination import MASK_SIZE
from hgg_pyg.capture_check.scene import Overlap, Scene, at_size, median_overlap, read_scene
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clips import even_frames
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import mended_source
from hgg_pyg.making import Maker, input_psnr
from hgg_pyg.mending.subject import Mended

_FRAMES = 8  # that IoU and PSNR are measured on, evenly spread
_CAMERAS = 12  # that IoU is measured on


@dataclass(frozen=True)
class Numbers:
    """Of one subject, before and after."""

    frames: int  # F that can be used
    mended: int  # of them, those with a new pose
    moved_median: float  # mm over joints of these frames; NaN without any
    moved_max: float  # mm
    psnr: tuple[float, float]  # dB of input images, of avatars made anew in one forward pass
    cameras: tuple[str, ...]  # V whose masks were looked at
    iou: tuple[tuple[float | None, ...], tuple[float | None, ...]]  # V
    overlap: tuple[Overlap | None, Overlap | None]  # the median camera's


def measure(maker: Maker, mended: Mended) -> tuple[Numbers, tuple[Scene, Scene]]:
    """All numbers of a subject, and the scenes to show.

    The body is compared with the masks, and avatars that are made anew, in one forward pass from the poses before and
    from those after, with the input images, on evenly spread frames.
    """
    before, after = mended.before, mended.after
    moved = joint_distances(mended)
    scenes = _scenes(mended)
    overlaps = [scene.overlaps() for scene in scenes]
    cameras = tuple(before.camera_names[c] for c in shown_cameras(before))
    numbers = Numbers(
        frames=len(before.frames),
        mended=len(mended.better),
        moved_median=float(np.median(moved)) if moved.size else float("nan"),
        moved_max=float(moved.max()) if moved.size else float("nan"),
        psnr=(_psnr(maker, mended.source, before), _psnr(maker, mended.source, after)),
        cameras=cameras,
        iou=(_ious(overlaps[0]), _ious(overlaps[1])),
        overlap=(median_overlap(overlaps[0]), median_overlap(overlaps[1])),
    )
    return numbers, scenes


def joint_distances(mended: Mended) -> np.ndarray:
    """How far each joint of the body moved in the frames that have a new pose. [K, J] mm"""
    rows, body = list(mended.better), mended.source.body
    if not rows:
        return np.empty((0, body.num_joints))
    places = [body.posed_joints(capture.poses[rows]) for capture in (mended.before, mended.after)]
    return 1000 * (places[1] - places[0])[:, :24].norm(dim=-1).numpy()


def shown_frames(capture: Capture) -> tuple[int, ...]:
    """Positions of the frames that are looked at."""
    return even_frames(0, len(capture.frames), _FRAMES)


def shown_cameras(capture: Capture) -> tuple[int, ...]:
    """Positions of the cameras that are looked at."""
    return even_frames(0, len(capture.cameras), _CAMERAS)


def whole(capture: Capture, longest: int) -> Capture:
    """A capture with whole images, no squares, at a size."""
    return at_size(replace(capture, windows=None), longest)


def _scenes(mended: Mended) -> tuple[Scene, Scene]:
    capture = whole(mended.before, MASK_SIZE)
    scene, _ = read_scene(capture, mended.source.body, shown_frames(capture), shown_cameras(capture))
    viewmats = mended.after.cameras.viewmats[list(shown_cameras(capture))].double().numpy()
    return scene, replace(scene.with_poses(mended.poses), viewmats=viewmats)


def _ious(overlaps: tuple[Overlap | None, ...]) -> tuple[float | None, ...]:
    return tuple(None if overlap is None else overlap.iou for overlap in overlaps)


def _psnr(maker: Maker, source: FrameSource, capture: Capture) -> float:
    """dB of the input images of evenly spread frames, by the avatar that one forward pass makes of them."""
    seen = replace(source, capture=capture, stored=None)
    frames = maker.frames_of(seen)
    seen = mended_source(seen, frames, maker.model)
    return input_psnr(maker.bound(seen, frames).to("cpu"), seen, frames)
