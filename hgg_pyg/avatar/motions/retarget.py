"""A clip fitted to a skeleton: the limbs point as they did, the legs decide the scale, a foot reaches the ground."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motion import Motion
from hgg_pyg.avatar.motions.clip import Clip
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.types import UserError

_BELOW = {f"{side}_{joint}": f"{side}_{child}" for side in ("left", "right") for joint, child in
          (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))}  # fmt: skip
_NEEDED = (
    "pelvis",
    *_BELOW,
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("wrist", "ankle", "foot")),
)
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
# Of the default body, in lengths of its legs: how far its soles are below the joints of its toes, how far its heels are
# behind its ankles, and the tips of its toes in front of their joints.
_SOLE, _HEEL, _TOES = 0.033, 0.069, 0.08


def retarget(clip: Clip, skeleton: Skeleton) -> Motion:
    """Fit a clip to a skeleton. It begins above the origin, facing +z.

    Arms and legs take the world directions of the clip's; trunk, head, hands and feet turn from the standing pose as
    far as the clip's do. Joints of the spine that the clip has not turn in between; all others that it has not, as
    fingers and face, stay as at rest. Ways are scaled by the length of the legs, and the lowest point of the soles in
    all frames is on the ground, y = 0.

    Args:
        clip: whose.
        skeleton: SMPL's or SMPL-X's.

    Raises:
        UserError: the skeleton has not the joints of SMPL's limbs, or they have no length.
    """
    names = skeleton.names
    if missing := [joint for joint in _NEEDED if joint not in names]:
        raise UserError(f"motion: expected a skeleton of SMPL's joints, found one without {', '.join(missing[:6])}")
    rest = skeleton.joints.detach().cpu().double().numpy()
    places = {name: rest[joint] for joint, name in enumerate(names)}
    for joint, below in _BELOW.items():
        if not _length(places, joint, below) > 0:
            raise UserError(f"motion: expected a skeleton with {joint} and {below} in two places, found them in one")
    turn = Rotation.identity() if clip.ahead else _to_front(clip.rotation("pelvis")[0])
    known = {name: turn * rotation for name, rotation in _known(clip, places).items()}
    world: list[Rotation] = []
    for joint, parent in enumerate(skeleton.parents):
        world.append(known[names[joint]] if names[joint] in known else world[parent])
    local = [
        own if parent < 0 else world[parent].inv() * own for own, parent in zip(world, skeleton.parents, strict=True)
    ]
    leg = np.mean([_length(places, f"{side}_hip", f"{side}_knee", f"{side}_ankle") for side in ("left", "right")])
    way = turn.apply(clip.pelvis - [clip.pelvis[0, 0], 0, clip.pelvis[0, 2]]) * leg / clip.leg
    lowest = _lowest(dict(zip(names, world, strict=True)), names, skeleton.parents, places, float(leg))
    transl = way - rest[0] * [1, 0, 1]
    transl[:, 1] = -lowest if clip.stands else way[:, 1] - (way[:, 1] + lowest).min()
    pose = torch.from_numpy(np.concatenate([rotation.as_rotvec() for rotation in local], 1).astype(np.float32))
    shift = torch.from_numpy(transl.astype(np.float32))
    return Motion(clip.name, clip.fps, pose[:, :3].contiguous(), pose[:, 3:].contiguous(), shift)


def _known(clip: Clip, places: dict[str, np.ndarray]) -> dict[str, Rotation]:
    """Rotations in the world from the skeleton's rest pose, T for each joint that the clip tells of."""
    still = Rotation.identity()
    aims = {
        joint: _swing(places[below] - places[joint], clip.limbs[joint]) if joint in clip.limbs else still
        for joint, below in _BELOW.items()
    }
    for side in ("left", "right"):
        aims[f"{side}_wrist"] = aims[f"{side}_elbow"]  # a hand at rest goes on as the forearm
    found = {joint: clip.rotation(joint) * aims.get(joint, still) for joint in clip.joints}
    for place, joint in enumerate(_TRUNK):
        if joint in clip.joints:
            continue
        above = next((end for end in range(place, len(_TRUNK)) if _TRUNK[end] in clip.joints), None)
        if above is not None:
            below = next(start for start in range(place, -1, -1) if _TRUNK[start] in clip.joints)
            share = (place - below) / (above - below)
            found[joint] = _between(clip.rotation(_TRUNK[below]), clip.rotation(_TRUNK[above]), share)
    return found


def _between(start: Rotation, end: Rotation, share: float) -> Rotation:
    return start * Rotation.from_rotvec(share * (start.inv() * end).as_rotvec())


def _swing(start: np.ndarray, end: np.ndarray) -> Rotation:
    """The least rotation that takes one direction to another."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(start, end), start @ end
    if cosine < -1 + 1e-9:  # they are opposite: about any axis across
        axis = np.cross(start, np.eye(3)[np.argmin(abs(start))])
        return Rotation.from_rotvec(np.pi * axis / np.linalg.norm(axis))
    return Rotation.from_quat([*axis, 1 + cosine])


def _to_front(pelvis: Rotation) -> Rotation:
    """The rotation about y after which a person faces +z whose pelvis has turned like this from the standing pose."""
    left, _, front = pelvis.apply(np.eye(3))
    if np.hypot(left[0], left[2]) > np.hypot(front[0], front[2]):  # bent over or lying: the front points up or down
        front = np.cross(left, [0, 1, 0])
    return Rotation.from_rotvec([0, -np.arctan2(front[0], front[2]), 0])


def _lowest(
    world: dict[str, Rotation],
    names: tuple[str, ...],
    parents: tuple[int, ...],
    places: dict[str, np.ndarray],
    leg: float,
) -> np.ndarray:
    """How high the lowest point of the soles is while the pelvis stays where it is at rest. [T] metres"""
    heights = []
    for side in ("left", "right"):
        ankle, toe = places[f"{side}_ankle"], places[f"{side}_foot"]
        down = toe[1] - _SOLE * leg - ankle[1]
        for joint, point in (
            (f"{side}_ankle", [0, down, -_HEEL * leg]),
            (f"{side}_foot", [0, -_SOLE * leg, 0]),
            (f"{side}_foot", [0, -_SOLE * leg, _TOES * leg]),
        ):
            heights.append(_path(joint, world, names, parents, places)[:, 1] + world[joint].apply(point)[:, 1])
    return np.min(heights, 0)


def _path(
    joint: str,
    world: dict[str, Rotation],
    names: tuple[str, ...],
    parents: tuple[int, ...],
    places: dict[str, np.ndarray],
) -> np.ndarray:
    """Where a joint is while the pelvis stays. [T, 3]"""
    index, way = names.index(joint), np.zeros(3)
    while (above := parents[index]) >= 0:
        parent = names[above]
        way, index = way + world[parent].apply(places[names[index]] - places[parent]), above
    return places[names[index]] + way


def _length(places: dict[str, np.ndarray], *joints: str) -> float:
    return float(sum(np.linalg.norm(places[a] - places[b]) for a, b in pairwise(joints)))
