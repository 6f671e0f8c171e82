"""Which moments and cameras become part of a capture: those whose masks can be trusted to show the whole person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.prepare.rays import project
from hgg_pyg.types import UserError

_LEAST_POINTS = 6  # landmarks in space, from which on a body can be laid into them
_IN_VIEW = 0.5  # share of the landmarks in an image, from which on a person would be found in it
_BLIND = 0.5  # share of the moments in which a camera may miss a person before its images


@dataclass(frozen=True, eq=False)
class Selection:
    """What is kept."""

    frames: np.ndarray  # [F'] positions
    cameras: np.ndarray  # [V'] positions
    left_out: tuple[LeftOut, ...]


def select(
    points3d: np.ndarray, seen: np.ndarray, calibration: Calibration, size: tuple[int, int], numbers: Sequence[int]
) -> Selection:
    """Leave out what would teach the background where a person is.

    A person who is before a camera and was not found has an empty mask there. Such a moment is left out; and where a
    camera misses more than half of the moments, the camera is.

    Args:
        points3d: [F, J, 3] metres, NaN where not known.
        seen: [F, V] bool, whether the person was found in the image.
        calibration: V cameras.
        size: (width, height) of the images.
        numbers: of the F moments, for people.

    Raises:
        UserError: nothing is left.
    """
    known = np.isfinite(points3d).all(-1)
    placed = known.sum(1) >= min(_LEAST_POINTS, points3d.shape[1])
    with np.errstate(invalid="ignore"):
        places = project(points3d, calibration)
        inside = ((places >= 0) & (places < size)).all(-1)
    share = inside.sum(2) / np.maximum(known.sum(1), 1)[:, None]
    missed = (share >= _IN_VIEW) & ~seen & placed[:, None]
    blind = missed.sum(0) > _BLIND * max(placed.sum(), 1)
    lost = placed & (missed & ~blind).any(1)
    frames, cameras = np.flatnonzero(placed & ~lost), np.flatnonzero(~blind)
    left_out = []
    if blind.any():
        names = tuple(np.array(calibration.names)[blind].tolist())
        left_out.append(LeftOut("camera", names, "the person is before it and was not found in most of its images"))
    for camera in cameras:
        if (there := missed[:, camera] & placed).any():
            why = f"the person is before {calibration.names[camera]} and was not found in its image"
            left_out.append(LeftOut("frame", _names(numbers, there), why))
    if not placed.all():
        left_out.append(LeftOut("frame", _names(numbers, ~placed), "too few cameras see the person"))
    if not len(frames) or len(cameras) < 2:
        raise UserError(
            f"expected a moment in which the person is found in all cameras that see the place, found none: "
            f"{'; '.join(map(str, left_out))}"
        )
    return Selection(frames, cameras, tuple(left_out))


def _names(numbers: Sequence[int], chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(str(numbers[frame]) for frame in np.flatnonzero(chosen).tolist())
