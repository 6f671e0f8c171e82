"""Which triangulated points no body can have: bones of another length than usual, and jumps for one moment."""

from __future__ import annotations

import numpy as np

from hgg_pyg.prepare.landmark_sets import LandmarkSet

_NEAR = 3  # frames before and after, whose median a point is held against
_USUAL = 4  # times its median distance off them is what a lively point may do
_ENOUGH = 5  # frames that a bone must be seen in before its median is believed
_SHORTEST = 0.08  # metres: bones of hands and feet differ by as much as landmarks are off


def unsteady(
    points3d: np.ndarray, support: np.ndarray, landmarks: LandmarkSet, bone_change: float, jump: float
) -> np.ndarray:
    """Points to be dropped.

    Of a bone of a wrong length the end goes that has more such bones; if both have as many, the one with less support.

    Args:
        points3d: [F, J, 3] metres, NaN where there is none.
        support: [F, J] confidence of the views that agree with each.
        landmarks: J points.
        bone_change: share by which a bone may differ from its median length.
        jump: metres by which a point may lie off the median of its neighbours in time, at least.

    Returns:
        [F, J] bool
    """
    dropped = _jumps(points3d, jump)
    bones = np.array(landmarks.bones).reshape(-1, 2)
    kept = np.where(dropped[..., None], np.nan, points3d)
    lengths = np.linalg.norm(kept[:, bones[:, 0]] - kept[:, bones[:, 1]], axis=-1)  # F B
    usual = np.array(
        [np.median(good) if len(good := one[np.isfinite(one)]) >= _ENOUGH else np.nan for one in lengths.T]
    )
    wrong = np.abs(lengths - usual) > np.maximum(bone_change * usual, _SHORTEST)
    while wrong.any():  # one point a frame and round, until every bone that is left has about its length
        count, good = np.zeros(dropped.shape, int), np.zeros(dropped.shape, int)
        for bone, (a, b) in enumerate(bones):
            for end in (a, b):
                count[:, end] += wrong[:, bone]
                good[:, end] += np.isfinite(lengths[:, bone]) & ~wrong[:, bone]
        blame = np.where(count > 0, count - 0.5 * good - 0.01 * support, -np.inf)
        worst = blame.argmax(1)
        frames = np.flatnonzero(wrong.any(1))
        dropped[frames, worst[frames]] = True
        touched = (bones[None] == worst[:, None, None]).any(-1) & wrong.any(1)[:, None]
        lengths, wrong = np.where(touched, np.nan, lengths), wrong & ~touched
    return dropped


def _jumps(points3d: np.ndarray, jump: float) -> np.ndarray:
    """Points that are elsewhere just before and after. [F, J, 3] metres -> [F, J] bool"""
    frames = len(points3d)
    padded = np.pad(points3d, ((_NEAR, _NEAR), (0, 0), (0, 0)), constant_values=np.nan)
    shifts = [shift for shift in range(2 * _NEAR + 1) if shift != _NEAR]
    around = np.stack([padded[shift : shift + frames] for shift in shifts])  # W F J 3
    before, after = (np.isfinite(half[..., 0]).sum(0) for half in (around[:_NEAR], around[_NEAR:]))
    enough = (before + after >= _NEAR) & np.isfinite(points3d[..., 0])
    middle = np.full(points3d.shape, np.nan)
    middle[enough] = np.nanmedian(around[:, enough], 0)
    off = np.linalg.norm(points3d - middle, axis=-1)
    usual = np.array([np.median(good) if len(good := one[np.isfinite(one)]) else 0 for one in off.T])
    # Seen from one side only, whoever moves is off by the way of some frames
    one_sided = np.where(np.minimum(before, after) == 0, 2, 1)
    return np.nan_to_num(off) > np.maximum(jump, _USUAL * usual) * one_sided
