"""Which frames are joined in a graph: evenly spaced ones, those that show the person from all sides, or yours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.brought import brought
from hgg_pyg.config import CHOICES
from hgg_pyg.data.capture import Capture
from hgg_pyg.types import UserError

Chooser = Callable[[np.ndarray, int], Sequence[int]]
"""From the directions to the cameras [F, V, 3] in each frame, and T: the positions of T different frames, ascending.

Directions are unit vectors in the body's own axes: x to its left, y up, z to its front.
"""

EVEN = CHOICES[0]
_SIDES = 72  # directions around the person for which a camera is wanted
_MOMENTS = 64  # of the sequence, for which a frame is wanted
_TIME = 0.3  # weight of even spacing in time beside that of seeing all sides
_ROUNDS = 20  # of exchanges at most
_SEEN_DEGREES = 60  # a side is seen by a camera that is no farther off


def even_frames(first: int, last: int, count: int) -> tuple[int, ...]:
    """`count` different frames spread evenly over first..last - 1; all of them where there are fewer."""
    count = min(count, last - first)
    return tuple(np.linspace(first, last - 1, count).round().astype(int).tolist())


def choose_even(looks: np.ndarray, count: int) -> tuple[int, ...]:
    """Evenly spaced frames, whatever they show."""
    return even_frames(0, len(looks), count)


def choose_by_heading(looks: np.ndarray, count: int) -> tuple[int, ...]:
    r"""Frames that together see the person from all sides, the first frame among them.

    .. math::
        \max_{S} \; \frac1W \sum_w \max_{f \in S, v} \cos^+(w, c_{fv})
            - \lambda \, \frac1M \sum_\tau \min_{f \in S} (f - \tau)^2 / F^2

    over W directions w around the body, with the cameras' directions c in the body's horizontal plane: how squarely
    each side is seen by the frame that sees it best. The second term spreads frames evenly in time where headings do
    not matter, as for a person who does not turn. It begins with evenly spaced frames and exchanges one after another,
    but the first, for the best one while that gains.
    """
    frames = len(looks)
    chosen = list(even_frames(0, frames, count))
    azimuth = np.arctan2(looks[..., 0], looks[..., 2])
    sides = np.arange(_SIDES) * 2 * np.pi / _SIDES
    unseen = 1 - np.cos(azimuth[..., None] - sides).clip(0).max(1)  # [F, W]
    apart = (np.arange(frames)[:, None] - np.linspace(0, frames - 1, _MOMENTS)) / frames
    missing = np.concatenate([unseen / _SIDES, _TIME * apart**2 / _MOMENTS], 1)
    for _ in range(_ROUNDS):
        before = list(chosen)
        for place in range(1, len(chosen)):
            others = missing[chosen[:place] + chosen[place + 1 :]].min(0)
            lacks = np.minimum(missing, others).sum(1)
            lacks[chosen[:place] + chosen[place + 1 :]] = np.inf
            best = int(lacks.argmin())
            if lacks[best] < lacks[chosen[place]] - 1e-12:
                chosen[place] = best
        if chosen == before:
            break
    return tuple(sorted(chosen))


CHOOSERS: Mapping[str, Chooser] = dict(zip(CHOICES, (choose_even, choose_by_heading), strict=True))


def find_chooser(name: str) -> Chooser:
    """A way to choose frames by its name, or by "module:NAME".

    Raises:
        UserError: there is no such one, or it cannot be imported.
    """
    if name in CHOOSERS:
        return CHOOSERS[name]
    if ":" not in name:
        raise UserError(f"--clip.choose: expected one of {', '.join(CHOOSERS)}, or module:NAME, found {name!r}")
    return brought("--clip.choose", name, Callable, "a function of directions [F, V, 3] and T")


def looks_of(capture: Capture, cameras: Sequence[int], last: int | None = None) -> np.ndarray:
    """From the body to each of some cameras in each frame before `last`, in the body's axes. [F, V, 3] unit"""
    poses = capture.poses[: len(capture.frames) if last is None else last]
    away = capture.cameras.centers[list(cameras)].double().numpy() - poses.transl.double().numpy()[:, None]
    turned = Rotation.from_rotvec(poses.global_orient.double().numpy()).as_matrix()
    looks = away @ turned  # R^T a, as a row
    return looks / np.linalg.norm(looks, axis=-1, keepdims=True).clip(1e-12)


def chosen_frames(name: str, looks: np.ndarray, count: int) -> tuple[int, ...]:
    """What a chooser answers, checked. Where there are no more than T frames all of them.

    Args:
        name: of the chooser.
        looks: [F, V, 3]
        count: T.

    Raises:
        UserError: as `find_chooser`, or it answers with other than T different frames in ascending order.
    """
    chooser, frames = find_chooser(name), len(looks)
    if frames <= count:
        return tuple(range(frames))
    found = chooser(looks, count)
    try:
        chosen = tuple(int(frame) for frame in found)
    except (TypeError, ValueError):
        chosen = ()
    fits = len(chosen) == count and list(chosen) == sorted(set(chosen))
    if not fits or not all(0 <= frame < frames for frame in chosen):
        expected = f"expected {count} different positions from 0 to {frames - 1}, ascending"
        raise UserError(f"--clip.choose {name}: {expected}, found {str(found)[:100]}")
    return chosen


def choose_frames(capture: Capture, cameras: Sequence[int], last: int, count: int, name: str) -> tuple[int, ...]:
    """T frames of a capture before `last`, by position; the first of them is t0.

    Args:
        capture: of one person.
        cameras: that are input, by position.
        last: frames from this one on are not looked at.
        count: T.
        name: of the chooser.

    Raises:
        UserError: as `chosen_frames`.
    """
    if name == EVEN:
        return even_frames(0, last, count)
    return chosen_frames(name, looks_of(capture, cameras, last), count)


def seen_around(looks: np.ndarray) -> int:
    """Degrees of the circle around a person that a camera sees from no more than 60 degrees aside. looks [F, V, 3]"""
    azimuth = np.arctan2(looks[..., 0], looks[..., 2]).reshape(-1, 1)
    off = np.cos(azimuth - np.arange(360) * np.pi / 180)
    return int((off.max(0, initial=-1) >= np.cos(np.radians(_SEEN_DEGREES)) - 1e-9).sum())


def say_of_one_camera(looks: Sequence[np.ndarray]) -> str:
    """What to expect of one camera, in a line. looks: of each subject [F, 1, 3]; of several the median is said."""
    around = int(np.median([seen_around(of_one) for of_one in looks]))
    text = f"one camera, which sees {around} of the 360 degrees around the person as they turn"
    return text if around == 360 else f"{text}: what no frame shows is guessed, see docs/monocular.md"
