"""Cameras that do not start together, told from the person: rays of two cameras meet only at the same moment.

How far rays pass each other in the mean says little: a calibration that is half a degree off looks like a camera that
is late, as long as somebody walks one way. What is looked at is how that varies as limbs swing to and fro.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.agreement import LEAST_SINE
from hgg_pyg.prepare.rays import nearest_points, normalised, rays

_SURE = 0.5  # confidence from which on a landmark is compared
_MOST = 15  # frames by which two cameras may be apart
_SPARSE = 20  # frames for each that there is: with fewer nothing can be compared
_COMPARED = 150  # frames of a camera at most that are compared
_FEWEST = 30  # landmarks that two cameras must share at an offset, for it to be looked at
_ALONG = 8  # frames in which both must see a landmark
_FAR = 0.3  # metres: rays that pass at a larger distance are of something else
_ROUNDS = 20  # of trying another offset for each camera in turn
_WORTH = 0.9  # of the variation without the offset: what falls by less is not worth a word
_AS_LATE = 1  # frames by which the two halves of a clip may differ


@dataclass(frozen=True)
class Offset:
    """How many frames a camera is late."""

    camera: str
    frames: int  # frame `frames` of the camera shows what frame 0 of one without an offset shows, as --offset takes it
    before: float  # metres by which the way of its rays past those of the others varies, in the median, as they are
    after: float  # and with its offset
    halves: tuple[int, int]  # frames as the two halves of the clip have them, each for itself

    @property
    def clear(self) -> bool:
        """Whether it is worth a word: rays pass more evenly, and both halves of the clip say so."""
        alike = all(half * self.frames > 0 and abs(half - self.frames) <= _AS_LATE for half in self.halves)
        return alike and self.after < _WORTH * self.before

    def said(self, every: int = 1, already: float = 0) -> str:
        """What to say of it.

        Args:
            every: frames of the footage from one frame that was compared to the next.
            already: the camera's offset that was taken into account.
        """
        frames = self.frames * every
        much = f"{abs(frames)} frame{'s' if abs(frames) > 1 else ''} {'late' if frames > 0 else 'early'}"
        return (
            f"{self.camera} seems {much}: with --offset {self.camera}={frames + already:g} its rays pass the others' "
            f"more evenly, within {self.after * 1e3:.0f} mm and not {self.before * 1e3:.0f}"
        )


def late_cameras(
    points2d: np.ndarray, calibration: Calibration, numbers: Sequence[int], already: Mapping[str, float] | None = None
) -> tuple[str, ...]:
    """Sentences about cameras that do not start together with the others, see `estimate_offsets`; none if all do.

    Args:
        points2d: [F, V, J, 3] one person's landmarks at F moments.
        calibration: V cameras; K in the same pixels.
        numbers: of the F moments in frames, increasing; gaps are fine.
        already: frames by which cameras' footage has been moved.
    """
    at = np.asarray(numbers)
    if len(at) < 2:
        return ()
    every = int(np.gcd.reduce(np.diff(at)))
    rows = (at - at[0]) // every
    if rows[-1] > _SPARSE * len(rows):
        return ()
    clocks = np.full((rows[-1] + 1, *points2d.shape[1:]), np.nan)
    clocks[rows] = points2d
    offsets = estimate_offsets(list(clocks.swapaxes(0, 1)), calibration, max(1, _MOST // every))
    moved = already or {}
    return tuple(offset.said(every, moved.get(offset.camera, 0)) for offset in offsets if offset.clear)


def estimate_offsets(points2d: Sequence[np.ndarray], calibration: Calibration, most: int = _MOST) -> tuple[Offset, ...]:
    """The offsets with which the rays of all pairs of cameras pass each other most evenly.

    Whoever hardly moves tells nothing: then none of them is `clear`. Most cameras are taken to be in time.

    Args:
        points2d: for each of V cameras [F_v, J, 3], one row for each frame on its own clock, x and y in the pixels that
            K is for, confidence; NaN where missing.
        calibration: V cameras.
        most: frames by which two cameras may be apart.

    Returns:
        V of them.
    """
    views = len(points2d)
    directions, centres = [], []
    for view, points in enumerate(points2d):
        camera = calibration.select([view])
        centre, towards = rays(normalised(points[:, None, :, :2], camera), camera)
        directions.append(np.where((np.nan_to_num(points[..., 2]) >= _SURE)[..., None], towards[:, 0], np.nan))
        centres.append(centre[0])
    apart = _distances(centres, directions, most)
    late = _settle(apart, most)
    middle = max(map(len, points2d)) // 2
    halves = [
        _settle(_distances(centres, [towards[part] for towards in directions], most), most)
        for part in (slice(None, middle), slice(middle, None))
    ]
    return tuple(
        Offset(
            name,
            int(late[view]),
            _mean(apart, view, np.where(np.arange(views) == view, 0, late), most),
            _mean(apart, view, late, most),
            (int(halves[0][view]), int(halves[1][view])),
        )
        for view, name in enumerate(calibration.names)
    )


def _distances(centres: Sequence[np.ndarray], directions: Sequence[np.ndarray], most: int) -> np.ndarray:
    """Metres between the rays of two cameras a and b, of frame f of a and frame f + s - most of b. [V, V, S]"""
    views = len(centres)
    apart = np.full((views, views, 2 * most + 1), np.nan)
    for a in range(views):
        for b in range(a + 1, views):
            for shift in range(-most, most + 1):
                apart[a, b, shift + most] = _apart(centres[a], centres[b], directions[a], directions[b], shift)
            apart[b, a] = apart[a, b][::-1]
    return apart


def _apart(center_a: np.ndarray, center_b: np.ndarray, a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """By how much the way between rays of frame f and frame f + shift varies, the median in metres; NaN for too few.

    Of each landmark its median along the clip is subtracted: what stays the same is a calibration that is a little off,
    or a landmark that is elsewhere from the front than from the side. [3], [3], [F, J, 3], [G, J, 3]
    """
    first, last = max(0, -shift), min(len(a), len(b) - shift)
    if last <= first:
        return np.nan
    some = -(-(last - first) // _COMPARED)
    u, v = a[first:last:some], b[first + shift : last + shift : some]
    _, distance = nearest_points((center_a, center_b), (u, v), LEAST_SINE)
    across = np.cross(u, v)
    with np.errstate(invalid="ignore", divide="ignore"):
        way = np.where(distance < _FAR, across @ (center_b - center_a) / np.linalg.norm(across, axis=-1), np.nan)
    way = way[:, np.isfinite(way).sum(0) >= _ALONG]
    count = np.isfinite(way).sum(0)
    if count.sum() < _FEWEST:
        return np.nan
    # What is subtracted takes a share of the variation with it, most where few frames overlap
    return float(np.nanmedian(abs(way - np.nanmedian(way, 0)) * np.sqrt(count / (count - 1))))


def _mean(apart: np.ndarray, view: int, late: np.ndarray, most: int) -> float:
    """Of a camera to all others, with offsets. Metres; NaN if it shares too few landmarks with all of them"""
    shift = late - late[view]
    others = [o for o in range(len(late)) if o != view and abs(shift[o]) <= most]
    values = np.array([apart[view, other, shift[other] + most] for other in others])
    return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else float("nan")


def _settle(apart: np.ndarray, most: int) -> np.ndarray:
    """The offsets of least sum over pairs: from starts by the best pairs, one camera after the other. [V] frames"""
    views = len(apart)
    best, least = np.zeros(views, int), np.inf
    known = np.where(np.isfinite(apart), apart, np.nanmax(apart, initial=_FAR))
    for first in range(views):
        late = np.array([known[first, other].argmin() - most if other != first else 0 for other in range(views)])
        for start in (np.zeros(views, int), late):
            found, total = _descend(known, start, most)
            if total < least - 1e-9:
                best, least = found, total
    return best - int(np.round(np.median(best)))


def _descend(apart: np.ndarray, late: np.ndarray, most: int) -> tuple[np.ndarray, float]:
    late, views = late.copy(), len(apart)
    choices = np.arange(-most, most + 1)
    others = ~np.eye(views, dtype=bool)

    def cost(view: int, offset: np.ndarray) -> np.ndarray:
        """[S] frames -> [S] metres"""
        shift = late[None] - offset[:, None]
        column = np.clip(shift + most, 0, 2 * most)
        found = apart[view, np.arange(views)[None], column] + _FAR * (abs(shift) > most)
        return found[:, others[view]].sum(1)

    for _ in range(_ROUNDS):
        before = late.copy()
        for view in range(views):
            late[view] = choices[cost(view, choices).argmin()]
        if (late == before).all():
            break
    return late, float(sum(cost(view, late[[view]])[0] for view in range(views)))
