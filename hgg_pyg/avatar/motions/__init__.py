"""Motions for an avatar: our own by name, and files of AMASS, EasyMocap, BVH, DeepMimic and ours, fitted to it."""

from __future__ import annotations

from pathlib import Path

from hgg_pyg.avatar.motion import FASTEST, SLOWEST, Motion
from hgg_pyg.avatar.motions.clip import Clip
from hgg_pyg.avatar.motions.format import MotionFormat
from hgg_pyg.avatar.motions.own import OWN_MOTIONS
from hgg_pyg.avatar.motions.registry import motion_formats, read_clip, register
from hgg_pyg.avatar.motions.retarget import retarget
from hgg_pyg.avatar.motions.skeletons import SourceSkeleton, clip_of
from hgg_pyg.avatar.motions.smpl import smpl_clip
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.types import UserError

MOTION_FORMATS = motion_formats()
"""The formats that come with us, by name."""


def load_motion(
    name_or_path: str | Path, skeleton: Skeleton, fps: float | None = None, max_frames: int | None = None
) -> Motion:
    """A motion for a skeleton: upright along y, facing +z at the start, above the origin, on the ground y = 0.

    Args:
        name_or_path: "walk", "wave", "dance" or "turntable", whose last frame leads to the first; a file or folder of
            one of `MOTION_FORMATS`; or `module:NAME` or `module:NAME:FILE` of yours, see `read_clip`.
        skeleton: SMPL's 24 or SMPL-X's 55 joints of a person in the T-pose.
        fps: frames per second, between which poses are interpolated; None: as many as the motion has.
        max_frames: at most so many of them, from the beginning.

    Raises:
        UserError: no such motion, the file is damaged or of another kind, numbers are out of bounds; in one line.
    """
    if fps is not None and not SLOWEST <= fps <= FASTEST:
        raise UserError(f"fps: expected {SLOWEST:g} to {FASTEST:,.0f} frames per second, found {fps:g}")
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames: expected at least 1, found {max_frames}")
    clip = read_clip(name_or_path, fps)
    if max_frames is not None:
        clip = clip.first(int(max_frames * (clip.fps / fps if fps else 1)) + 2)
    motion = retarget(clip, skeleton)
    if fps is not None and str(name_or_path) not in OWN_MOTIONS:
        motion = motion.at(fps)
    return motion if max_frames is None else motion.first(max_frames)


__all__ = [
    "MOTION_FORMATS",
    "OWN_MOTIONS",
    "Clip",
    "Motion",
    "MotionFormat",
    "SourceSkeleton",
    "clip_of",
    "load_motion",
    "motion_formats",
    "read_clip",
    "register",
    "retarget",
    "smpl_clip",
]
