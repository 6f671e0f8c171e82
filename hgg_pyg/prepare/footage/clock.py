"""Which frames of each camera show the same moments: by time stamps on a common clock, never by counting."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hgg_pyg.data.capture import LeftOut
from hgg_pyg.types import UserError

_SAME_RATE = 0.02  # by which rates may differ without a word: 29.97 and 30 do by a thousandth
_NEAR = 0.75  # of a frame's duration: what is farther from a moment than this does not show it
_MOST = 1_000_000  # moments: nine hours of 30 frames a second, which no capture has
_SLACK = 0.25  # of a frame's duration, by which the common part may be overstepped: time stamps are rounded
_MOST_OFFSET = 1e7  # frames or seconds


@dataclass(frozen=True)
class Span:
    """A length of time, in frames or in seconds: `12`, `-3.5`, `0.35s`."""

    value: float
    seconds: bool = False

    @staticmethod
    def parse(text: str, what: str) -> Span:
        """A span from text.

        Raises:
            ValueError: it is none; `what` names the option.
        """
        found = re.fullmatch(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*(s?)\s*", text)
        if found is None or abs(float(found[1])) > _MOST_OFFSET:
            raise ValueError(f"{what}: expected frames (12) or seconds (0.35s), found {text[:40]!r}")
        return Span(float(found[1]), bool(found[2]))

    def in_seconds(self, rate: float) -> float:
        """Its length, of frames `rate` a second."""
        return self.value if self.seconds else self.value / rate


@dataclass(frozen=True)
class Sampling:
    """Which moments are wanted."""

    every: int = 1
    start: Span | None = None
    end: Span | None = None
    fps: float | None = None
    offsets: Mapping[str, Span] = field(default_factory=dict)  # by camera


@dataclass(frozen=True, eq=False)
class Timeline:
    """When the n frames of one camera were taken, by its own clock."""

    camera: str
    times: np.ndarray  # [n] seconds, increasing
    rate: float  # frames a second, gaps aside
    size: tuple[int, int]  # width and height of the upright images
    notes: tuple[str, ...] = ()  # what is odd about it, to be said and kept
    numbers: np.ndarray | None = None  # [n] what the frames are called; None: 0, 1, 2, ...

    @property
    def names(self) -> np.ndarray:
        """What the frames are called, by numbers. [n]"""
        return np.arange(len(self.times)) if self.numbers is None else self.numbers

    @staticmethod
    def of(camera: str, times: np.ndarray, stated_rate: float | None, **more) -> Timeline:
        """With the rate that the times have, or the stated one where there is a single frame."""
        steps = np.diff(times)
        usual = steps[steps <= 1.5 * np.median(steps)] if len(steps) else steps
        rate = 1 / usual.mean() if len(usual) and usual.mean() > 0 else stated_rate or 1.0
        return Timeline(camera, times, float(rate), **more)


@dataclass(frozen=True, eq=False)
class Moments:
    """F moments and the frames of V cameras that show them."""

    times: np.ndarray  # [F] seconds on the common clock, which is that of the cameras without an offset
    frames: np.ndarray  # [F, V] positions in each camera's timeline
    numbers: np.ndarray  # [F, V] what these frames are called
    rate: float  # frames of the common clock a second, of which each or each N-th is a moment
    left_out: tuple[LeftOut, ...] = ()


def choose_moments(timelines: Sequence[Timeline], sampling: Sampling) -> Moments:
    """Moments that all cameras saw, with the frame nearest to each in time.

    The common clock is that of a camera without an offset: an offset of 12 frames says that the frame 12 of a camera
    shows what frame 0 of such a camera shows. Moments lie on multiples of a frame's duration of that clock, `every`
    of them apart, from `start` up to and without `end`. Cameras need not have started or stopped together: what only
    some of them saw is left out, and so are moments of which a camera has no frame within 3/4 of a frame's duration.

    Args:
        timelines: of V cameras.
        sampling: which moments are wanted.

    Raises:
        UserError: an offset for a camera that there is none of, rates that differ by more than 2% where no `fps` is
            given, a `fps` above a camera's rate, no moment that all cameras saw, or more than a million.
    """
    names = [line.camera for line in timelines]
    for camera in sampling.offsets:
        if camera not in names:
            raise UserError(f"--offset: expected one of the cameras {', '.join(names)}; found {camera!r}")
    rate = _rate(timelines, sampling.fps)
    clocks = [line.times - _late_by(line, sampling) for line in timelines]
    first, last = _common_part(names, clocks)
    ticks = _ticks(sampling, rate, first, last)
    times = ticks / rate
    frames = np.stack([_nearest(clock, times) for clock in clocks], 1)
    away = [
        abs(clock[column] - times) * line.rate for clock, column, line in zip(clocks, frames.T, timelines, strict=True)
    ]
    seen = (np.stack(away) <= _NEAR).all(0)
    left_out = [
        *(_outside(line, clock, first, last) for line, clock in zip(timelines, clocks, strict=True)),
        *(_gaps(line, ticks[far > _NEAR]) for line, far in zip(timelines, away, strict=True)),
    ]
    if not seen.any():
        raise UserError("expected a moment of which each camera has a frame, found none: see --offset and --fps")
    numbers = np.stack([line.names[column] for line, column in zip(timelines, frames.T, strict=True)], 1)
    return Moments(
        times[seen],
        frames[seen],
        numbers[seen],
        rate,
        tuple(item for item in left_out if item is not None),
    )


def _late_by(line: Timeline, sampling: Sampling) -> float:
    offset = sampling.offsets.get(line.camera)
    return 0.0 if offset is None else offset.in_seconds(line.rate)


def _common_part(names: Sequence[str], clocks: Sequence[np.ndarray]) -> tuple[float, float]:
    """From when on until when all cameras filmed, seconds on the common clock."""
    begins, ends = [clock[0] for clock in clocks], [clock[-1] for clock in clocks]
    first, last = max(begins), min(ends)
    if last < first:
        late, early = names[begins.index(first)], names[ends.index(last)]
        raise UserError(
            f"expected a moment that all cameras saw, found none: {early} ends at {last:.2f} s, before {late} begins "
            f"at {first:.2f} s; see --offset"
        )
    return first, last


def _ticks(sampling: Sampling, rate: float, first: float, last: float) -> np.ndarray:
    """The moments that are wanted, in frames of the common clock."""
    begin, stop = first, last
    if sampling.start is not None:
        begin = max(first, sampling.start.in_seconds(rate))
    if sampling.end is not None:
        stop = min(last, sampling.end.in_seconds(rate) - 1e-6 - _SLACK / rate)
    lowest, highest = math.ceil(begin * rate - _SLACK), math.floor(stop * rate + _SLACK)
    if (highest - lowest) // sampling.every >= _MOST:
        raise UserError(
            f"expected at most {_MOST:,} moments, found frames {lowest} to {highest} at {rate:.4g} a second: take "
            "a part by --start and --end or fewer by --every; or are time stamps, or numbers of images, wrong?"
        )
    ticks = np.arange(lowest, highest + 1, sampling.every)
    if not len(ticks):
        raise UserError(
            f"--start, --end: expected a moment within the part that all cameras saw, {first:.2f} s to {last:.2f} s "
            f"(frames {first * rate:.0f} to {last * rate:.0f}), found none"
        )
    return ticks


def _rate(timelines: Sequence[Timeline], fps: float | None) -> float:
    """Of the common clock's frames."""
    rates = [line.rate for line in timelines]
    slow, fast = timelines[int(np.argmin(rates))], timelines[int(np.argmax(rates))]
    if fps is not None:
        if fps > slow.rate * (1 + _SAME_RATE):
            raise UserError(
                f"--fps: expected at most the rate of the slowest camera, {slow.rate:.4g} a second of {slow.camera}; "
                f"found {fps:g}"
            )
        return fps
    if fast.rate > slow.rate * (1 + _SAME_RATE):
        raise UserError(
            f"expected cameras of one frame rate, found {slow.rate:.4g} a second of {slow.camera} and {fast.rate:.4g} "
            f"of {fast.camera}; --fps {slow.rate:.0f} samples all of them by time"
        )
    return float(np.median(rates))


def _nearest(clock: np.ndarray, times: np.ndarray) -> np.ndarray:
    after = np.searchsorted(clock, times).clip(1, max(len(clock) - 1, 1))
    if len(clock) == 1:
        return np.zeros(len(times), int)
    before = after - 1
    return np.where(abs(clock[before] - times) <= abs(clock[after] - times), before, after)


def _outside(line: Timeline, clock: np.ndarray, first: float, last: float) -> LeftOut | None:
    """The frames of a camera that were taken before all others had begun, or after one had ended."""
    slack = _NEAR / line.rate
    numbers = line.names[(clock < first - slack) | (clock > last + slack)]
    if not len(numbers):
        return None
    return LeftOut("frame", tuple(map(str, numbers)), f"{line.camera}: not all cameras saw these moments")


def _gaps(line: Timeline, ticks: np.ndarray) -> LeftOut | None:
    """Moments of which a camera has no frame."""
    return LeftOut("frame", tuple(map(str, ticks)), f"{line.camera} has a gap there") if len(ticks) else None
