"""Which sightings of one moment are of one person: those whose joints meet in space.

Every pair of sightings in two views proposes a person, whose joints lie where the rays come nearest; sightings of the
other views vote by how near their rays pass. The person with most votes is taken, with one sighting a view, and those
that are left propose the next. Left and right may be exchanged in any sighting: each joint takes the nearer side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.agreement import LEAST_SINE, agreed, refined
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.prepare.rays import in_cameras, nearest_points, normalised, rays

_CORE = ("nose", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")  # what every set has and networks find best
_TOLERANCE = 0.1  # metres off a ray at which a joint's vote is none; cameras may be a frame apart
_SPREAD = 0.03  # metres by which joints usually are off
_SURE = 0.3  # confidence below which a joint has no part
_JOINTS = 4  # that two sightings must share, to be compared
_PROPOSES = 0.4  # mean vote of the joints of a pair that proposes a person
_BELONGS = 0.25  # mean vote of a sighting that belongs to a person; that of another one is about 0.05
# Metres, from a child's to the tallest's, with room for landmarks that are off. Two strangers who stand upright agree
# in two views by heights alone; what they would be in space has shoulders of any width.
_BONES = {
    ("shoulder", "shoulder"): (0.12, 0.6), ("hip", "hip"): (0.06, 0.5), ("shoulder", "elbow"): (0.1, 0.5),
    ("elbow", "wrist"): (0.1, 0.45), ("hip", "knee"): (0.15, 0.65), ("knee", "ankle"): (0.15, 0.65),
    ("shoulder", "hip"): (0.2, 0.8),
}  # fmt: skip
_RIGHT = 0.8  # share of a person's bones that must be of such a length


@dataclass(frozen=True, eq=False)
class SightedJoints:
    """All sightings of a clip, N at most in an image, the joints that all landmark sets have."""

    plane: np.ndarray  # [F, V, N, C, 2] as `rays.normalised`, NaN where missing
    sure: np.ndarray  # [F, V, N, C] confidence, 0 where missing
    size: np.ndarray  # [F, V, N] pixels from the highest to the lowest or the leftmost to the rightmost joint
    mirror: np.ndarray  # [C] each joint's partner on the other side
    bones: np.ndarray  # [B, 2] joints
    lengths: np.ndarray  # [B, 2] metres, the shortest and the longest of people


@dataclass(frozen=True, eq=False)
class Group:
    """One person at one moment."""

    members: np.ndarray  # [V] which sighting of each view, -1 for none
    votes: np.ndarray  # [V] in 0..1 how well each member fits, 0 for none
    joints: np.ndarray  # [C, 3] metres, NaN where unknown


def pack(
    sightings: Sequence[Sequence[Sequence[Sighting]]], calibration: Calibration, landmarks: LandmarkSet
) -> SightedJoints:
    """Lists of sightings by frame and camera as arrays.

    Raises:
        ValueError: a frame has another number of cameras, or a sighting of landmarks.
    """
    frames, views = len(sightings), len(calibration.names)
    if any(len(frame) != views for frame in sightings):
        raise ValueError(f"sightings: expected a list for each of {views} cameras in every frame")
    most = max((len(found) for frame in sightings for found in frame), default=0)
    points = np.full((frames, most, views, len(landmarks), 3), np.nan)
    for f, v in product(range(frames), range(views)):
        for n, sighting in enumerate(sightings[f][v]):
            if sighting.points.shape != (len(landmarks), 3):
                raise ValueError(f"sightings: expected points {(len(landmarks), 3)}, found {sighting.points.shape}")
            points[f, n, v] = sighting.points
    core, mirror = _core(landmarks)
    points = points[..., core, :]
    plane = normalised(points[..., :2], calibration)
    sure = np.nan_to_num(points[..., 2])
    sure = np.where(np.isfinite(plane).all(-1) & (sure >= _SURE), sure, 0)
    pixels = np.where(sure[..., None] > 0, points[..., :2], np.nan)
    low, high = np.nan_to_num(pixels, nan=np.inf).min(-2, initial=np.inf), np.nan_to_num(pixels, nan=-np.inf)
    size = np.maximum(high.max(-2, initial=-np.inf) - low, 0).max(-1)
    bones, lengths = _bones(landmarks, core)
    return SightedJoints(plane.swapaxes(1, 2), sure.swapaxes(1, 2), size.swapaxes(1, 2), mirror, bones, lengths)


def _core(landmarks: LandmarkSet) -> tuple[list[int], np.ndarray]:
    """The joints that are compared, and where each one's partner stands among them."""
    core = [j for j, name in enumerate(landmarks.points) if name.split("_", 1)[-1] in _CORE]
    core = core if len(core) >= _JOINTS else list(range(len(landmarks)))
    partners = [landmarks.mirror[joint] for joint in core]
    return core, np.array([core.index(other) if other in core else own for own, other in enumerate(partners)])


def _bones(landmarks: LandmarkSet, core: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Bones between core joints [B, 2], and their shortest and longest lengths [B, 2]."""
    part = [name.split("_", 1)[-1] for name in landmarks.points]
    known = [(a, b) for a, b in landmarks.bones if (part[a], part[b]) in _BONES and a in core and b in core]
    ends = [(core.index(a), core.index(b)) for a, b in known]
    lengths = [_BONES[part[a], part[b]] for a, b in known]
    return np.array(ends, int).reshape(-1, 2), np.array(lengths, float).reshape(-1, 2)


def _built_like_people(joints: np.ndarray, seen: SightedJoints) -> np.ndarray:
    """Whether bones have lengths of people's, of those that are known. [P, C, 3] -> [P] bool"""
    length = np.linalg.norm(joints[:, seen.bones[:, 0]] - joints[:, seen.bones[:, 1]], axis=-1)
    right = (length >= seen.lengths[:, 0]) & (length <= seen.lengths[:, 1])
    return right.sum(1) >= _RIGHT * np.isfinite(length).sum(1)


def votes_for(
    joints: np.ndarray, plane: np.ndarray, sure: np.ndarray, mirror: np.ndarray, calibration: Calibration
) -> np.ndarray:
    """How well sightings fit people.

    Args:
        joints: [P, C, 3] metres.
        plane: [V, N, C, 2]
        sure: [V, N, C]
        mirror: [C]
        calibration: V cameras.

    Returns:
        [P, V, N] mean votes 1 - (off / tolerance)^2 of the joints, 0 where too few are shared.
    """
    places = in_cameras(joints, calibration)[:, :, None]  # P V 1 C 3
    best, weight = np.zeros((len(joints), *sure.shape)), np.zeros((len(joints), *sure.shape))
    for order in (np.arange(len(mirror)), mirror):
        off = np.linalg.norm(plane[:, :, order] * places[..., 2:] - places[..., :2], axis=-1)
        vote = np.nan_to_num(np.maximum(0, 1 - (off / _TOLERANCE) ** 2)) * (places[..., 2] > 0)
        best = np.maximum(best, vote)
        weight = np.maximum(weight, np.where(np.isfinite(places[..., 0]), sure[:, :, order], 0))
    shared = (weight > 0).sum(-1) >= min(_JOINTS, len(mirror))
    return np.where(shared, (best * weight).sum(-1) / np.maximum(weight.sum(-1), 1e-9), 0)


def group(seen: SightedJoints, frame: int, calibration: Calibration) -> list[Group]:
    """The people of one moment, those with most votes first."""
    plane, sure = seen.plane[frame], seen.sure[frame]
    pairs, proposed = _proposals(plane, sure, seen, calibration)
    if not len(pairs):
        return []
    votes = votes_for(proposed, plane, sure, seen.mirror, calibration)
    votes = np.where(votes >= _BELONGS, votes, 0)
    free = np.asarray((sure > 0).any(-1))
    found = []
    while True:
        possible = np.array([free[a, i] and free[b, k] for a, i, b, k in pairs])
        total = np.where(possible, (votes * free).max(-1).sum(-1), 0)
        best = int(total.argmax())
        if total[best] <= 0:
            return found
        one = _gathered(proposed[best], plane, np.where(free[..., None], sure, 0), seen, calibration)
        if one is None:
            pairs, proposed, votes = (np.delete(x, best, 0) for x in (pairs, proposed, votes))
            if not len(pairs):
                return found
            continue
        found.append(one)
        # Whatever fits about as well is the same person found twice
        fits = votes_for(one.joints[None], plane, sure, seen.mirror, calibration)[0]
        free &= ~((one.votes[:, None] > 0) & (fits >= np.maximum(_BELONGS, 0.7 * one.votes[:, None])))


def _gathered(
    joints: np.ndarray, plane: np.ndarray, sure: np.ndarray, seen: SightedJoints, calibration: Calibration
) -> Group | None:
    """The sightings that belong to a proposed person: first to the proposal, then to the joints by all of those."""
    view = np.arange(len(plane))
    members, votes = np.full(len(plane), -1), np.zeros(len(plane))
    for _ in range(2):
        votes = votes_for(joints[None], plane, sure, seen.mirror, calibration)[0]
        members = votes.argmax(1)
        votes = np.where(votes[view, members] >= _BELONGS, votes[view, members], 0)
        if (votes > 0).sum() < 2:
            return None
        places = plane[view, members][None]
        weights = np.where(votes[:, None] > 0, sure[view, members], 0)[None]
        better = agreed(places, weights, calibration, _TOLERANCE)
        better = refined(better, places, weights, calibration, _TOLERANCE, _SPREAD)[0]
        if np.isfinite(better[:, 0]).sum() >= min(_JOINTS, len(joints)):
            joints = better
    if not _built_like_people(joints[None], seen)[0]:
        return None
    return Group(np.where(votes > 0, members, -1), votes, joints)


def _proposals(
    plane: np.ndarray, sure: np.ndarray, seen: SightedJoints, calibration: Calibration
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of sightings that meet in a person [P, 4] (view, sighting, view, sighting), and the joints [P, C, 3]."""
    joint_count = len(seen.mirror)
    view, number = np.nonzero((sure > 0).sum(-1) >= min(_JOINTS, joint_count))
    first, second = np.nonzero(view[:, None] < view)
    pairs = np.stack([view[first], number[first], view[second], number[second]], 1)
    if not len(pairs):
        return pairs, np.zeros((0, joint_count, 3))
    a, i, b, k = pairs.T
    centres, towards = rays(plane.swapaxes(0, 1), calibration)
    towards = towards.swapaxes(0, 1)  # V N C 3
    ends = centres[a][:, None], centres[b][:, None]
    joints = np.full((len(pairs), joint_count, 3), np.nan)
    apart, weight = np.full(joints.shape[:2], np.inf), np.zeros(joints.shape[:2])
    for order in (np.arange(joint_count), seen.mirror):
        where, far = nearest_points(ends, (towards[a, i], towards[b, k][:, order]), LEAST_SINE)
        both = np.sqrt(sure[a, i] * sure[b, k][:, order])
        nearer = (both > 0) & (np.nan_to_num(far, nan=np.inf) < apart)
        joints[nearer], apart[nearer], weight[nearer] = where[nearer], far[nearer], both[nearer]
    vote = np.maximum(0, 1 - (apart / _TOLERANCE) ** 2)
    score = (vote * weight).sum(1) / np.maximum(weight.sum(1), 1e-9)
    enough = (weight > 0).sum(1) >= min(_JOINTS, joint_count)
    kept = enough & (score >= _PROPOSES) & _built_like_people(joints, seen)
    return pairs[kept], joints[kept]
