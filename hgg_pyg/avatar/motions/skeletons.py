"""Other people's skeletons: whose joint is which of SMPL's, and how they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions.clip import Clip, stack_rotations
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_LEFT, _UP, _FRONT = np.eye(3)
_SIDES = ("left", "right")
_NEEDED = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
_UPRIGHT = np.cos(np.radians(45))  # a leg that is further from straight down does not stand


@dataclass(frozen=True)
class Family:
    """Names of joints that belong together, in small letters without what is no letter; {side} is left or right."""

    name: str
    pelvis: tuple[str, ...]
    limbs: dict[str, tuple[str, ...]]  # by SMPL's name without its side
    axes: dict[str, tuple[np.ndarray, np.ndarray]] | None = None
    """where a joint's own x and y point when the person stands, for skeletons whose rest pose is no pose of a person"""


def _slope(degrees: float) -> np.ndarray:
    """Forward, and so much down."""
    return np.cos(np.radians(degrees)) * _FRONT - np.sin(np.radians(degrees)) * _UP


def _bandai_namco_axes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Its x runs along the bones, backwards on the right; flat feet slope by 39.6 degrees, toes by 22.5."""
    axes = {"pelvis": (_UP, -_LEFT)} | dict.fromkeys(("spine1", "spine3", "neck", "head"), (_UP, _FRONT))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        axes |= {f"{side}_{joint}": (_LEFT, sign * _UP) for joint in ("collar", "shoulder", "elbow", "wrist")}
        axes |= {f"{side}_{joint}": (-sign * _UP, _LEFT) for joint in ("hip", "knee")}
        axes |= {f"{side}_ankle": (sign * _slope(39.6), _LEFT), f"{side}_foot": (sign * _slope(22.5), _LEFT)}
    return axes


FAMILIES = (
    Family(
        "CMU, Mixamo",
        ("hips",),
        {
            "hip": ("{side}upleg",),
            "knee": ("{side}leg",),
            "ankle": ("{side}foot",),
            "foot": ("{side}toebase", "{side}toe"),
            "collar": ("{side}shoulder",),
            "shoulder": ("{side}arm",),
            "elbow": ("{side}forearm",),
            "wrist": ("{side}hand",),
        },
    ),
    Family(
        "Bandai Namco",
        ("hips",),
        {
            "hip": ("upperleg{s}",),
            "knee": ("lowerleg{s}",),
            "ankle": ("foot{s}",),
            "foot": ("toes{s}",),
            "collar": ("shoulder{s}",),
            "shoulder": ("upperarm{s}",),
            "elbow": ("lowerarm{s}",),
            "wrist": ("hand{s}",),
        },
        _bandai_namco_axes(),
    ),
    Family(
        "joints by their own names",  # SMPL's, DeepMimic's, and those of the CMU recordings at mocapbank
        ("pelvis", "root", "hips", "hip"),
        {
            **{joint: (f"{{side}}{joint}", f"{{s}}{joint}") for joint in (*_NEEDED, "collar")},
            "foot": ("{side}toe", "{side}foot", "{s}foot"),
        },
    ),
)


@dataclass(frozen=True)
class SourceSkeleton:
    """S joints, parents before their children, as a file describes them."""

    names: tuple[str, ...]
    parents: tuple[int, ...]  # -1 for the root
    offsets: np.ndarray  # [S, 3] from the parent in its frame, any unit

    @property
    def places(self) -> np.ndarray:
        """Where they are when no joint is turned. [S, 3]"""
        places = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            places[joint] = self.offsets[joint] + (places[parent] if parent >= 0 else np.zeros(3))
        return places

    def chain(self, joint: int) -> list[int]:
        """The joint and all above it, up to the root."""
        found = [joint]
        while self.parents[found[-1]] >= 0:
            found.append(self.parents[found[-1]])
        return found


def clip_of(
    name: str, where: str, fps: float, source: SourceSkeleton, local: Sequence[Rotation], shifts: dict[int, np.ndarray]
) -> Clip:
    """A motion of somebody else's skeleton as a clip.

    Args:
        name: of the clip.
        where: the file, for messages.
        fps: frames per second.
        source: whose motion it is; its rest pose stands, in any direction, or is one that its family is known for.
        local: S times T rotations in the parents' frames.
        shifts: [T, 3] by joint: what stands in the place of its offset, for the pelvis and those above it.

    Raises:
        UserError: names are of no family, or the rest pose does not stand.
    """
    family, joints = _recognised(where, source)
    places = {joint: source.places[index] for joint, index in joints.items()}
    world: list[Rotation] = []
    for own, parent in zip(local, source.parents, strict=True):
        world.append(own if parent < 0 else world[parent] * own)
    pelvis: np.ndarray = np.zeros(3)
    for index in source.chain(joints["pelvis"]):
        parent, shift = source.parents[index], shifts.get(index, source.offsets[index])
        pelvis = pelvis + (shift if parent < 0 else world[parent].apply(shift))
    legs = [[places[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle")] for side in _SIDES]
    leg = float(np.mean([np.linalg.norm(k - h) + np.linalg.norm(a - k) for h, k, a in legs]))
    up = _up(places)
    if up is not None:
        to_own = _heading(where, places, up)
        stance = dict.fromkeys(joints, to_own)
    elif family.axes is not None and _along_bones(source, joints):
        to_own = Rotation.identity()  # its worlds are y up
        stance = {joint: _frame(*family.axes[joint]) for joint in joints}
    else:
        raise UserError(
            f"{where}: expected a rest pose that stands, legs down and head up, found one of the family {family.name} "
            "that does not: export it with a T-pose or an A-pose at rest"
        )
    limbs = {}
    for side in _SIDES:
        for joint, below in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            joint, below = f"{side}_{joint}", f"{side}_{below}"
            limbs[joint] = stance[joint].apply(_direction(where, source, joints[joint], joints[below]))
    rotations = [to_own * world[index] * stance[joint].inv() for joint, index in joints.items()]
    path = np.broadcast_to(to_own.apply(pelvis), (len(rotations[0]), 3)).copy()
    return Clip(name, fps, tuple(joints), stack_rotations(rotations), path, leg, limbs)


def _plain(name: str) -> str:
    """mixamorig1:LeftArm -> leftarm, UpperArm_L -> upperarml"""
    return re.sub(r"^mixamorig\d*|[^a-z]", "", name.rpartition(":")[2].casefold())


def _recognised(where: str, source: SourceSkeleton) -> tuple[Family, dict[str, int]]:
    """The first family whose needed names are all there, and the joints of SMPL's that there are, the pelvis first."""
    plain = [_plain(name) for name in source.names]
    closest: tuple[int, str] = (-1, "")
    for family in FAMILIES:
        found = {"pelvis": _first(plain, family.pelvis)}
        for side in _SIDES:
            for joint, options in family.limbs.items():
                found[f"{side}_{joint}"] = _first(plain, [o.format(side=side, s=side[0]) for o in options])
        missing = [
            joint for joint, index in found.items() if index is None and joint.split("_")[-1] in (*_NEEDED, "pelvis")
        ]
        if not missing:
            joints = {joint: index for joint, index in found.items() if index is not None}
            if len(set(joints.values())) == len(joints) and _is_a_person(source, joints):
                return family, joints | _trunk(source, plain, joints)
        have, lacking = len(found) - len(missing), f"these are missing: {', '.join(missing[:6])}"
        if have > closest[0]:
            closest = have, f"of {family.name} {lacking if missing else 'they are there, but hang from others'}"
    names = ", ".join(shown(name, 30) for name in source.names[:40])
    known = "; ".join(family.name for family in FAMILIES)
    raise UserError(f"{where}: expected joints named as one of: {known}; found {names} ({closest[1]})")


def _first(names: list[str], options: Sequence[str]) -> int | None:
    return next((names.index(option) for option in options if option in names), None)


def _is_a_person(source: SourceSkeleton, joints: dict[str, int]) -> bool:
    """Whether all limbs hang from the pelvis, each joint above the next."""
    for side in _SIDES:
        for limb in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            chain = source.chain(joints[f"{side}_{limb[-1]}"])
            above = [joints[f"{side}_{joint}"] for joint in reversed(limb)] + [joints["pelvis"]]
            if [index for index in chain if index in above] != above:
                return False
    return True


def _trunk(source: SourceSkeleton, plain: list[str], joints: dict[str, int]) -> dict[str, int]:
    """Spine, neck and head: what is between the pelvis and where the arms part is the spine, whatever it is called."""
    arms = [source.chain(joints[f"{side}_shoulder"]) for side in _SIDES]
    chest = next(index for index in arms[0] if index in arms[1])
    spine = source.chain(chest)[::-1]
    spine = spine[spine.index(joints["pelvis"]) + 1 :]
    found: dict[str, int] = {}
    if spine:
        found["spine3"] = spine[-1]
    if len(spine) > 1:
        found["spine1"] = spine[0]
    if len(spine) > 2:
        found["spine2"] = spine[len(spine) // 2]
    neck, head = _first(plain, ("neck",)), _first(plain, ("head",))
    if head is None:  # what carries the head is then called neck
        head, neck = neck, None
    return found | {name: index for name, index in (("neck", neck), ("head", head)) if index is not None}


def _up(places: dict[str, np.ndarray]) -> np.ndarray | None:
    """The axis that is up in the rest pose; None if nobody stands like that."""
    top = places.get("head", (places["left_shoulder"] + places["right_shoulder"]) / 2)
    body = top - (places["left_ankle"] + places["right_ankle"]) / 2
    up = np.eye(3)[np.argmax(abs(body))] * np.sign(body[np.argmax(abs(body))])
    for side in _SIDES:
        for joint, below in (("hip", "knee"), ("knee", "ankle")):
            limb = places[f"{side}_{joint}"] - places[f"{side}_{below}"]
            if not limb @ up > _UPRIGHT * np.linalg.norm(limb):
                return None
    return up if (top - places["pelvis"]) @ up > 0 else None


def _heading(where: str, places: dict[str, np.ndarray], up: np.ndarray) -> Rotation:
    """The rotation of a standing rest pose to y up, facing +z."""
    across = places["left_hip"] - places["right_hip"]
    across = across - across @ up * up
    if np.linalg.norm(across) < 1e-6 * max(np.linalg.norm(places["left_hip"] - places["left_ankle"]), 1e-12):
        raise UserError(f"{where}: expected a left and a right hip beside one another, found both in one place")
    return _frame_of(across / np.linalg.norm(across), up).inv()


def _frame_of(left: np.ndarray, up: np.ndarray) -> Rotation:
    return Rotation.from_matrix(np.stack([left, up, np.cross(left, up)], 1))


def _frame(x: np.ndarray, y: np.ndarray) -> Rotation:
    """What turns a joint's own axes to where its x and y point."""
    return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], 1))


def _along_bones(source: SourceSkeleton, joints: dict[str, int]) -> bool:
    """Whether limbs run along their joints' own x, forwards on the left and backwards on the right."""
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for below in ("knee", "ankle", "elbow", "wrist"):
            offset = source.offsets[joints[f"{side}_{below}"]]
            if not sign * offset[0] > 0.99 * np.linalg.norm(offset):
                return False
    return True


def _direction(where: str, source: SourceSkeleton, joint: int, below: int) -> np.ndarray:
    """Where a limb points, in the frame of the joint that moves it; joints between count as they are at rest. [3]"""
    way = np.zeros(3)
    for index in source.chain(below):
        if index == joint:
            break
        way = way + source.offsets[index]
    length = np.linalg.norm(way)
    if not length > 0:
        names = f"{shown(source.names[joint])} and {shown(source.names[below])}"
        raise UserError(f"{where}: expected {names} in two places, found them in one")
    return way / length
