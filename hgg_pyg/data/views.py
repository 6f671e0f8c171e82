"""Which cameras of a capture are looked through: those around the person, and pairs across from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.data.capture import Capture
from hgg_pyg.types import UserError


def spread_cameras(capture: Capture, count: int) -> tuple[int, ...]:
    """Cameras spread evenly around the person, the frontal one first: front, left, back, right for four.

    For every wanted direction, level with the person as seen in the first frame, the nearest free camera is taken. The
    world's up is read off the poses, since captures disagree about it.

    Raises:
        UserError: the capture has fewer cameras.
    """
    require_cameras(capture, count)
    orientation, up = Rotation.from_rotvec(capture.poses.global_orient.double().numpy()), upward(capture)
    front = orientation[0].apply([0.0, 0.0, 1.0])
    front -= up * (front @ up)
    front /= np.linalg.norm(front)
    away = _directions(capture)
    chosen: list[int] = []
    for i in range(count):
        direction = Rotation.from_rotvec(up * (2 * np.pi * i / count)).apply(front)
        closeness = away @ direction
        closeness[chosen] = -np.inf
        chosen.append(int(closeness.argmax()))
    return tuple(chosen)


def upward(capture: Capture) -> np.ndarray:
    """The world's vertical axis, as people stand on the whole: the mean of the body's own. [3] unit, float64"""
    up = Rotation.from_rotvec(capture.poses.global_orient.double().numpy()).apply([0.0, 1.0, 0.0]).mean(0)
    return up / np.linalg.norm(up)


def require_cameras(capture: Capture, count: int) -> None:
    """Refuse a capture with fewer cameras than are to be input.

    Raises:
        UserError: it has fewer.
    """
    if (found := len(capture.cameras)) < count:
        fewer = f"--clip.input-views {found} (of precompute: --input-views {found}) takes fewer, but LGM takes 4"
        raise UserError(f"{capture.root}: expected at least {count} cameras as input, found {found}: {fewer}")


def opposite_cameras(capture: Capture, cameras: Sequence[int], index: int = 0) -> tuple[int, ...]:
    """One of some cameras, and the other of them that sees the person from most behind it: a front and a back.

    Args:
        capture: whose cameras and poses.
        cameras: to choose from, by position in the capture; at least one.
        index: the first of the pair is the index-th of them, from 0, counted round and round.

    Returns:
        Two cameras by position in the capture; one where there is no other.
    """
    first = index % len(cameras)
    if len(cameras) == 1:
        return (cameras[0],)
    away = _directions(capture)[list(cameras)]
    closeness = away @ away[first]
    closeness[first] = np.inf
    return cameras[first], cameras[int(closeness.argmin())]


def _directions(capture: Capture) -> np.ndarray:
    """From the middle of the person's places to each camera. [V, 3] unit"""
    away = capture.cameras.centers.double().numpy() - capture.poses.transl.double().numpy().mean(0)
    return away / np.linalg.norm(away, axis=1, keepdims=True)
