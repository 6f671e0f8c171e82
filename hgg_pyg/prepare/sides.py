"""Left and right, which networks exchange in some images: arms, legs or the whole person, found by the other views.

Each view is held against the points on which all others agree. Where a group of its landmarks fits them much better
with left and right exchanged, it is exchanged; the clearest case of a frame first, then the others are asked again.
That makes the views of a frame agree. Which side they agree on is told along the clip: by continuous motion, and by
how many landmarks the network itself called so.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.agreement import agreed
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.rays import off_rays

GROUPS = ("arms", "legs", "whole")
"""what is exchanged together, in the order of the last axis of what `repair_sides` returns"""
_PARTS = {
    "arms": ("elbow", "wrist", "pinky", "index", "thumb"),
    "legs": ("knee", "ankle", "heel", "big_toe", "small_toe"),
}
_FAR = 0.3  # metres: landmarks farther off all are nowhere near
_BETTER = 0.5  # of the distance before: exchanged, it must be less than that
_GAIN = 0.05  # metres a landmark that it must come nearer in the mean
_OFTEN = 2  # exchanges a view and frame at most, so that it ends
_AS_CALLED = 0.15  # metres a landmark: what calling all views' landmarks otherwise costs, beside motion


def repair_sides(
    plane: np.ndarray, confidence: np.ndarray, calibration: Calibration, landmarks: LandmarkSet, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which landmark of each view is which point.

    Two views alone cannot tell which of them is wrong: nothing is exchanged then.

    Args:
        plane: [F, V, J, 2] as `rays.normalised`, NaN where missing.
        confidence: [F, V, J], 0 where missing.
        calibration: V cameras.
        landmarks: J points.
        tolerance: metres, as `agreement.agreed`.

    Returns:
        [F, V, J] the landmark that is point j, and [F, V, 3] bool whether arms, legs and the whole were exchanged.
    """
    frames, views, joints = confidence.shape
    order = np.tile(np.arange(joints), (frames, views, 1))
    swapped = np.zeros((frames, views, len(GROUPS)), bool)
    groups = group_members(landmarks)
    if views < 3 or not groups.any():
        return order, swapped
    mirror = np.array(landmarks.mirror)
    asked = np.arange(frames)
    for _ in range(_OFTEN * views):
        seen, sure = _in_order(plane[asked], confidence[asked], order[asked])
        gain = _gains(seen, sure, calibration, mirror, groups, tolerance)  # A V 3
        best = gain.reshape(len(asked), -1).argmax(1)
        clear = gain.reshape(len(asked), -1)[np.arange(len(asked)), best] > 0
        asked, best = asked[clear], best[clear]
        if not len(asked):
            break
        for frame, choice in zip(asked, best, strict=True):
            view, group = divmod(int(choice), len(GROUPS))
            _exchange(order[frame, view], groups[group], mirror)
            swapped[frame, view, group] ^= True
    seen, sure = _in_order(plane, confidence, order)
    points3d = agreed(seen, sure, calibration, tolerance)
    there = np.any(sure > 0, axis=2)
    for group in (2, 0, 1):
        turned = _turned(points3d, there, swapped[..., group], groups[group], mirror)
        for frame in np.flatnonzero(turned):
            for view in range(views):
                _exchange(order[frame, view], groups[group], mirror)
            swapped[frame, :, group] ^= True
            _exchange(points3d[frame], groups[group], mirror)
    return order, swapped & there[..., None]


def group_members(landmarks: LandmarkSet) -> np.ndarray:
    """Which points are of arms, legs and the whole, as `GROUPS`. [3, J] bool"""
    paired = np.array(landmarks.mirror) != np.arange(len(landmarks))
    part = [name.split("_", 1)[-1] for name in landmarks.points]
    limbs = [np.array([name in _PARTS[group] for name in part]) for group in ("arms", "legs")]
    return np.stack([*limbs, np.ones(len(landmarks), bool)]) & paired


def _in_order(plane: np.ndarray, confidence: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.take_along_axis(plane, order[..., None], 2), np.take_along_axis(confidence, order, 2)


def _exchange(row: np.ndarray, members: np.ndarray, mirror: np.ndarray) -> None:
    """Exchange the sides of a group's points in place. [J, ...]"""
    row[members] = row[mirror[members]]


def _gains(
    plane: np.ndarray,
    confidence: np.ndarray,
    calibration: Calibration,
    mirror: np.ndarray,
    groups: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    """Metres by which each view and group comes nearer to the others when exchanged, 0 where not clearly. [F, V, 3]"""
    others = agreed(plane, confidence, calibration, tolerance, left_out=True)  # F V J 3
    as_called, exchanged = np.zeros(confidence.shape), np.zeros(confidence.shape)
    for view in range(confidence.shape[1]):
        one = calibration.select([view])
        for off, order in ((as_called, np.arange(len(mirror))), (exchanged, mirror)):
            off[:, view] = off_rays(others[:, view], plane[:, [view]][:, :, order], one)[:, 0]
    # A landmark counts where both it and its partner are seen, and the others know both points
    known = np.isfinite(others[..., 0]) & (confidence > 0)
    weights = np.where(known & known[..., mirror], np.minimum(confidence, confidence[..., mirror]), 0)
    before, after = (
        np.einsum("fvj,gj->fvg", weights * np.minimum(np.nan_to_num(off, nan=_FAR), _FAR), groups.astype(float))
        for off in (as_called, exchanged)
    )
    count = np.einsum("fvj,gj->fvg", weights, groups.astype(float))
    clear = (after < _BETTER * before) & (before - after > _GAIN * count) & (count > 0)
    return np.where(clear, before - after, 0)


def _turned(
    points3d: np.ndarray, there: np.ndarray, swapped: np.ndarray, members: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """Frames in which a group should be exchanged in all views: the cheapest way along the clip (dynamic programming).

    A frame costs the share of its views that is then called otherwise than the network did, and the way from a frame to
    the next what the points move in the mean.

    Args:
        points3d: [F, J, 3] metres.
        there: [F, V] bool, views that see the person.
        swapped: [F, V] bool, views whose group has been exchanged.
        members: [J] bool.
        mirror: [J]

    Returns:
        [F] bool
    """
    share = (swapped & there).sum(1) / np.maximum(there.sum(1), 1)
    cost = _AS_CALLED * np.stack([share, 1 - share], 1)  # F 2
    sides = np.stack([points3d[:, members], points3d[:, mirror[members]]], 1)  # F 2 M 3
    seen = np.isfinite(sides[:, 0, :, 0]).any(1)
    frames = np.flatnonzero(seen)
    turned = np.zeros(len(points3d), bool)
    if not len(frames):
        return turned
    total, came_from = cost[frames[0]], []
    for last, frame in pairwise(frames):
        moved = np.minimum(np.linalg.norm(sides[last, 0] - sides[frame], axis=-1), _FAR)  # to itself, to the other side
        known = np.isfinite(moved).all(0)
        same, other = moved[:, known].mean(1) if known.any() else (0.0, 0.0)
        ways = total[:, None] + np.array([[same, other], [other, same]])
        came_from.append(ways.argmin(0))
        total = ways.min(0) + cost[frame]
    state = int(total.argmin())
    turned[frames[-1]] = state
    for frame, before in zip(frames[-2::-1], came_from[::-1], strict=True):
        state = int(before[state])
        turned[frame] = state
    return turned
