"""Poses of a clip corrected by the network, before anything is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from hgg_pyg.body import BodyModel
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.pose_images import load_pose_images
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.types import BodyPose


class Mends(Protocol):
    """A network that may correct poses."""

    @property
    def mend(self) -> int:
        """In how many rounds; 0 if it takes them as they are."""
        ...

    def mended(self, body: BodyModel, poses: BodyPose, images: PoseImages) -> BodyPose:
        """Corrected poses of T frames, by squares around the person in each."""
        ...


def mended_source(source: FrameSource, frames: Sequence[int], model: Mends) -> FrameSource:
    """A source with the poses of some frames (by position), and the shape, as a network corrects them.

    What it is asked for then must come past the cache, by `predict_all`. Itself, if the network corrects none.

    Raises:
        UserError: a file is broken.
    """
    if not model.mend:
        return source
    before = source.capture.poses[list(frames)]
    return with_poses(source, frames, model.mended(source.body, before, load_pose_images(source, frames)))


def with_poses(source: FrameSource, frames: Sequence[int], poses: BodyPose) -> FrameSource:
    """A source with other poses of some frames (by position) and another shape, to be asked past the cache."""
    capture = source.capture
    return replace(source, capture=capture.with_poses(capture.poses.put(frames, poses)), stored=None)
