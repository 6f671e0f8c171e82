"""What is wrong with a calibration, told from landmarks: the known mistake that, undone, makes the views agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.calibrations.disagreement import Views, disagreement, extent, surest_part
from hgg_pyg.prepare.calibrations.mistakes import Mistake, of_all_cameras, of_some_cameras, of_time
from hgg_pyg.prepare.calibrations.reading import UNITS
from hgg_pyg.prepare.landmark_sets import LandmarkSet

_GOOD = 0.012  # of the longer side, 23 pixels of 1920: views that agree as well need no explanation
_CERTAIN = 0.003  # as near as landmarks are right: nothing can explain more
_LOST = 0.04  # from which on it is said that something is wrong even where no known mistake explains it
_HELPS = 0.5  # an explanation leaves at most this share of the error
_SIMPLER = 0.8  # a guess about one camera, or two at once, leaves less than this share of what one about all leaves
_FEWEST = 8  # landmarks seen by two views, below which nothing is said
_LATE_HELPS = 0.75  # as _HELPS for one camera that is late, which a slow person hardly shows
_PERSON = (0.6, 2.6)  # metres between the landmarks of a person that are farthest apart
_USUAL = (0.9, 2.2)

_Found = tuple[tuple[Mistake, ...], float]


def calibration_faults(
    points2d: np.ndarray,
    calibration: Calibration,
    sizes: Sequence[tuple[int, int]],
    every: int = 1,
    landmarks: LandmarkSet | None = None,
    least_confidence: float = 0.5,
) -> str | None:
    """The likely fault of a calibration, in one line; None if the views agree, or too little is seen to say.

    Args:
        points2d: [F, V, J, 3] x and y in pixels of the filed images, confidence; NaN where missing.
        calibration: V cameras; K in the same pixels.
        sizes: V, (width, height) of the images.
        every: frames of the videos from one of F to the next, for the words about a camera that is late.
        landmarks: J points: left and right change places in mirrored images.
        least_confidence: of landmarks that are looked at.
    """
    partners = None if landmarks is None else landmarks.mirror
    views = surest_part(Views(points2d, calibration, tuple(sizes), partners), least_confidence)
    if (np.isfinite(views.points2d[..., 0]).sum(1) >= 2).sum() < _FEWEST:
        return None
    before = _error(views)
    longest = max(max(size) for size in sizes)
    found = _explanation(views, before, every)
    if found is None:
        return _unit(views) if before <= _GOOD else _unexplained(views, before, longest)
    mistakes, after = found
    return (
        f"{'; and '.join(mistake.words for mistake in mistakes)}. Landmarks and their points would be "
        f"{after * longest:.0f} pixels apart and not {before * longest:.0f} (mean of the cameras' medians)"
    )


def _error(views: Views) -> float:
    """The mean of the cameras' errors, so that one wrong camera counts."""
    errors = disagreement(views)
    return float(errors[np.isfinite(errors)].mean()) if np.isfinite(errors).any() else np.inf


def _explanation(views: Views, before: float, every: int) -> _Found | None:
    """The mistake, or two, that explain most of the error; simple ones first."""
    if before <= _GOOD:
        return _late(views, before, every)
    whole = of_all_cameras(views)
    found = None
    for guesses in (((one,) for one in whole), ((one,) for one in of_some_cameras(views)), _pairs(whole)):
        other = _best(views, guesses)
        if other[1] < _HELPS * before and (found is None or other[1] < _SIMPLER * found[1]):
            found = other
        if found is not None and found[1] <= _CERTAIN:
            return found
    late = _late(views, before, every)
    return late if late is not None and (found is None or late[1] < _SIMPLER * found[1]) else found


def _late(views: Views, before: float, every: int) -> _Found | None:
    """One camera that shows other moments."""
    found = _best(views, ((one,) for one in of_time(views, every)))
    return found if found[1] < min(_LATE_HELPS * before, _GOOD) else None


def _pairs(mistakes: Sequence[Mistake]) -> list[tuple[Mistake, ...]]:
    """Wrong extrinsics together with what else is wrong."""
    outer = [mistake for mistake in mistakes if mistake.family == "extrinsics"]
    return list(product(outer, [mistake for mistake in mistakes if mistake.family != "extrinsics"]))


def _best(views: Views, guesses: Iterable[tuple[Mistake, ...]]) -> _Found:
    tried = []
    for guess in guesses:
        mended = views
        for mistake in guess:
            mended = mistake.mend(mended)
        tried.append((guess, _error(mended)))
    return min(tried, key=lambda pair: pair[1], default=((), np.inf))


def _unexplained(views: Views, before: float, longest: int) -> str | None:
    """That one camera disagrees with all others, or that all do."""
    names = views.calibration.names
    if len(names) > 2:
        without = [
            _error(views.seen_by([other for other in range(len(names)) if other != camera]))
            for camera in range(len(names))
        ]
        odd = int(np.argmin(without))
        if without[odd] < min(_GOOD, _HELPS * before):
            return (
                f"camera '{names[odd]}': it does not see what the others see: without it landmarks and their points "
                f"are {without[odd] * longest:.0f} pixels apart and not {before * longest:.0f}; was it moved after it "
                "was calibrated, or is its video of another moment?"
            )
    if before < _LOST:
        return None
    return (
        f"calibration: landmarks and their points are {before * longest:.0f} pixels apart, and no known mistake "
        "explains it; is it of these cameras in these places, and do the videos show the same moments (--offset)?"
    )


def _unit(views: Views) -> str | None:
    """That lengths are in another unit, which the person's size tells: views agree in any."""
    size = extent(views, _GOOD)
    if not np.isfinite(size) or _PERSON[0] <= size <= _PERSON[1]:
        return None
    known = [unit for unit, metres in UNITS.items() if _USUAL[0] <= size * metres <= _USUAL[1]]
    advice = f"--unit {known[0]} fits" if known else "say by --unit what they are in"
    return f"T of all cameras: expected metres, found lengths by which the person's size is {size:.3g}; {advice}"
