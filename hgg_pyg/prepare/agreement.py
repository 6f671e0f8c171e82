"""Points on which most views agree: every pair of rays proposes one, the views vote, and the best is refined.

A pair of views is wrong together only where both are wrong in one way, so with half of the views right the right pair
wins; equal weights over all views would be drawn away by each wrong one.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.rays import nearest_points, off_rays, rays

LEAST_SINE = 0.05  # of the angle between two rays, 3 degrees: below it depth is ten times as unsure as the rest
_PROPOSE = 16  # views that propose pairs for a point, the surest ones; all of them vote
_CHUNK = 2_000_000  # distances of proposals to rays that are held at once
_ROUNDS = 10  # of reweighting; points move less than 0.1 mm in the last
_STIFF = 1e-9  # keeps the solve of a point with one ray regular; beside weights of about 1 it moves nothing


def agreed(
    plane: np.ndarray, confidence: np.ndarray, calibration: Calibration, tolerance: float, left_out: bool = False
) -> np.ndarray:
    """The point of each landmark that most views agree with, before it is refined.

    Views that lie off it by less than `tolerance` vote with confidence (1 - (off / tolerance)^2).

    Args:
        plane: [F, V, J, 2] as `rays.normalised`, NaN where missing.
        confidence: [F, V, J], 0 where missing.
        calibration: V cameras.
        tolerance: metres at the point.
        left_out: V points for each landmark, each by all views but one.

    Returns:
        [F, J, 3] metres; with `left_out` [F, V, J, 3]. NaN where fewer than two views propose.
    """
    frames, views, joints = confidence.shape
    if views < 2:
        return np.full((frames, *([views] if left_out else []), joints, 3), np.nan)
    _, towards = rays(plane, calibration)
    # One row for each landmark of each frame, P of them
    places, directions = (a.transpose(0, 2, 1, 3).reshape(-1, views, a.shape[-1]) for a in (plane, towards))
    votes = confidence.transpose(0, 2, 1).reshape(-1, views)
    pairs = np.array(list(combinations(range(min(views, _PROPOSE)), 2)))
    rows = max(1, _CHUNK // (views * len(pairs)))
    found = []
    for start in range(0, len(places), rows):
        part = slice(start, start + rows)
        found.append(_best(places[part], directions[part], votes[part], calibration, pairs, tolerance, left_out))
    points = np.concatenate(found).reshape(frames, joints, -1, 3)
    return points.transpose(0, 2, 1, 3) if left_out else points[:, :, 0]


def _best(
    places: np.ndarray,
    directions: np.ndarray,
    votes: np.ndarray,
    calibration: Calibration,
    pairs: np.ndarray,
    tolerance: float,
    left_out: bool,
) -> np.ndarray:
    """[P, V, 2], [P, V, 3], [P, V], pairs [H, 2] -> [P, 1 or V, 3]"""
    centres = -(calibration.R.transpose(0, 2, 1) @ calibration.T[:, :, None])[..., 0]
    pair_views = np.argsort(-votes, 1, kind="stable")[:, pairs]  # P H 2
    a, b = pair_views[..., 0], pair_views[..., 1]
    row = np.arange(len(places))[:, None]
    proposed, _ = nearest_points((centres[a], centres[b]), (directions[row, a], directions[row, b]), LEAST_SINE)
    valid = (np.minimum(votes[row, a], votes[row, b]) > 0) & np.isfinite(proposed[..., 0])
    off = off_rays(proposed, places[:, :, None], calibration)  # P V H
    # A view without the point votes for none; a tiny bonus for nearness decides where nobody is within the tolerance
    share = np.where(np.isnan(off), np.inf, off) / tolerance
    score = votes[:, :, None] * (np.maximum(0, 1 - share * share) + 1e-6 / (1 + share))
    total = np.where(valid, score.sum(1), -np.inf)
    if not left_out:
        return _pick(proposed, total)[:, None]
    without = []
    for view in range(votes.shape[1]):
        others = np.where((a == view) | (b == view), -np.inf, total - score[:, view])
        without.append(_pick(proposed, others))
    return np.stack(without, 1)


def _pick(proposed: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The proposal of the highest score, NaN where none counts. [P, H, 3], [P, H] -> [P, 3]"""
    best = score.argmax(1)
    row = np.arange(len(best))
    return np.where(np.isfinite(score[row, best])[:, None], proposed[row, best], np.nan)


def refined(
    points3d: np.ndarray,
    plane: np.ndarray,
    confidence: np.ndarray,
    calibration: Calibration,
    tolerance: float,
    spread: float,
) -> np.ndarray:
    """Points moved to the least robust distance off the rays of the views that agree with them.

    Iteratively reweighted least squares with Cauchy's weights, confidence / (1 + (off / spread)^2), and none beyond the
    tolerance.

    Args:
        points3d: [F, J, 3] metres, NaN where there is none.
        plane, confidence, calibration, tolerance: as `agreed`.
        spread: metres by which landmarks usually are off.

    Returns:
        [F, J, 3]; unmoved where fewer than two views agree.
    """
    forward, across = calibration.R[:, None, 2], calibration.R[:, None, :2]  # V 1 3, V 1 2 3
    matrix = plane[..., None] * forward[..., None, :] - across  # F V J 2 3: off = matrix X - target
    target = calibration.T[:, None, :2] - plane * calibration.T[:, None, 2:]
    there = np.isfinite(plane[..., 0]) & (confidence > 0)
    matrix, target = np.where(there[..., None, None], matrix, 0), np.where(there[..., None], target, 0)
    found = points3d
    for _ in range(_ROUNDS):
        off = off_rays(found, plane, calibration)
        agrees = there & (off < tolerance)
        weights = np.where(agrees, confidence / (1 + (off / spread) ** 2), 0)
        normal = np.einsum("fvj,fvjri,fvjrk->fjik", weights, matrix, matrix, optimize=True)
        # How far to move, so that where nothing pulls nothing moves
        miss = target - np.einsum("fvjri,fji->fvjr", matrix, np.nan_to_num(found))
        pull = np.einsum("fvj,fvjri,fvjr->fji", weights, matrix, miss, optimize=True)
        step = np.linalg.solve(normal + _STIFF * np.eye(3), pull[..., None])[..., 0]
        found = np.where((agrees.sum(1) >= 2)[..., None], found + step, found)
    return found
