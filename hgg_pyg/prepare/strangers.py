"""Why cameras do not fit the others: mirrored images, a calibration in other units, people elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.grouping import SightedJoints, votes_for
from hgg_pyg.prepare.tracking import Track, tracks_of
from hgg_pyg.types import UserError

AGREES = 0.4
"""Share of the frames in which two cameras see somebody, in which they must agree: strangers do by chance in a tenth"""
_FITS = 0.1  # of the frames in which a camera sees somebody it must fit the others in
_MIRRORED = (
    0.4  # mean vote of a mirrored camera's people when they are turned back: 0.56 to 0.88 where that is the case
)
_LOOKS = 40  # frames at most that are looked at to say why cameras do not fit
_UNITS = ((0.001, "millimetres"), (0.01, "centimetres"), (0.0254, "inches"), (1000.0, "kilometres"))
_ASK = "Is the calibration of these videos, and do they start together (--offset)?"
_PADDED = 0.1  # of the width, by which the middle of an image and the centre of its lens differ only where it is padded


Fault = Callable[[], str | None]
"""Says what is likely wrong with the calibration, in a line, if that can be told; asked only when something is"""


def refuse_strangers(
    seen: SightedJoints, calibration: Calibration, fits: np.ndarray, first: Track, fault: Fault
) -> None:
    """Cameras that see people, but hardly ever one whom another camera sees.

    Args:
        seen: F frames of V cameras.
        calibration: V cameras.
        fits: [F, V] whether the camera sees somebody whom another one sees.
        first: the person whom most cameras see.
        fault: asked where there are some.

    Raises:
        UserError: there are some; whether the images are mirrored.
    """
    frames = sorted(first.groups)
    plain, turned = (_fit(seen, calibration, first, flip) for flip in (False, True))
    for view, name in enumerate(calibration.names):
        others = [sum(np.delete(first.groups[frame].members, view) >= 0) >= 2 for frame in frames]
        # A mirrored person in the middle of an image may fit now and then, but never as well as in the mirror; and a
        # mirrored one may fit a little where two calibrations are exchanged
        before, after = plain[others, view].sum(), turned[others, view].sum()
        if after > 1.5 * before and after > _MIRRORED * sum(others):
            raise _mirrored(name)
    looks = np.asarray((seen.sure > 0).any((2, 3)))  # F V
    strange = (fits & looks).sum(0) < _FITS * looks.sum(0)
    if strange.any():
        names = np.array(calibration.names)
        raise UserError(
            f"camera {', '.join(names[strange])}: expected a person where {', '.join(names[~strange])} see one, found "
            f"only people elsewhere. {fault() or f'{_ASK} Else leave the camera out'}"
        )


def _fit(seen: SightedJoints, calibration: Calibration, known: Track, flip: bool) -> np.ndarray:
    """The best vote of each camera for a known person, in the frames of the person. [A, V]"""
    seen = _flipped(seen, calibration, range(len(calibration.names))) if flip else seen
    votes = [
        votes_for(known.groups[frame].joints[None], seen.plane[frame], seen.sure[frame], seen.mirror, calibration)[0]
        for frame in sorted(known.groups)
    ]
    return np.stack(votes).max(-1)


def _flipped(seen: SightedJoints, calibration: Calibration, views: Iterable[int]) -> SightedJoints:
    """SightedJoints as they would be if the images of some cameras were turned left to right.

    Left and right become each other's: a network calls the right hand of a mirrored person left.
    """
    plane, sure = seen.plane.copy(), seen.sure.copy()
    for view in views:
        size, focal, centre = calibration.sizes[view], calibration.K[view, 0, 0], calibration.K[view, 0, 2]
        # About the middle of the image; where it is padded, that is no more where the lens looks, and the centre is
        off = 0.0 if size is None else size[0] - 2 * centre
        shift = off / focal if size is not None and abs(off) < _PADDED * size[0] else 0.0
        plane[:, view] = plane[:, view][:, :, seen.mirror]
        plane[:, view, ..., 0] = shift - plane[:, view, ..., 0]
        sure[:, view] = sure[:, view][:, :, seen.mirror]
    return replace(seen, plane=plane, sure=sure)


def _mirrored(name: str) -> UserError:
    """What to say of a camera whose images are turned left to right."""
    return UserError(
        f"camera {name}: mirrored images, as of a selfie camera: people fit the other cameras only when turned left to "
        "right; turn the video back (ffmpeg -vf hflip), or record it anew"
    )


def nobody_agrees(seen: SightedJoints, calibration: Calibration, fault: Fault) -> UserError:
    """Why no two cameras agree: mirrored images, units that are not metres, another fault, else different people."""
    looking = np.flatnonzero((seen.sure > 0).any((0, 2, 3))).tolist()
    names = [calibration.names[view] for view in looking]
    if len(looking) == 1:
        return UserError(f"camera {names[0]}: expected somebody in at least two cameras, found people only in this one")
    frames = np.flatnonzero((seen.sure > 0).any((2, 3)).sum(1) >= 2)
    if not len(frames):
        return UserError(
            f"cameras {', '.join(names)}: expected people at the same moments, found never two that see somebody in "
            "one frame; do the videos start together (--offset)?"
        )
    frames = frames[:: -(-len(frames) // _LOOKS)]
    seen = replace(seen, plane=seen.plane[frames], sure=seen.sure[frames], size=seen.size[frames])
    most, three = AGREES * len(frames), min(3, len(looking))  # two may agree by chance
    for scale, unit in _UNITS:
        if _moments(seen, replace(calibration, T=calibration.T * scale), three) >= most:
            return UserError(f"calibration: expected T in metres, found {unit}: only so do the cameras agree on people")
    # Of more than two cameras a mirrored one would leave two that agree
    for views in [*([view] for view in looking if len(looking) == 2), looking]:
        if _moments(_flipped(seen, calibration, views), calibration, three) >= most:
            return _mirrored(" or ".join(names) if len(views) == 1 else " and ".join(names))
    return UserError(
        f"cameras that do not see each other: expected a person whom two of {', '.join(names)} see, found none on whom "
        f"any two agree. {fault() or _ASK}"
    )


def _moments(seen: SightedJoints, calibration: Calibration, views: int) -> int:
    """How many frames the person has on whom so many cameras agree most often."""
    found = tracks_of(seen, calibration)
    return max((sum((one.votes > 0).sum() >= views for one in known.groups.values()) for known in found), default=0)
